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
use crate::netboot::{INITRD, INITRD_ALIGN, KERNEL, keep};
use crate::output::List;
use crate::store::inventory::Netboot;

pub(super) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Add { name, kernel, initrd } => add(context, &name, &kernel, &initrd).await,
        Command::List => list(context).await,
        Command::Rm { name } => remove(context, &name).await,
    }
}

async fn add(context: &Context, name: &str, kernel: &Path, initrd: &Path) -> Result<()> {
    check_name("netboot", name)?;
    let before = context.store.netboots().await?;
    let kernel = keep(&context.dir, kernel, KERNEL, 1)?;
    let initrd = keep(&context.dir, initrd, INITRD, INITRD_ALIGN)?;
    context.store.set_netboot(name, kernel, initrd).await?;
    sweep(context, before.into_iter().filter(|netboot| netboot.name == name)).await
}

async fn list(context: &Context) -> Result<()> {
    let mut list = List::new(&["name", "kernel", "initrd", "added"]);
    for Netboot { name, kernel, initrd, added_at } in context.store.netboots().await? {
        let added = clock::text(added_at);
        let json = json!({"name": name, "kernel": kernel, "initrd": initrd, "added_at": added});
        list.push(vec![name, short(&kernel), short(&initrd), added], json);
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
        .flat_map(|netboot| [netboot.kernel, netboot.initrd])
        .collect();
    for netboot in old {
        for (digest, file) in [(netboot.kernel, KERNEL), (netboot.initrd, INITRD)] {
            let path = context.dir.boot_file(&digest, file);
            if !used.contains(&digest) && path.exists() {
                let folder = path.parent().context("a file has a folder")?;
                fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
            }
        }
    }
    Ok(())
}
