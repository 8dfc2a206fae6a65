//! Firmware that modules name: searched as the kernel does (drivers/base/firmware_loader/main.c), stored decompressed
//! under the plain name, which the kernel tries first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::codec;
use crate::pattern;
use crate::tree::Tree;

/// Where firmware is looked for.
#[derive(Debug)]
pub struct Firmware {
    dirs: Vec<PathBuf>,
}

impl Firmware {
    /// Searches below each of `trees`, in their order: `updates/V`, `updates`, `V`, and the tree itself.
    pub fn new(trees: &[PathBuf], version: &str) -> Self {
        let below = |tree: &PathBuf| {
            [tree.join("updates").join(version), tree.join("updates"), tree.join(version), tree.clone()]
        };
        Self { dirs: trees.iter().flat_map(below).collect() }
    }

    /// Packs what the modules in `wanted` (module → firmware names) ask for; one warning per module that lacks some.
    pub fn pack(&self, tree: &mut Tree, wanted: &BTreeMap<String, Vec<String>>) -> Result<Vec<String>> {
        let mut warnings = Vec::new();
        for (module, names) in wanted {
            let mut missing = Vec::new();
            for name in names {
                let found = self.find(name);
                if found.is_empty() {
                    missing.push(name.as_str());
                }
                for (name, path) in found {
                    let stored =
                        std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
                    let data =
                        codec::plain(stored).with_context(|| format!("decompressing {}", path.display()))?;
                    tree.file(&format!("/lib/firmware/{name}"), 0o644, data)?;
                }
            }
            if !missing.is_empty() {
                warnings.push(format!(
                    "module {module}: {} of its {} firmware files not found: {}",
                    missing.len(),
                    names.len(),
                    missing.join(" ")
                ));
            }
        }
        Ok(warnings)
    }

    /// The files that a name, or a pattern in its last part, stands for: plain name and place.
    fn find(&self, name: &str) -> BTreeMap<String, PathBuf> {
        let (folder, last) = name.rsplit_once('/').unwrap_or(("", name));
        if !last.contains(['*', '?', '[']) {
            let found = self.dirs.iter().find_map(|dir| stored(&dir.join(name)));
            return found.map(|path| (name.to_owned(), path)).into_iter().collect();
        }
        let mut found = BTreeMap::new();
        for dir in &self.dirs {
            for entry in std::fs::read_dir(dir.join(folder)).into_iter().flatten().flatten() {
                let Ok(file) = entry.file_name().into_string() else { continue };
                let plain = plain_name(&file);
                if pattern::matches(last, plain) {
                    found.entry(Path::new(folder).join(plain).display().to_string()).or_insert(entry.path());
                }
            }
        }
        found
    }
}

const SUFFIXES: &[&str] = &[".zst", ".xz"];

fn stored(path: &Path) -> Option<PathBuf> {
    let with = |suffix: &str| PathBuf::from(format!("{}{suffix}", path.display()));
    std::iter::once("").chain(SUFFIXES.iter().copied()).map(with).find(|path| path.is_file())
}

fn plain_name(file: &str) -> &str {
    SUFFIXES.iter().find_map(|suffix| file.strip_suffix(suffix)).unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Node;

    #[test]
    fn found_in_order_decompressed_or_warned_about() {
        let dir = tempfile::tempdir().unwrap();
        let tree_dir = dir.path();
        let put = |path: &str, data: &[u8]| {
            let path = tree_dir.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, data).unwrap();
        };
        put("nic/a.fw", b"old");
        put("updates/nic/a.fw", b"new");
        put("nic/b.fw.zst", &zstd::encode_all(b"packed".as_slice(), 1).unwrap());
        put("nic/c-1.bin", b"c1");
        put("nic/c-2.bin", b"c2");
        let wanted = BTreeMap::from([
            ("nic".into(), vec!["nic/a.fw".into(), "nic/b.fw".into(), "nic/c-*.bin".into()]),
            ("poor".into(), vec!["nic/a.fw".into(), "gone.fw".into()]),
        ]);
        let mut tree = Tree::skeleton().unwrap();
        let warnings = Firmware::new(&[tree_dir.into()], "1.2").pack(&mut tree, &wanted).unwrap();
        assert_eq!(warnings, ["module poor: 1 of its 2 firmware files not found: gone.fw"]);
        let packed: Vec<(&str, &[u8])> = tree
            .entries()
            .filter_map(|(path, entry)| match &entry.node {
                Node::File(data) => Some((path.strip_prefix("usr/lib/firmware/nic/")?, data.as_slice())),
                _ => None,
            })
            .collect();
        let want: [(&str, &[u8]); 4] =
            [("a.fw", b"new"), ("b.fw", b"packed"), ("c-1.bin", b"c1"), ("c-2.bin", b"c2")];
        assert_eq!(packed, want);
    }
}
