//! `headnode export` and `headnode import`: the store as YAML.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Context, actor, change, check_name, group, network};
use crate::document::{self, Source};
use crate::input;
use crate::log;
use crate::netboot::{INITRD, KERNEL, SEGMENT};
use crate::os;
use crate::output;
use crate::plugins::Verb;
use crate::ranges;
use crate::recipe::Catalog;
use crate::scripts;
use crate::store::Store;
use crate::store::hosts::Host;
use crate::store::inventory::Network;
use crate::store::package::Script;
use crate::store_file::{self, Tables, Text};

pub(super) async fn export(context: &Context, secrets: bool) -> Result<()> {
    output::text(&render(context, &context.store, secrets).await?)
}

async fn render(context: &Context, store: &Store, secrets: bool) -> Result<String> {
    let mut tables = store.dump().await?;
    for line in tables.get_mut("scripts").into_iter().flatten() {
        let digest = line.get("digest").and_then(Value::as_str).unwrap_or_default();
        let path = context.dir.script(&digest.parse()?);
        // Of an import's rehearsal: its files come with it.
        if path.exists() {
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            store_file::add_text(line, text);
        }
    }
    if !secrets {
        for (table, column) in [("groups", "document"), ("nodes", "overrides")] {
            for line in tables.get_mut(table).into_iter().flatten() {
                if let Some(Value::String(text)) = line.get_mut(column) {
                    *text = document::hide_secrets(text)?;
                }
            }
        }
    }
    store_file::write(tables)
}

/// What a file changes is tried on a copy of the store first, and shown.
pub(super) async fn import(context: &Context, file: &Path, armings: bool) -> Result<()> {
    let (tables, scripts) = read(file)?;
    let scratch = tempfile::tempdir_in(context.dir.run("")).context("making a folder for the rehearsal")?;
    let copy = scratch.path().join("rehearsal.db");
    context.store.copy_to(&copy).await?;
    let rehearsal = Store::open(&copy).await?;
    let armed = rehearsal.load(tables.clone(), armings, "rehearsal").await?;
    check(&rehearsal)
        .await
        .with_context(|| format!("checking what {} makes of the store", file.display()))?;
    let mut texts = Vec::new();
    for secrets in [true, false] {
        texts.push((
            render(context, &context.store, secrets).await?,
            render(context, &rehearsal, secrets).await?,
        ));
    }
    if texts.iter().all(|(before, after)| before == after) {
        log::line(format_args!("nothing changes"));
        return Ok(());
    }
    let shown = texts.last().map(|(before, after)| change::lines(before, after)).unwrap_or_default();
    context.confirm(&format!("the store:\n{shown}{}", about_armed(&armed, armings)), "Apply?")?;
    for (script, bytes) in &scripts {
        scripts::keep(&context.dir, script, bytes)?;
    }
    context.store.load(tables, armings, &actor()).await?;
    tell_missing(context).await?;
    // Some may be new, others gone: whoever needs all has all.
    context.tell(Verb::Updated, &context.store.nodes().await?).await
}

/// What comes of the nodes that the file has armed.
fn about_armed(armed: &[String], armings: bool) -> String {
    let names = ranges::fold(armed.iter().map(String::as_str));
    match (armed, armings) {
        ([], _) => String::new(),
        (_, true) => format!("armed, so their next network boot may install them: {names}\n"),
        (_, false) => format!("armed in the file, local here (--armings arms them): {names}\n"),
    }
}

/// Versions of scripts, and what they are.
type Texts = Vec<(Script, Vec<u8>)>;

/// The rows of a file, and the scripts whose text is with them.
fn read(file: &Path) -> Result<(Tables, Texts)> {
    let text = input::text(file)?;
    let (tables, texts) = store_file::read(&text).with_context(|| format!("reading {}", file.display()))?;
    let scripts = texts.into_iter().map(|Text { name, digest, text }| {
        let bytes = text.into_bytes();
        let script = scripts::version(&name, &bytes).with_context(|| format!("the script {name}"))?;
        ensure!(
            digest == script.digest.to_string(),
            "the text of the script {name} is not the one of its digest {digest}: change scripts with `headnode script add`"
        );
        Ok((script, bytes))
    });
    Ok((tables, scripts.collect::<Result<_>>()?))
}

/// Whether all of it makes sense together: every row is read, and every node made.
async fn check(store: &Store) -> Result<()> {
    let catalog = Catalog::load(store).await?;
    let names = |kind: &'static str, names: Vec<&String>| {
        names.into_iter().try_for_each(|name| check_name(kind, name))
    };
    names("network", catalog.networks.keys().collect())?;
    names("image", catalog.images.keys().collect())?;
    names("netboot", catalog.netboots.keys().collect())?;
    names("os", catalog.oses.keys().collect())?;
    names("os's version", catalog.oses.values().map(|os| &os.version).collect())?;
    names("script", catalog.scripts.keys().collect())?;
    names("group", catalog.groups.keys().collect())?;
    catalog.networks.values().try_for_each(network::check)?;
    for group in catalog.groups.values() {
        let about = format!("group {}", group.name);
        whole(&about, &group.document)?;
        group::check(&catalog, &group.name, Source { name: &about, text: &group.document })?;
    }
    for Host { name, network, address } in store.hosts().await? {
        check_name("host", &name)?;
        placed(&name, address, catalog.network(&network)?)?;
    }
    for node in store.nodes().await? {
        check_name("node", &node.name)?;
        if let Some(address) = node.address {
            placed(&node.name, address, catalog.network(&node.network)?)?;
        }
        let about = format!("node {}", node.name);
        whole(&about, &node.overrides)?;
        catalog.recipe(node)?;
    }
    Ok(())
}

fn placed(name: &str, address: Ipv4Addr, network: &Network) -> Result<()> {
    let Network { name: of, subnet, address: own, .. } = network;
    ensure!(subnet.has_host(address), "{name}: {address} is no host's address in {subnet} ({of})");
    ensure!(address != *own, "{name}: {address} is the head node's own address");
    Ok(())
}

fn whole(about: &str, text: &str) -> Result<()> {
    let hidden = document::hide_secrets(text)? == text && text.contains(document::HIDDEN);
    ensure!(!hidden, "{about}: its secrets were left out of the file: export with --secrets");
    Ok(())
}

/// Images and kernels are files that no YAML has.
pub(super) async fn tell_missing(context: &Context) -> Result<()> {
    let catalog = Catalog::load(&context.store).await?;
    let mut missing = Vec::new();
    for (name, digest) in &catalog.images {
        if !context.dir.images().join(digest.to_string()).exists() {
            missing.push(format!("image {name}: copy images/{digest} here, or import it again"));
        }
    }
    for (name, netboot) in &catalog.netboots {
        let segment = netboot.segment.map(|segment| (segment, SEGMENT));
        for (digest, file) in [(netboot.kernel, KERNEL), (netboot.initrd, INITRD)].into_iter().chain(segment)
        {
            if !context.dir.boot_file(&digest, file).exists() {
                missing.push(format!("netboot {name}: copy boot/{digest} here, or add it again"));
            }
        }
    }
    for (name, os) in &catalog.oses {
        let folder = os::folder_name(name, &os.version);
        if !context.dir.trees().join(&folder).exists() {
            missing.push(format!("os {name}: copy os/{folder} here, or import it again"));
        }
    }
    missing.iter().for_each(|line| log::line(format_args!("{line}")));
    Ok(())
}
