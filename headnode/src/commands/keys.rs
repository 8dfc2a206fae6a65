//! `headnode keys …`

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, ensure};
use nii::envelope::{Bytes, PublicKey};
use serde_json::json;

use super::Context;
use crate::cli::{Keys as Command, Rotated};
use crate::keys::rotation::{self, Announced, Voucher};
use crate::output::{self, List};
use crate::{clock, initrd_trust, log};

pub(super) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::List => list(context).await,
        Command::Rotate { key: Rotated::Nii, retire, root_key, certificate, .. } => {
            online(context, retire, root_key.as_deref(), certificate.as_deref())
        }
        Command::Rotate { key, retire, force, root_key, certificate } => {
            ensure!(
                root_key.is_none() && certificate.is_none(),
                "the root key certifies the online key only: `headnode keys rotate nii`"
            );
            let what = if key == Rotated::Ca { Announced::Authority } else { Announced::Image };
            if retire { replace(context, what, force).await } else { announce(context, what) }
        }
        Command::Certify { key, root_key } => certify(&key, &root_key),
    }
}

/// Without a data folder: the root key may be where nothing else is.
pub(super) fn certify(key: &str, root_key: &Path) -> Result<()> {
    let key = Bytes::try_from(key.to_owned()).and_then(PublicKey::try_from);
    let key = key.map_err(|error| anyhow!("the key to certify: {error}"))?;
    output::text(&format!("{}\n", serde_json::to_string(&rotation::vouched(root_key, key)?)?))
}

fn announce(context: &Context, what: Announced) -> Result<()> {
    let was_there = rotation::announce(&context.dir, what)?;
    let name = name(what);
    log::line(format_args!(
        "{}; build the initrds anew with what `headnode trust` prints now, `headnode netboot add` them, and then \
         `headnode keys rotate {name} --retire`; until then nothing changes for nodes",
        if was_there { "the next key was made before" } else { "the next key is made" }
    ));
    Ok(())
}

fn name(what: Announced) -> &'static str {
    match what {
        Announced::Authority => "ca",
        Announced::Image => "image",
    }
}

async fn replace(context: &Context, what: Announced, force: bool) -> Result<()> {
    let late = late(context).await?;
    ensure!(
        force || late.is_empty(),
        "the nodes of {} would refuse this head node, for their initrds were built before the next key was made: \
         build them anew with what `headnode trust` prints now, and `headnode netboot add` them; or give --force",
        late.join(", ")
    );
    match what {
        Announced::Authority => {
            rotation::replace_authority(&context.dir)?;
            log::line(format_args!("the next authority is used; the old one is gone"));
        }
        Announced::Image => {
            let signed = rotation::replace_image_key(&context.dir)?;
            log::line(format_args!("{signed} images are signed with the next key; the old one is gone"));
        }
    }
    Ok(())
}

/// The netboots whose initrds lack a next key.
async fn late(context: &Context) -> Result<Vec<String>> {
    let mut late = Vec::new();
    for netboot in context.store.netboots().await? {
        if let Some(trust) = initrd_trust::of(&context.dir, &netboot)?
            && initrd_trust::lacks(&context.dir, &trust)?.iter().any(|lack| lack.later)
        {
            late.push(format!("netboot {}", netboot.name));
        }
    }
    Ok(late)
}

fn online(context: &Context, retire: bool, root: Option<&Path>, certificate: Option<&Path>) -> Result<()> {
    if retire {
        rotation::shut_out_old_online_keys(&context.dir)?;
        log::line(format_args!(
            "initrds built with what `headnode trust` prints now believe no online key from before the one that is used"
        ));
        return Ok(());
    }
    let voucher = match (root, certificate) {
        (Some(file), _) => Voucher::Root(file),
        (None, Some(file)) => Voucher::Certificate(file),
        (None, None) => Voucher::Here,
    };
    let Some(key) = rotation::replace_online_key(&context.dir, voucher)? else {
        log::line(format_args!(
            "a new key signs NIIs and time; all initrds believe it. Who has the old one is believed, too, until initrds \
             are built anew after `headnode keys rotate nii --retire`"
        ));
        return Ok(());
    };
    log::line(format_args!(
        "the root key is not here. Where it is: `headnode keys certify {key} --root-key FILE > nii.cert`; then here: \
         `headnode keys rotate nii --certificate nii.cert`"
    ));
    output::text(&format!("{key}\n"))
}

async fn list(context: &Context) -> Result<()> {
    let mut list = List::new(&["key", "name", "used", "ends", "not believed by"]);
    let mut lacking = Vec::new();
    for netboot in context.store.netboots().await? {
        if let Some(trust) = initrd_trust::of(&context.dir, &netboot)? {
            lacking.push((netboot.name, initrd_trust::lacks(&context.dir, &trust)?));
        }
    }
    let mut push = |kind: &str, name: String, place: usize, end: Option<u64>| {
        let used = if place == 0 { "now" } else { "next" };
        let lacks = |lacks: &[initrd_trust::Lack]| lacks.iter().any(|lack| lack.key.ends_with(&name));
        let not: Vec<&str> =
            lacking.iter().filter(|(_, lack)| lacks(lack)).map(|(netboot, _)| netboot.as_str()).collect();
        let end = end.map(|end| clock::text(i64::try_from(end.saturating_mul(1000)).unwrap_or(i64::MAX)));
        let json = json!({"key": kind, "name": name, "used": used, "ends": end, "not_believed_by": not});
        let row = vec![kind.to_owned(), name.clone(), used.to_owned(), output::or_dash(end), not.join(", ")];
        list.push(row, json);
    };
    for (place, authority) in rotation::authorities(&context.dir)?.iter().enumerate() {
        push("ca", authority.name.to_string()[..12].to_owned(), place, Some(authority.end));
    }
    for (place, key) in rotation::image_keys(&context.dir)?.iter().enumerate() {
        push("image", key.id().to_string(), place, None);
    }
    let online =
        rotation::online_certificate(&context.dir).context("reading the online key's certificate")?;
    push("nii", online.key.to_string(), 0, Some(online.not_after));
    list.print(context.output)
}
