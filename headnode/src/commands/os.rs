//! `headnode os …`

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use tempfile::TempDir;

use super::{Context, check_name, netboot};
use crate::cli::{Os as Command, Output};
use crate::netboot::{INITRD, KERNEL, SEGMENT, keep};
use crate::os::files::{Inventory, ensure_room};
use crate::os::versions::{Placed, Versions};
use crate::os::{Os, PATH, folder_name, source, tree};
use crate::output::{self, List, or_dash};
use crate::recipe::Catalog;
use crate::state::State;
use crate::store::inventory::Netboot;
use crate::{clock, log};

pub(super) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Import { name, source, segment, link } => {
            import(context, &name, &source, segment.as_deref(), link).await
        }
        Command::List => list(context).await,
        Command::Show { name } => show(context, &name).await,
        Command::Rm { name } => remove(context, &name).await,
    }
}

async fn import(
    context: &Context,
    name: &str,
    source: &Path,
    segment: Option<&Path>,
    link: bool,
) -> Result<()> {
    check_name("os", name)?;
    let source = source.canonicalize().with_context(|| format!("opening {}", source.display()))?;
    ensure!(
        !link || source.is_dir(),
        "{}: only a folder can be served where it is; an ISO is copied (without --link)",
        source.display()
    );
    let before = context.store.oses().await?.into_iter().find(|os| os.name == name);
    let netboots = context.store.netboots().await?;
    let netboot_before = netboots.iter().find(|netboot| netboot.name == name);
    let versions = Versions::lock(&context.dir)?;
    sweep(context, &versions).await?;
    let segment = segment.map(|segment| keep(&context.dir, segment, SEGMENT)).transpose()?;
    let segment = segment.or(netboot_before.and_then(|netboot| netboot.segment));
    let work = Import { context, versions: &versions, name, source: &source, link };
    let (os, files) = work.take().with_context(|| format!("importing {}", source.display()))?;
    let netboot = Netboot { name: name.to_owned(), segment, added_at: os.imported_at, ..files };
    if let Err(error) = context.store.set_os(&os, &netboot).await {
        versions.discard(name, &os.version)?;
        return Err(error);
    }
    if let Some(before) = before {
        versions.retire(name, &before.version)?;
    }
    netboot::retire(context, &netboots, name).await?;
    tell(context, &os, &netboot)
}

/// What an import works with.
struct Import<'a> {
    context: &'a Context,
    versions: &'a Versions,
    name: &'a str,
    source: &'a Path,
    link: bool,
}

impl Import<'_> {
    /// Checks the tree and takes it over, with its kernel and initrd.
    fn take(&self) -> Result<(Os, Netboot)> {
        let unpacked = if self.source.is_dir() { None } else { Some(self.unpack()?) };
        let folder = unpacked.as_ref().map_or(self.source, |unpacked| unpacked.path());
        let content = tree::read(folder)?;
        let inventory = Inventory::of(folder)?;
        let (size, files) = (inventory.size, inventory.count());
        let dir = &self.context.dir;
        let kernel = keep(dir, &folder.join(&content.kernel), KERNEL)?;
        let initrd = keep(dir, &folder.join(&content.initrd), INITRD)?;
        let tree = match unpacked {
            Some(unpacked) => Placed::Copied(unpacked),
            None if self.link => Placed::Linked(self.source),
            None => Placed::Copied(self.copy(&inventory)?),
        };
        let os = Os {
            name: self.name.to_owned(),
            version: self.versions.place(self.name, tree)?,
            content,
            link: self.link.then(|| self.source.display().to_string()),
            size,
            files,
            imported_at: clock::now_ms(),
        };
        let netboot =
            Netboot { name: os.name.clone(), kernel, initrd, segment: None, added_at: os.imported_at };
        Ok((os, netboot))
    }

    fn unpack(&self) -> Result<TempDir> {
        let size = source::iso_size(self.source)?;
        // How many files it has is not known yet: a DVD has some thousands.
        ensure_room(size, 10_000, self.versions.folder())?;
        log::line(format_args!("{}: unpacking {} MiB", self.name, size >> 20));
        let incoming = self.versions.incoming()?;
        source::unpack(self.source, incoming.path())?;
        Ok(incoming)
    }

    fn copy(&self, inventory: &Inventory) -> Result<TempDir> {
        let (size, files) = (inventory.size, inventory.count());
        ensure_room(size, files, self.versions.folder())?;
        log::line(format_args!("{}: copying {} MiB in {files} files", self.name, size >> 20));
        let incoming = self.versions.incoming()?;
        inventory.copy(self.source, incoming.path())?;
        Ok(incoming)
    }
}

/// Removes trees that nothing means any more.
async fn sweep(context: &Context, versions: &Versions) -> Result<()> {
    let oses = context.store.oses().await?;
    let is_used = |name: &str, version: &str| oses.iter().any(|os| os.name == name && os.version == version);
    let nodes = context.store.nodes().await?;
    let installing = nodes.iter().filter(|node| node.state == State::Installing).map(|node| node.since).min();
    let installing = installing.and_then(|since| u64::try_from(since).ok());
    versions.sweep(is_used, installing.map(|since| SystemTime::UNIX_EPOCH + Duration::from_millis(since)))
}

fn tell(context: &Context, os: &Os, netboot: &Netboot) -> Result<()> {
    let how = os.link.as_ref().map_or_else(|| "copied".to_owned(), |link| format!("served from {link}"));
    let (size, files, title) = (os.size >> 20, os.files, &os.content.title);
    log::line(format_args!("{}: {title}, {size} MiB in {files} files, {how}", os.name));
    if netboot.segment.is_none() {
        log::line(format_args!(
            "{0}: its netboot has no segment yet, and nodes need one: import it again with --segment FILE (initrd-builder \
             append makes it)",
            os.name
        ));
    }
    if context.output != Output::Table {
        output::data(context.output, &as_json(os))?;
    }
    Ok(())
}

fn as_json(os: &Os) -> serde_json::Value {
    json!({
        "name": os.name, "version": os.version, "title": os.content.title, "os": os.content.os, "link": os.link,
        "size": os.size, "files": os.files, "imported_at": clock::text(os.imported_at),
    })
}

async fn list(context: &Context) -> Result<()> {
    let mut list = List::new(&["name", "what", "arch", "size", "tree", "imported"]);
    for os in context.store.oses().await? {
        let json = as_json(&os);
        let tree = os.link.unwrap_or_else(|| folder_name(&os.name, &os.version));
        let (size, imported) = (format!("{} MiB", os.size >> 20), clock::text(os.imported_at));
        list.push(vec![os.name, os.content.title, os.content.os.arch, size, tree, imported], json);
    }
    list.print(context.output)
}

/// Its repositories are shown with the URLs that go on meaning the newest tree: those are for people and their documents.
async fn show(context: &Context, name: &str) -> Result<()> {
    let catalog = Catalog::load(&context.store).await?;
    let os = catalog.oses.get(name);
    let os = os.with_context(|| format!("there is no os `{name}`: see `headnode os list`"))?;
    let http = catalog.networks.values().next().map(|network| catalog.http(network)).unwrap_or_default();
    let url = |path: &str| format!("{http}{PATH}/{name}/{path}").trim_end_matches('/').to_owned();
    let repositories = os.content.repositories.iter().map(
        |repository| json!({"name": repository.name, "used": repository.used, "url": url(&repository.path)}),
    );
    let mut json = as_json(os);
    json["url"] = url(&os.content.root).into();
    json["folder"] = folder(context, os).display().to_string().into();
    json["netboot"] = json!(catalog.netboots.get(name).map(|netboot| {
        json!({"kernel": netboot.kernel, "initrd": netboot.initrd, "segment": netboot.segment})
    }));
    json["repositories"] = repositories.collect();
    if context.output != Output::Table {
        return output::data(context.output, &json);
    }
    let word = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
    let mut list = List::new(&["what", "value"]);
    let mut row = |what: String, value: String| list.push(vec![what, value], json!(null));
    row("what".into(), format!("{} ({})", word("title"), os.content.os.arch));
    row("tree".into(), word("folder"));
    row("linked to".into(), or_dash(os.link.as_ref()));
    row("url".into(), word("url"));
    let segment = catalog.netboots.get(name).and_then(|netboot| netboot.segment);
    row("segment".into(), or_dash(segment.as_ref().map(super::short)));
    for repository in &os.content.repositories {
        let used = if repository.used { "" } else { " (not used unless a document names it)" };
        row(format!("repository {}", repository.name), format!("{}{used}", url(&repository.path)));
    }
    list.print(context.output)
}

fn folder(context: &Context, os: &Os) -> PathBuf {
    context.dir.trees().join(folder_name(&os.name, &os.version))
}

async fn remove(context: &Context, name: &str) -> Result<()> {
    let names = |document: &crate::document::Document| {
        let rescue = document.rescue.as_ref().map(|rescue| rescue.netboot.as_str());
        [document.os.as_deref(), document.netboot.as_deref(), rescue].contains(&Some(name))
    };
    if let Some(user) = context.user_of(names).await? {
        bail!("{user} uses the os {name}");
    }
    let versions = Versions::lock(&context.dir)?;
    let netboots = context.store.netboots().await?;
    context.store.remove_os(name).await?;
    netboot::discard(context, &netboots, name).await?;
    versions.remove(name)?;
    sweep(context, &versions).await
}
