//! Whether a tree has all that an install needs, and what it is.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use nii::v1::Family;
use ring::digest::{Context as Sha, SHA256};

use super::files::Root;
use super::treeinfo::{self, BASE, Treeinfo};
use super::{Content, Repository, repomd};
use crate::log;
use crate::names::is_name;

/// Where a tree's `.treeinfo` is: on a DVD, and on a mirror of what is built like RHEL, whose repositories are side by side.
const FOLDERS: [&str; 2] = ["", "BaseOS/x86_64/os"];
/// Some mirrors hide no files (anaconda's `TREE_INFO_NAMES`).
const NAMES: [&str; 2] = [".treeinfo", "treeinfo"];
/// The repository that RHEL's installer needs beside its base.
const APPSTREAM: &str = "AppStream";

/// Reads and checks the tree in `folder`. Errors have paths below it.
///
/// # Errors
/// What is missing or wrong, and where.
pub fn read(folder: &Path) -> Result<Content> {
    let root = Root::open(folder).with_context(|| format!("opening {}", folder.display()))?;
    let (place, name) = find(&root, folder)?;
    let file = below(place, name);
    let text = text(&root, &file, treeinfo::SIZE_MAX).with_context(|| file.clone())?;
    let info = treeinfo::parse(&text, place).with_context(|| file.clone())?;
    for (what, path) in [("kernel", &info.kernel), ("initrd", &info.initrd), ("second stage", &info.stage2)] {
        ensure!(root.has(path)?, "{path}: the {what} is not there, and {file} names it");
    }
    let repositories = repositories(&root, folder, place, &info)?;
    for repository in &repositories {
        check_metadata(&root, repository).with_context(|| format!("the repository {}", repository.name))?;
    }
    check_sums(&root, &info)?;
    let Treeinfo { title, os, kernel, initrd, stage2, .. } = info;
    Ok(Content { title, os, root: place.to_owned(), kernel, initrd, stage2, repositories })
}

fn below(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

fn find(root: &Root, folder: &Path) -> Result<(&'static str, &'static str)> {
    for place in FOLDERS {
        for name in NAMES {
            if root.has(&below(place, name)).with_context(|| format!("looking into {}", folder.display()))? {
                return Ok((place, name));
            }
        }
    }
    bail!(
        "this is no install tree: there is no {} (a DVD has it at the top, a mirror in {})",
        NAMES[0],
        FOLDERS[1]
    )
}

fn text(root: &Root, path: &str, most: u64) -> Result<String> {
    let mut text = String::new();
    root.file(path)?.take(most + 1).read_to_string(&mut text)?;
    ensure!(text.len() as u64 <= most, "has more than {} KiB", most >> 10);
    Ok(text)
}

/// Those that `.treeinfo` names, which must be there, and those that are beside them.
fn repositories(root: &Root, folder: &Path, place: &str, info: &Treeinfo) -> Result<Vec<Repository>> {
    let mut found: Vec<Repository> = Vec::new();
    for (name, path) in &info.variants {
        ensure!(
            root.has(&below(path, repomd::FILE))?,
            "{} is not there, and .treeinfo names the repository {name}: what is imported must be whole (the DVD, and not \
             a boot or netinst ISO; of a mirror, the folder with {BASE} and {APPSTREAM})",
            below(path, repomd::FILE)
        );
        found.push(Repository { name: name.clone(), path: path.clone(), used: true });
    }
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let name = entry?.file_name();
        let Some(name) = name.to_str().filter(|name| is_name(name)) else { continue };
        for path in [name.to_owned(), format!("{name}/{}/os", info.os.arch)] {
            let is_new = found.iter().all(|found| found.path != path && found.name != name);
            if is_new && root.has(&below(&path, repomd::FILE))? {
                let used = info.os.family == Family::Rhel && name == APPSTREAM;
                found.push(Repository { name: name.to_owned(), path, used });
            }
        }
    }
    ensure!(found.iter().any(|found| found.used), ".treeinfo names no repository");
    // Anaconda takes this one for its source's own; the rest by name.
    let base = |found: &Repository| found.used && (found.name == BASE || found.path == place);
    found.sort_by_key(|found| (!base(found), !found.used, found.name.clone()));
    Ok(found)
}

/// Metadata of a repository that is used must be whole; packages are dnf's to check.
fn check_metadata(root: &Root, repository: &Repository) -> Result<()> {
    let list = below(&repository.path, repomd::FILE);
    let listed = text(root, &list, repomd::SIZE_MAX)
        .and_then(|text| repomd::parse(&text))
        .with_context(|| list.clone())?;
    for data in listed.iter().filter(|_| repository.used) {
        let path = treeinfo::join(&repository.path, &data.href).with_context(|| list.clone())?;
        ensure!(root.has(&path)?, "{path} is not there, and {list} names it: is the mirror copied whole?");
        if let Some(wanted) = &data.sha256 {
            check_sum(root, &path, wanted)?;
        }
    }
    Ok(())
}

fn check_sums(root: &Root, info: &Treeinfo) -> Result<()> {
    for (path, wanted) in &info.checksums {
        if root.has(path)? {
            check_sum(root, path, wanted)?;
        } else {
            log::line(format_args!(
                "{path} is not there, and .treeinfo has its checksum: no install needs it"
            ));
        }
    }
    Ok(())
}

fn check_sum(root: &Root, path: &str, wanted: &str) -> Result<()> {
    let is = sha256(root, path).with_context(|| format!("reading {path}"))?;
    ensure!(is == wanted, "{path} has the SHA-256 {is}, and should have {wanted}: copy it again");
    Ok(())
}

fn sha256(root: &Root, path: &str) -> io::Result<String> {
    let (mut file, mut sum) = (root.file(path)?, Sha::new(&SHA256));
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(sum.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()),
            read => sum.update(&buffer[..read]),
        }
    }
}
