//! The contents of an initrd before they are written: paths, modes, bytes. Knows the layout, not where things come from.
//!
//! The layout is merged-usr (`/bin`, `/sbin`, `/lib`, `/lib64` are links into `/usr`), whatever the layout of the root
//! that the contents came from: every path is moved below `/usr` when it is added.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use anyhow::{Result, bail};

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Dir,
    /// A regular file.
    File(Vec<u8>),
    /// A symbolic link and its text.
    Symlink(String),
    /// A character device: major, minor.
    Char(u32, u32),
}

/// One entry; owner and group are always root, the time is always 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Permission bits, 0o7777 at most.
    pub mode: u32,
    /// What it is.
    pub node: Node,
}

/// All entries by path, without the leading `/`. The order of paths puts each directory before what is in it.
#[derive(Debug, Default)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

const DIRS: &[(&str, u32)] = &[
    ("/usr/bin", 0o755),
    ("/usr/sbin", 0o755),
    ("/usr/lib", 0o755),
    ("/usr/lib64", 0o755),
    ("/dev", 0o755),
    ("/proc", 0o555),
    ("/sys", 0o555),
    ("/run", 0o755),
    ("/tmp", 0o1777),
    ("/etc", 0o755),
    ("/root", 0o700),
    ("/newroot", 0o755),
    ("/mnt", 0o755),
    ("/var", 0o755),
];

const MERGED: &[&str] = &["bin", "sbin", "lib", "lib64"];

/// Nodes that must be there before devtmpfs is mounted: the kernel opens /dev/console for PID 1 (numbers from the
/// kernel's Documentation/admin-guide/devices.txt).
const DEVICES: &[(&str, u32, u32, u32)] =
    &[("/dev/console", 0o600, 5, 1), ("/dev/null", 0o666, 1, 3), ("/dev/kmsg", 0o644, 1, 11)];

impl Tree {
    /// The skeleton: directories, merged-usr links, device nodes, `/etc/hosts` (or `localhost` has no address), `/etc/mtab`.
    pub fn skeleton() -> Result<Self> {
        let mut tree = Self::default();
        for (path, mode) in DIRS {
            tree.add(path, *mode, Node::Dir)?;
        }
        for name in MERGED {
            tree.entries
                .insert((*name).into(), Entry { mode: 0o777, node: Node::Symlink(format!("usr/{name}")) });
        }
        for (path, mode, major, minor) in DEVICES {
            tree.add(path, *mode, Node::Char(*major, *minor))?;
        }
        tree.file("/etc/hosts", 0o644, b"127.0.0.1 localhost\n::1 localhost\n".to_vec())?;
        tree.symlink("/etc/mtab", "../proc/self/mounts")?;
        Ok(tree)
    }

    /// Adds a regular file.
    pub fn file(&mut self, path: &str, mode: u32, data: Vec<u8>) -> Result<()> {
        self.add(path, mode, Node::File(data))
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<()> {
        self.add(path, 0o777, Node::Symlink(target.into()))
    }

    /// Whether something is at `path`.
    pub fn contains(&self, path: &str) -> bool {
        placed(path).is_ok_and(|path| self.entries.contains_key(&path))
    }

    /// All entries, in the order they are written.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    fn add(&mut self, path: &str, mode: u32, node: Node) -> Result<()> {
        let path = placed(path)?;
        self.parents(&path)?;
        let entry = Entry { mode, node };
        match self.entries.entry(path) {
            Slot::Vacant(slot) => {
                slot.insert(entry);
            }
            // Two tools may share a library or a link: the same thing twice is one thing.
            Slot::Occupied(slot) if *slot.get() == entry => {}
            Slot::Occupied(slot) => bail!("/{} is in the initrd already, with other contents", slot.key()),
        }
        Ok(())
    }

    fn parents(&mut self, path: &str) -> Result<()> {
        for (end, _) in path.match_indices('/') {
            let parent = &path[..end];
            match self.entries.get(parent) {
                None => {
                    self.entries.insert(parent.into(), Entry { mode: 0o755, node: Node::Dir });
                }
                Some(Entry { node: Node::Dir, .. }) => {}
                Some(_) => bail!("/{path} cannot be added: /{parent} is no directory"),
            }
        }
        Ok(())
    }
}

/// Where an absolute path lies in the merged layout, without the leading `/`.
pub fn placed(path: &str) -> Result<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if !path.starts_with('/') || parts.is_empty() || parts.contains(&"..") {
        bail!("{path:?} is no place in an initrd: it must be absolute, without \"..\"");
    }
    let merged = parts.len() > 1 && MERGED.contains(&parts[0]);
    Ok(if merged { format!("usr/{}", parts.join("/")) } else { parts.join("/") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_moved_below_usr() {
        assert_eq!(placed("/lib/modules//x").unwrap(), "usr/lib/modules/x");
        assert_eq!(placed("/usr/sbin/a").unwrap(), "usr/sbin/a");
        assert_eq!(placed("/libexec/a").unwrap(), "libexec/a");
        for bad in ["relative", "/", "/a/../b"] {
            assert!(placed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn conflicts_are_refused_and_repeats_are_not() {
        let mut tree = Tree::skeleton().unwrap();
        tree.file("/lib/a/b", 0o644, b"1".to_vec()).unwrap();
        tree.file("/usr/lib/a/b", 0o644, b"1".to_vec()).unwrap();
        let error = tree.file("/lib/a/b", 0o644, b"2".to_vec()).unwrap_err();
        assert!(error.to_string().starts_with("/usr/lib/a/b is in the initrd already"));
        assert!(tree.file("/lib/a/b/c", 0o644, vec![]).unwrap_err().to_string().contains("no directory"));
    }

    #[test]
    fn directories_come_before_what_is_in_them() {
        let mut tree = Tree::skeleton().unwrap();
        tree.file("/usr-x/a", 0o644, vec![]).unwrap();
        let paths: Vec<&str> = tree.entries().map(|(path, _)| path).collect();
        for path in &paths {
            if let Some((parent, _)) = path.rsplit_once('/') {
                assert!(paths.iter().position(|p| p == &parent) < paths.iter().position(|p| p == path));
            }
        }
    }
}
