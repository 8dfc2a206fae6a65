//! The kernel's part of an initrd: modules with everything they need, the text files that name them, their firmware.
//!
//! `index` reads what depmod wrote, `closure` decides which modules go in, `firmware` finds what they ask for, `sets`
//! holds the default lists (the place to add one more driver), and this file puts the result into the tree.

pub mod closure;
pub mod firmware;
pub mod index;
pub mod modinfo;
pub mod sets;

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::codec;
use crate::tree::Tree;
use closure::Chosen;
use firmware::Firmware;
use index::Index;

/// Puts the chosen modules, decompressed, their trimmed indexes and their firmware into the tree. Returns warnings.
pub fn pack(tree: &mut Tree, index: &Index, chosen: &Chosen, firmware: &Firmware) -> Result<Vec<String>> {
    let mut wanted = BTreeMap::new();
    for name in &chosen.modules {
        let module = &index.modules[name];
        let data = read(index, &module.path)?;
        let names = modinfo::values(&data, "firmware")
            .with_context(|| format!("reading .modinfo of {}", module.path))?;
        if !names.is_empty() {
            wanted.insert(name.clone(), names);
        }
        tree.file(&format!("{}/{}", index.inside(), index::plain_path(&module.path)), 0o644, data)?;
    }
    for (file, text) in index.trimmed(&chosen.modules) {
        tree.file(&format!("{}/{file}", index.inside()), 0o644, text.into_bytes())?;
    }
    firmware.pack(tree, &wanted)
}

fn read(index: &Index, path: &str) -> Result<Vec<u8>> {
    let host = index.dir.join(path);
    let stored = std::fs::read(&host).with_context(|| format!("reading {}", host.display()))?;
    codec::plain(stored).with_context(|| format!("decompressing {}", host.display()))
}
