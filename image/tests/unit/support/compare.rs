//! Compares two trees in all that a filesystem says about them: every field of lstat that belongs to the file itself
//! (nanoseconds, device numbers, link counts), which names are one file, attributes byte for byte, contents, and that
//! holes are holes.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::SeekFrom;

/// All that is compared, as text: the differences are for people.
pub type Facts = BTreeMap<&'static str, String>;

/// Differences between two trees, one a line; empty if there are none.
pub fn differences(wanted: &Path, found: &Path) -> Vec<String> {
    let (a, b) = (describe(wanted), describe(found));
    let mut differences = Vec::new();
    for path in a.keys().chain(b.keys().filter(|path| !a.contains_key(*path))) {
        match (a.get(path), b.get(path)) {
            (Some(a), Some(b)) => {
                for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                    if a.get(key) != b.get(key) {
                        let shown = |facts: &Facts| facts.get(key).map(|text| cut(text)).unwrap_or_default();
                        differences.push(format!("{path:?}: {key}: {} -> {}", shown(a), shown(b)));
                    }
                }
                contents(&wanted.join(path), &found.join(path), &mut differences);
            }
            (a, _) => {
                differences.push(format!("{path:?}: {}", if a.is_some() { "missing" } else { "added" }))
            }
        }
    }
    differences
}

fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

fn describe(root: &Path) -> BTreeMap<PathBuf, Facts> {
    let (mut tree, mut inodes) = (BTreeMap::new(), HashMap::new());
    visit(root, Path::new(""), &mut tree, &mut inodes);
    tree
}

fn visit(root: &Path, path: &Path, tree: &mut BTreeMap<PathBuf, Facts>, inodes: &mut HashMap<u64, PathBuf>) {
    let full = root.join(path);
    let stat = fs::symlink_metadata(&full).unwrap();
    let mut facts = Facts::new();
    facts.insert("mode", format!("{:o}", stat.mode()));
    facts.insert("owner", format!("{}:{}", stat.uid(), stat.gid()));
    facts.insert("device", format!("{:x}", stat.rdev()));
    facts.insert("mtime", format!("{}.{:09}", stat.mtime(), stat.mtime_nsec()));
    if !stat.is_dir() {
        facts.insert("size", stat.size().to_string());
        facts.insert("names", stat.nlink().to_string());
        let first = inodes.entry(stat.ino()).or_insert_with(|| path.to_owned());
        facts.insert("same file as", format!("{first:?}"));
    }
    if stat.is_symlink() {
        facts.insert("target", format!("{:?}", fs::read_link(&full).unwrap()));
    }
    facts.insert("attributes", attributes(&full));
    tree.insert(path.to_owned(), facts);
    if stat.is_dir() {
        let mut names: Vec<_> =
            fs::read_dir(&full).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names.iter().for_each(|name| visit(root, &path.join(name), tree, inodes));
    }
}

fn attributes(path: &Path) -> String {
    let mut list = vec![0; 64 << 10];
    let count = rustix::fs::llistxattr(path, list.as_mut_slice()).unwrap();
    let mut names: Vec<_> = list[..count].split(|&byte| byte == 0).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    let mut value = vec![0; 64 << 10];
    let mut show = |name: &&[u8]| {
        let count = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), value.as_mut_slice()).unwrap();
        format!("{}={} ", name.escape_ascii(), value[..count].escape_ascii())
    };
    names.iter().map(&mut show).collect()
}

fn contents(wanted: &Path, found: &Path, differences: &mut Vec<String>) {
    let (a, b) = (fs::symlink_metadata(wanted).unwrap(), fs::symlink_metadata(found).unwrap());
    if !a.is_file() || !b.is_file() || a.len() != b.len() {
        return;
    }
    // Preallocation and block sizes differ; a hole that was filled is larger than that.
    if b.blocks() > a.blocks() + 256 {
        differences.push(format!(
            "{found:?}: {} blocks instead of {}: holes were filled",
            b.blocks(),
            a.blocks()
        ));
    }
    let (a, b) = (File::open(wanted).unwrap(), File::open(found).unwrap());
    let mut buffers = [vec![0; 1 << 20], vec![0; 1 << 20]];
    // Where either has data: the other must have the same, or a hole of zeros.
    for (offset, len) in data(&a).into_iter().chain(data(&b)) {
        let mut at = offset;
        while at < offset + len {
            let count = ((offset + len - at) as usize).min(1 << 20);
            let [left, right] = &mut buffers;
            a.read_exact_at(&mut left[..count], at).unwrap();
            b.read_exact_at(&mut right[..count], at).unwrap();
            if left[..count] != right[..count] {
                differences.push(format!("{found:?}: content differs near byte {at}"));
                return;
            }
            at += count as u64;
        }
    }
}

/// Where a file has data.
fn data(file: &File) -> Vec<(u64, u64)> {
    let size = file.metadata().unwrap().len();
    let (mut spans, mut at) = (Vec::new(), 0);
    while at < size {
        let Ok(start) = rustix::fs::seek(file, SeekFrom::Data(at)) else { break };
        at = rustix::fs::seek(file, SeekFrom::Hole(start)).unwrap();
        spans.push((start, at - start));
    }
    spans
}
