//! `headnode netboot …`

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use nii::digest::Digest;
use serde_json::json;

use super::{Context, check_name, short};
use crate::cli::Netboot as Command;
use crate::clock;
use crate::document::Source;
use crate::netboot::{INITRD, INITRD_ALIGN, KERNEL, SEGMENT, keep};
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
    let segment = segment.map(|segment| keep(&context.dir, segment, SEGMENT, INITRD_ALIGN)).transpose()?;
    let netboot = Netboot {
        kernel: keep(&context.dir, kernel, KERNEL, 1)?,
        initrd: keep(&context.dir, initrd, INITRD, INITRD_ALIGN)?,
        segment,
        added_at: clock::now_ms(),
        name,
    };
    context.store.set_netboot(&netboot).await?;
    let name = netboot.name;
    sweep(context, before.into_iter().filter(|netboot| netboot.name == name)).await
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
    for group in context.store.groups().await? {
        if (Source { name: &group.name, text: &group.document }.read()?.netboot.as_deref()) == Some(name) {
            bail!("the group {} uses the netboot {name}", group.name);
        }
    }
    let before = context.store.netboots().await?;
    context.store.remove_netboot(name).await?;
    sweep(context, before.into_iter().filter(|netboot| netboot.name == name)).await
}

/// Removes the files of `old` that no netboot means any more.
async fn sweep(context: &Context, old: impl Iterator<Item = Netboot>) -> Result<()> {
    let used: Vec<Digest> = context
        .store
        .netboots()
        .await?
        .into_iter()
        .flat_map(|netboot| files(&netboot))
        .map(|(digest, _)| digest)
        .collect();
    for netboot in old {
        for (digest, file) in files(&netboot) {
            let path = context.dir.boot_file(&digest, file);
            if !used.contains(&digest) && path.exists() {
                let folder = path.parent().context("a file has a folder")?;
                fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
            }
        }
    }
    Ok(())
}

fn files(netboot: &Netboot) -> Vec<(Digest, &'static str)> {
    let segment = netboot.segment.map(|segment| (segment, SEGMENT));
    [(netboot.kernel, KERNEL), (netboot.initrd, INITRD)].into_iter().chain(segment).collect()
}
