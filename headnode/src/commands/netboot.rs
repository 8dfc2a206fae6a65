//! `headnode netboot …`

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use nii::digest::Digest;
use serde_json::json;

use super::{Context, check_name, short};
use crate::cli::Netboot as Command;
use crate::clock;
use crate::document::Document;
use crate::netboot::{self, INITRD, KERNEL, SEGMENT, keep};
use crate::output::{List, or_dash};
use crate::store::inventory::Netboot;

pub(super) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Add { name, kernel, initrd, segment } => {
            add(context, name, &kernel, &initrd, segment.as_deref()).await
        }
        Command::List => list(context).await,
        Command::Rm { name } => remove(context, &name).await,
    }
}

async fn add(
    context: &Context,
    name: String,
    kernel: &Path,
    initrd: &Path,
    segment: Option<&Path>,
) -> Result<()> {
    check_name("netboot", &name)?;
    let before = context.store.netboots().await?;
    let segment = segment.map(|segment| keep(&context.dir, segment, SEGMENT)).transpose()?;
    let netboot = Netboot {
        kernel: keep(&context.dir, kernel, KERNEL)?,
        initrd: keep(&context.dir, initrd, INITRD)?,
        segment,
        added_at: clock::now_ms(),
        name,
    };
    context.store.set_netboot(&netboot).await?;
    retire(context, &before, &netboot.name).await
}

/// Files of `before` that the netboot `name` meant, and nothing means now, are still there for an hour.
pub(super) async fn retire(context: &Context, before: &[Netboot], name: &str) -> Result<()> {
    let used = used(context).await?;
    let replaced = before.iter().filter(|before| before.name == name);
    for (digest, _) in replaced.flat_map(files).filter(|(digest, _)| !used.contains(digest)) {
        netboot::retire(&context.dir, &digest)?;
    }
    netboot::sweep(&context.dir, &used)
}

async fn list(context: &Context) -> Result<()> {
    let mut list = List::new(&["name", "kernel", "initrd", "segment", "added"]);
    for Netboot { name, kernel, initrd, segment, added_at } in context.store.netboots().await? {
        let added = clock::text(added_at);
        let json = json!({
            "name": name, "kernel": kernel, "initrd": initrd, "segment": segment, "added_at": added,
        });
        let segment = or_dash(segment.as_ref().map(short));
        list.push(vec![name, short(&kernel), short(&initrd), segment, added], json);
    }
    list.print(context.output)
}

async fn remove(context: &Context, name: &str) -> Result<()> {
    let names_it = |document: &Document| {
        let rescue = document.rescue.as_ref().map(|rescue| rescue.netboot.as_str());
        [document.netboot.as_deref(), rescue].contains(&Some(name))
    };
    if let Some(user) = context.user_of(names_it).await? {
        bail!("{user} uses the netboot {name}");
    }
    let of_os = context.store.os_version(name).await?;
    ensure!(of_os.is_none(), "the netboot {name} is that of the os {name}: headnode os rm {name}");
    let before = context.store.netboots().await?;
    context.store.remove_netboot(name).await?;
    discard(context, &before, name).await
}

/// Removes files of `before` that the netboot `name` meant and nothing means now.
pub(super) async fn discard(context: &Context, before: &[Netboot], name: &str) -> Result<()> {
    let used = used(context).await?;
    let removed = before.iter().filter(|before| before.name == name);
    for (digest, file) in removed.flat_map(files).filter(|(digest, _)| !used.contains(digest)) {
        let path = context.dir.boot_file(&digest, file);
        if path.exists() {
            let folder = path.parent().context("a file has a folder")?;
            fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
        }
    }
    netboot::sweep(&context.dir, &used)
}

/// What the netboots mean now.
async fn used(context: &Context) -> Result<Vec<Digest>> {
    let netboots = context.store.netboots().await?;
    Ok(netboots.iter().flat_map(files).map(|(digest, _)| digest).collect())
}

fn files(netboot: &Netboot) -> Vec<(Digest, &'static str)> {
    let segment = netboot.segment.map(|segment| (segment, SEGMENT));
    [(netboot.kernel, KERNEL), (netboot.initrd, INITRD)].into_iter().chain(segment).collect()
}
