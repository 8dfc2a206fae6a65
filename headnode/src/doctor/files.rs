//! The store, and the files that it names.

use std::fs;
use std::path::Path;

use anyhow::{Result, anyhow, bail, ensure};
use nii::digest::Digest;
use nii::manifest::{DATA_FILE, MANIFEST_FILE, Manifest, PAGES_FILE, RECORD_BYTES, SIGNATURE_FILE};

use super::{Examined, Finding, Stored};
use crate::netboot::{INITRD, KERNEL, SEGMENT};

/// Whether the store can be read, and is whole.
pub fn store(examined: &Examined) -> Result<Vec<Finding>> {
    let about = examined.dir.database().display().to_string();
    let todo =
        "if the disk is full, make room; else stop `headnode serve`, and bring a backup or an export back";
    Ok(match &examined.stored {
        Err(error) => vec![Finding::problem(about, error.clone(), todo)],
        Ok(Stored { damage, catalog, nodes }) if damage.is_empty() => {
            let said = format!("whole: {} nodes in {} groups", nodes.len(), catalog.groups.len());
            vec![Finding::ok(about, said)]
        }
        Ok(Stored { damage, .. }) => {
            damage.iter().map(|damage| Finding::problem(&about, damage.clone(), todo)).collect()
        }
    })
}

/// Whether images, netboots and scripts are there, as they were; and whether the nodes' documents name what is.
pub fn named(examined: &Examined) -> Result<Vec<Finding>> {
    let Stored { catalog, nodes, .. } =
        examined.stored.as_ref().map_err(|_| anyhow!("the store is not read"))?;
    let mut findings = Vec::new();
    for (name, digest) in &catalog.images {
        let todo = format!("headnode image import {name} DIR|TARBALL");
        let folder = examined.dir.images().join(digest.to_string());
        findings.push(found(format!("image {name}"), image(&folder, digest), todo));
    }
    for (name, netboot) in &catalog.netboots {
        let todo = format!("headnode netboot add {name} …");
        let segment = netboot.segment.map(|segment| (segment, SEGMENT));
        let mut files = [(netboot.kernel, KERNEL), (netboot.initrd, INITRD)].into_iter().chain(segment);
        let whole =
            files.try_for_each(|(digest, file)| whole(&examined.dir.boot_file(&digest, file), &digest));
        findings.push(found(format!("netboot {name}"), whole, todo));
    }
    for (name, script) in &catalog.scripts {
        let todo = format!("headnode script add {name} FILE");
        let whole = whole(&examined.dir.script(&script.digest), &script.digest);
        findings.push(found(format!("script {name}"), whole, todo));
    }
    for node in nodes {
        if let Err(error) = catalog.recipe(node.clone()) {
            let todo = format!("headnode group edit {}, or headnode node edit {}", node.group, node.name);
            findings.push(Finding::problem(format!("node {}", node.name), format!("{error:#}"), todo));
        }
    }
    Ok(findings)
}

fn found(about: String, outcome: Result<()>, todo: String) -> Finding {
    match outcome {
        Ok(()) => Finding::ok(about, "there, as it was added"),
        Err(error) => Finding::problem(about, format!("{error:#}"), todo),
    }
}

fn whole(path: &Path, digest: &Digest) -> Result<()> {
    let Ok(bytes) = fs::read(path) else { bail!("{} cannot be read", path.display()) };
    ensure!(Digest::of(&bytes) == *digest, "{} is not what was added", path.display());
    Ok(())
}

/// Of its data the size only: it may be many GiB, and nodes verify every chunk.
fn image(folder: &Path, digest: &Digest) -> Result<()> {
    let path = folder.join(MANIFEST_FILE);
    whole(&path, digest)?;
    let manifest = Manifest::parse(&fs::read(&path)?)?;
    let pages = manifest.chunks * u64::from(RECORD_BYTES);
    for (file, size) in
        [(DATA_FILE, Some(manifest.stored_size)), (PAGES_FILE, Some(pages)), (SIGNATURE_FILE, None)]
    {
        let path = folder.join(file);
        let Ok(metadata) = path.metadata() else { bail!("{} is not there", path.display()) };
        let size = size.unwrap_or(metadata.len());
        ensure!(metadata.len() == size, "{} has {} bytes, not {size}", path.display(), metadata.len());
    }
    Ok(())
}
