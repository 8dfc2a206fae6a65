//! Trees in the data folder: `os/NAME~VERSION`, a folder or a symbolic link to one. Nodes are given the version, so one
//! that is being installed keeps its tree when the name gets another.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use rustix::fs::{AtFlags, CWD, FlockOperation, Timespec, Timestamps, UTIME_NOW, flock, utimensat};
use rustix::io::Errno;
use tempfile::TempDir;
use uuid::Uuid;

use super::content::{folder_name, parse_folder};
use crate::data_dir::DataDir;
use crate::netboot::GRACE;

/// A tree that is being copied.
const INCOMING: &str = ".incoming";

/// All of them, while nobody else changes them.
#[derive(Debug)]
pub struct Versions {
    folder: PathBuf,
    _lock: File,
}

impl Versions {
    /// Takes the lock, and removes what an import that was killed left.
    ///
    /// # Errors
    /// When somebody else has the lock, or the data folder cannot be written.
    pub fn lock(dir: &DataDir) -> Result<Self> {
        let folder = dir.trees();
        let open = || -> Result<File> {
            fs::create_dir_all(&folder)?;
            Ok(File::open(&folder)?)
        };
        let lock = open().with_context(|| format!("opening {}", folder.display()))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => bail!("another `os import` or `os rm` is under way: wait for its end"),
            Err(error) => return Err(error).with_context(|| format!("locking {}", folder.display())),
        }
        let versions = Self { folder, _lock: lock };
        for (name, path) in versions.entries()? {
            if name.starts_with(INCOMING) {
                remove(&path)?;
            }
        }
        Ok(versions)
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A folder to copy a tree to, that goes if nothing comes of it.
    ///
    /// # Errors
    /// When the data folder cannot be written.
    pub fn incoming(&self) -> Result<TempDir> {
        let made = tempfile::Builder::new().prefix(INCOMING).tempdir_in(&self.folder);
        made.with_context(|| format!("making a folder in {}", self.folder.display()))
    }

    /// Makes a version of what came, or a link to `linked`. Its name.
    ///
    /// # Errors
    /// When the data folder cannot be written.
    pub fn place(&self, name: &str, tree: Placed<'_>) -> Result<String> {
        let version = Uuid::new_v4().simple().to_string()[..8].to_owned();
        let path = self.folder.join(folder_name(name, &version));
        let placed = match tree {
            Placed::Copied(incoming) => {
                let incoming = incoming.keep();
                fs::rename(&incoming, &path).inspect_err(|_| drop(fs::remove_dir_all(&incoming)))
            }
            Placed::Linked(folder) => symlink(folder, &path),
        };
        placed.with_context(|| format!("making {}", path.display()))?;
        Ok(version)
    }

    /// From now on no name means this version.
    ///
    /// # Errors
    /// When the data folder cannot be written.
    pub fn retire(&self, name: &str, version: &str) -> Result<()> {
        let path = self.folder.join(folder_name(name, version));
        // Its own time says since when, that of the link if it is one.
        let now = || Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now(), last_modification: now() };
        match utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("marking {}", path.display())),
        }
    }

    /// Removes what no name means (`is_used`) and has not for an hour, unless a node that is being installed since
    /// `installing` may need it.
    ///
    /// # Errors
    /// When the data folder cannot be read or written.
    pub fn sweep(&self, is_used: impl Fn(&str, &str) -> bool, installing: Option<SystemTime>) -> Result<()> {
        for (folder, path) in self.entries()? {
            let Some((name, version)) = parse_folder(&folder) else { continue };
            let since = fs::symlink_metadata(&path).and_then(|metadata| metadata.modified());
            let since = since.with_context(|| format!("looking at {}", path.display()))?;
            // One from the future stays: somebody set the clock.
            let is_old = since.elapsed().is_ok_and(|age| age > GRACE);
            let is_needed = installing.is_some_and(|installing| installing <= since);
            if is_old && !is_needed && !is_used(name, version) {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// Removes all versions of a name.
    ///
    /// # Errors
    /// When the data folder cannot be written.
    pub fn remove(&self, name: &str) -> Result<()> {
        for (folder, path) in self.entries()? {
            if parse_folder(&folder).is_some_and(|(of, _)| of == name) {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// Removes one version.
    ///
    /// # Errors
    /// When the data folder cannot be written.
    pub fn discard(&self, name: &str, version: &str) -> Result<()> {
        remove(&self.folder.join(folder_name(name, version)))
    }

    fn entries(&self) -> Result<Vec<(String, PathBuf)>> {
        let read = || -> std::io::Result<Vec<(String, PathBuf)>> {
            let mut entries = Vec::new();
            for entry in fs::read_dir(&self.folder)? {
                let entry = entry?;
                entries.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
            }
            Ok(entries)
        };
        read().with_context(|| format!("reading {}", self.folder.display()))
    }
}

/// What becomes a version.
#[derive(Debug)]
pub enum Placed<'a> {
    /// A copy.
    Copied(TempDir),
    /// A folder of the site's, which stays where it is.
    Linked(&'a Path),
}

/// A tree, or the link to one and not what is behind it.
fn remove(path: &Path) -> Result<()> {
    let is_link = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    let removed = if is_link { fs::remove_file(path) } else { fs::remove_dir_all(path) };
    removed.with_context(|| format!("removing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_go_when_nobody_needs_them() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = DataDir::create(&scratch.path().join("data")).unwrap();
        let mirror = scratch.path().join("mirror");
        fs::create_dir(&mirror).unwrap();
        let versions = Versions::lock(&dir).unwrap();
        assert!(Versions::lock(&dir).unwrap_err().to_string().contains("is under way"));
        let used = versions.place("a", Placed::Copied(versions.incoming().unwrap())).unwrap();
        let copied = versions.place("a", Placed::Copied(versions.incoming().unwrap())).unwrap();
        let linked = versions.place("a", Placed::Linked(&mirror)).unwrap();
        let there = || {
            let mut there = versions.entries().unwrap().len();
            for version in [&used, &copied, &linked] {
                there -= usize::from(versions.folder.join(folder_name("a", version)).exists());
            }
            assert_eq!(there, 0);
            versions.entries().unwrap().len()
        };
        let sweep = |installing| versions.sweep(|_, version| version == used, installing).unwrap();
        versions.retire("a", &copied).unwrap();
        sweep(None);
        assert_eq!(there(), 3, "all are young");
        let old = SystemTime::now() - 2 * GRACE;
        let seconds = old.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
        let time = || Timespec { tv_sec: seconds, tv_nsec: 0 };
        for version in [&used, &copied, &linked] {
            let times = Timestamps { last_access: time(), last_modification: time() };
            let path = versions.folder.join(folder_name("a", version));
            utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        }
        sweep(Some(old - GRACE));
        assert_eq!(there(), 3, "a node has been at it since before");
        sweep(Some(SystemTime::now()));
        assert_eq!(there(), 1, "a node that began later has the new one");
        assert!(mirror.exists(), "the site's folder is the site's");
        fs::create_dir(versions.folder.join(".incomingX")).unwrap();
        drop(versions);
        assert_eq!(Versions::lock(&dir).unwrap().entries().unwrap().len(), 1);
    }
}
