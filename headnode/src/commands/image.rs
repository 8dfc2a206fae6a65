//! `headnode image …`

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use image::pack::{ImportError, ImportOptions, Privileged, REPORT_FILE, Report, import};
use nii::digest::Digest;
use nii::manifest::{MANIFEST_FILE, Manifest};
use serde_json::json;

use super::{Context, check_name, named, short};
use crate::cli::Image as Command;
use crate::document::Document;
use crate::output::{self, List};
use crate::{clock, keys, log};

pub(super) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Import { name, source, allow_secret, strip } => {
            let options = ImportOptions {
                allow_secrets: allow_secret,
                strip_secrets: strip,
                ..ImportOptions::new(name)
            };
            add(context, &source, &options).await
        }
        Command::List => list(context).await,
        Command::Show { name } => show(context, &name).await,
        Command::Rm { name } => remove(context, &name).await,
    }
}

async fn add(context: &Context, source: &Path, options: &ImportOptions) -> Result<()> {
    let name = options.name.as_str();
    check_name("image", name)?;
    let key = keys::image_key(&context.dir)?;
    let imported = import(source, &context.dir.images(), &key, options, &mut |_| {})
        .map_err(advised)
        .with_context(|| format!("importing {}", source.display()))?;
    let before = context.store.images().await?.into_iter().find(|image| image.name == name);
    let before = before.and_then(|image| report(context, &image.digest));
    context.store.set_image(name, imported.digest).await?;
    tell(name, &imported.report, before.as_ref());
    let Manifest { plain_size, stored_size, inodes, .. } = imported.manifest;
    log::line(format_args!(
        "{name}: {} MiB in {inodes} files, {} MiB stored, manifest {}",
        plain_size >> 20,
        stored_size >> 20,
        imported.digest
    ));
    if context.output != crate::cli::Output::Table {
        output::data(context.output, &named(name, &imported.digest))?;
    }
    Ok(())
}

/// What can be done about secrets.
fn advised(error: ImportError) -> anyhow::Error {
    let advice = match error {
        ImportError::Secrets(_) => {
            "take them out of the source, leave them out with --strip, or keep each with --allow-secret PATH \
             (docs/image.md, Secrets)"
        }
        _ => return error.into(),
    };
    anyhow::anyhow!("{error}\n{advice}")
}

/// What an admin should know: paths, and never what is in the files.
fn tell(name: &str, report: &Report, before: Option<&Report>) {
    for secret in &report.stripped {
        log::line(format_args!("{name}: left out {secret}"));
    }
    for secret in &report.allowed {
        log::line(format_args!("{name}: with {secret}, as was allowed"));
    }
    let old = before.map(|before| before.privileged.as_slice());
    let there = |files: &[Privileged], file: &Privileged| files.contains(file);
    let fresh = report.privileged.iter().filter(|file| old.is_none_or(|old| !there(old, file)));
    for file in fresh {
        let since = if old.is_some() { ", not so in the version before" } else { "" };
        log::line(format_args!("{name}: privileged: {file}{since}"));
    }
    for file in old.unwrap_or_default().iter().filter(|file| !there(&report.privileged, file)) {
        log::line(format_args!("{name}: no longer privileged so: {file}"));
    }
}

/// What was found when the image was imported; `None` if an older release did that.
fn report(context: &Context, digest: &Digest) -> Option<Report> {
    let bytes = fs::read(context.dir.images().join(digest.to_string()).join(REPORT_FILE)).ok()?;
    serde_json::from_slice(&bytes).ok()
}

pub(super) fn manifest(context: &Context, digest: &Digest) -> Result<Manifest> {
    let path = context.dir.images().join(digest.to_string()).join(MANIFEST_FILE);
    let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    Manifest::parse(&bytes).with_context(|| format!("reading {}", path.display()))
}

async fn list(context: &Context) -> Result<()> {
    let mut list = List::new(&["name", "manifest", "os", "size", "stored", "imported"]);
    for image in context.store.images().await? {
        let manifest = manifest(context, &image.digest)?;
        let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
        let imported = clock::text(image.imported_at);
        let json = json!({
            "name": image.name, "digest": image.digest, "imported_at": imported, "os": manifest.os.pretty_name,
            "plain_size": manifest.plain_size, "stored_size": manifest.stored_size,
        });
        let sizes = (mib(manifest.plain_size), mib(manifest.stored_size));
        let row = vec![image.name, short(&image.digest), manifest.os.pretty_name, sizes.0, sizes.1, imported];
        list.push(row, json);
    }
    list.print(context.output)
}

async fn digest(context: &Context, name: &str) -> Result<Digest> {
    let found = context.store.images().await?.into_iter().find(|image| image.name == name);
    Ok(found.with_context(|| format!("there is no image `{name}`: see `headnode image list`"))?.digest)
}

async fn show(context: &Context, name: &str) -> Result<()> {
    let digest = digest(context, name).await?;
    let mut json = serde_json::to_value(manifest(context, &digest)?)?;
    json["digest"] = digest.to_string().into();
    if let Some(report) = report(context, &digest) {
        json["import"] = serde_json::to_value(report)?;
    }
    output::data(context.output, &json)
}

/// The files go when no name means them any more.
async fn remove(context: &Context, name: &str) -> Result<()> {
    let digest = digest(context, name).await?;
    let names = |document: &Document| document.image.as_ref().is_some_and(|image| image.name == name);
    if let Some(user) = context.user_of(names).await? {
        bail!("{user} uses the image {name}");
    }
    context.store.remove_image(name).await?;
    if context.store.images().await?.iter().all(|image| image.digest != digest) {
        let folder = context.dir.images().join(digest.to_string());
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    Ok(())
}
