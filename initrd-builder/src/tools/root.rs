//! Paths inside a root folder, resolved as if chrooted there: a link of an unpacked distribution never leads to the
//! machine that builds.

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// As many links as the kernel follows (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// A folder taken as `/`.
#[derive(Debug)]
pub struct Root {
    base: PathBuf,
}

/// Where a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The path itself and further links that its last part leads through; empty if it is no link.
    pub links: Vec<String>,
    /// What is there in the end. No part of it is a link.
    pub file: String,
}

impl Root {
    /// Takes `base` as `/`.
    pub fn new(base: PathBuf) -> Self {
        Self { base }
    }

    /// The path on this machine of a path inside.
    pub fn host(&self, inside: &str) -> PathBuf {
        self.base.join(inside.trim_start_matches('/'))
    }

    /// Whether `inside` is, or leads to, a regular file.
    pub fn is_file(&self, inside: &str) -> bool {
        inside.starts_with('/') && self.resolve(inside).is_ok_and(|found| self.host(&found.file).is_file())
    }

    /// Follows all links of `inside`.
    pub fn resolve(&self, inside: &str) -> Result<Resolved> {
        let mut todo: VecDeque<String> = parts(inside).collect();
        let mut done: Vec<String> = Vec::new();
        let mut links = Vec::new();
        let mut followed = 0;
        while let Some(part) = todo.pop_front() {
            if part == ".." {
                done.pop();
                continue;
            }
            done.push(part);
            let here = format!("/{}", done.join("/"));
            let host = self.host(&here);
            let kind =
                std::fs::symlink_metadata(&host).with_context(|| format!("looking at {}", host.display()))?;
            if !kind.is_symlink() {
                continue;
            }
            followed += 1;
            if followed > MAX_LINKS {
                bail!("{inside} leads through more than {MAX_LINKS} links in {self}");
            }
            if todo.is_empty() {
                links.push(here);
            }
            let target = std::fs::read_link(&host).with_context(|| format!("reading {}", host.display()))?;
            let target = target.to_str().with_context(|| format!("{} is not UTF-8", host.display()))?;
            done.pop();
            if target.starts_with('/') {
                done.clear();
            }
            for part in parts(target).collect::<Vec<_>>().into_iter().rev() {
                todo.push_front(part);
            }
        }
        Ok(Resolved { links, file: format!("/{}", done.join("/")) })
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.base.display().fmt(f)
    }
}

fn parts(path: &str) -> impl Iterator<Item = String> + '_ {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path();
        std::fs::create_dir_all(base.join("usr/lib/real")).unwrap();
        std::fs::write(base.join("usr/lib/real/lib.so.1.2"), "x").unwrap();
        symlink("usr/lib", base.join("lib")).unwrap();
        symlink("/lib/real/lib.so.1", base.join("usr/lib/lib.so")).unwrap();
        symlink("../../../../lib/real/lib.so.1.2", base.join("usr/lib/real/lib.so.1")).unwrap();
        symlink("loop", base.join("loop")).unwrap();
        let root = Root::new(base.into());
        let found = root.resolve("/lib/lib.so").unwrap();
        assert_eq!(found.links, ["/usr/lib/lib.so", "/usr/lib/real/lib.so.1"]);
        assert_eq!(found.file, "/usr/lib/real/lib.so.1.2");
        assert_eq!(root.resolve("/lib/real/./lib.so.1.2").unwrap().links, Vec::<String>::new());
        assert!(root.resolve("/loop").unwrap_err().to_string().contains("more than 40 links"));
        assert!(!root.is_file("/lib/real") && !root.is_file("/etc/passwd"));
    }
}
