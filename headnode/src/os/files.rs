//! The files of a tree. They are opened beneath it: no symbolic link, and no `..`, leads anywhere else, also not when
//! a linked mirror changes later.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2, statvfs, syncfs};
use rustix::io::Errno;

/// The folder that a tree is in.
#[derive(Debug)]
pub struct Root(OwnedFd);

impl Root {
    /// Opens it. A symbolic link to it is followed.
    ///
    /// # Errors
    /// When it is no folder.
    pub fn open(folder: &Path) -> io::Result<Self> {
        Ok(Self(open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?))
    }

    /// Opens a regular file of the tree.
    ///
    /// # Errors
    /// `NotFound`, too, where there is something else or the path leads out of the tree.
    pub fn file(&self, path: impl AsRef<Path>) -> io::Result<File> {
        // Nobody is to wait for a pipe's other end.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match self.beneath(path.as_ref(), flags) {
            Ok(file) => File::from(file),
            Err(Errno::XDEV | Errno::LOOP | Errno::NOTDIR) => return Err(io::ErrorKind::NotFound.into()),
            Err(error) => return Err(error.into()),
        };
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// Whether there is such a file.
    ///
    /// # Errors
    /// When that cannot be said.
    pub fn has(&self, path: &str) -> io::Result<bool> {
        match self.file(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// openat2(2); may be told to try again when something is renamed at the same time.
    fn beneath(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        loop {
            match openat2(&self.0, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return result,
            }
        }
    }
}

/// What is in a tree.
#[derive(Debug, Default)]
pub struct Inventory {
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
    links: Vec<PathBuf>,
    /// Sum of the files' sizes, in bytes.
    pub size: u64,
}

impl Inventory {
    /// Lists a tree. `lost+found` of a file system of its own is left out.
    ///
    /// # Errors
    /// When it cannot be read, or has a symbolic link that leads out of it, or a device.
    pub fn of(folder: &Path) -> Result<Self> {
        let root = Root::open(folder).with_context(|| format!("opening {}", folder.display()))?;
        let mut inventory = Self { folders: vec![PathBuf::new()], ..Self::default() };
        let mut next = 0;
        while let Some(below) = inventory.folders.get(next).cloned() {
            next += 1;
            let path = folder.join(&below);
            inventory.add(&root, &path, &below).with_context(|| format!("reading {}", path.display()))?;
        }
        inventory.folders.remove(0);
        Ok(inventory)
    }

    /// Number of files.
    pub fn count(&self) -> u64 {
        self.files.len() as u64
    }

    fn add(&mut self, root: &Root, folder: &Path, below: &Path) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (path, kind) = (below.join(entry.file_name()), entry.file_type()?);
            if kind.is_dir() {
                if path != OsStr::new("lost+found") {
                    self.folders.push(path);
                }
            } else if kind.is_file() {
                self.size += entry.metadata()?.len();
                self.files.push(path);
            } else if kind.is_symlink() {
                match root.beneath(&path, OFlags::PATH | OFlags::CLOEXEC) {
                    // One that leads nowhere is not served.
                    Ok(_) | Err(Errno::NOENT) => self.links.push(path),
                    Err(Errno::XDEV) => bail!("the symbolic link {} leads out of the tree", path.display()),
                    Err(error) => return Err(error).with_context(|| path.display().to_string()),
                }
            } else {
                bail!("{} is neither a file nor a folder", path.display());
            }
        }
        Ok(())
    }

    /// Copies the tree to the empty folder `target`, with the times that `Last-Modified` is made of.
    ///
    /// # Errors
    /// When something cannot be read or written.
    pub fn copy(&self, folder: &Path, target: &Path) -> Result<()> {
        for below in &self.folders {
            let path = target.join(below);
            fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        }
        for below in &self.files {
            copy_file(&folder.join(below), &target.join(below))
                .with_context(|| format!("copying {}", folder.join(below).display()))?;
        }
        for below in &self.links {
            fs::read_link(folder.join(below))
                .and_then(|leads| symlink(leads, target.join(below)))
                .with_context(|| format!("copying {}", folder.join(below).display()))?;
        }
        let synced = File::open(target).and_then(|target| Ok(syncfs(target)?));
        synced.with_context(|| format!("writing {}", target.display()))
    }
}

/// Refuses `files` files with `size` bytes if they do not fit beside what is in `target`'s file system.
///
/// # Errors
/// When there is less room than they need.
pub fn ensure_room(size: u64, files: u64, target: &Path) -> Result<()> {
    let there = statvfs(target).with_context(|| format!("looking at {}", target.display()))?;
    let free = there.f_bavail.saturating_mul(there.f_frsize);
    // The last block of each is its own.
    let needed = size + files * there.f_frsize;
    ensure!(
        needed <= free,
        "a copy needs {} MiB in {}, and {} MiB are free there: make room, or leave a folder where it is (--link)",
        needed.div_ceil(1 << 20),
        target.display(),
        free >> 20
    );
    Ok(())
}

/// Where the file system can, this is a clone of the file (`copy_file_range(2)`).
fn copy_file(source: &Path, target: &Path) -> io::Result<()> {
    fs::copy(source, target)?;
    File::open(target)?.set_modified(fs::metadata(source)?.modified()?)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn text(root: &Root, path: &str) -> io::Result<String> {
        let mut text = String::new();
        root.file(path)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn nothing_leads_out() {
        let scratch = tempfile::tempdir().unwrap();
        let tree = scratch.path().join("tree");
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::write(scratch.path().join("secret"), "secret").unwrap();
        fs::write(tree.join("a/file"), "file").unwrap();
        symlink("../file", tree.join("a/b/inside")).unwrap();
        symlink("nowhere", tree.join("dangling")).unwrap();
        let root = Root::open(&tree).unwrap();
        assert_eq!(text(&root, "a/file").unwrap(), "file");
        assert_eq!(text(&root, "a/b/inside").unwrap(), "file");
        let inventory = Inventory::of(&tree).unwrap();
        assert_eq!((inventory.count(), inventory.size), (1, 4));
        let copy = scratch.path().join("copy");
        fs::create_dir(&copy).unwrap();
        inventory.copy(&tree, &copy).unwrap();
        assert_eq!(fs::read_link(copy.join("a/b/inside")).unwrap(), Path::new("../file"));
        let modified = |path: PathBuf| fs::metadata(path).unwrap().modified().unwrap();
        assert_eq!(modified(copy.join("a/file")), modified(tree.join("a/file")));
        for leads in ["../../../secret", "/proc/self/environ", "/"] {
            symlink(leads, tree.join("a/b/out")).unwrap();
            for path in [
                "a/b/out",
                "a/b/out/secret",
                "../secret",
                "a/../../secret",
                "/etc/passwd",
                "a",
                "dangling",
                "a/file/x",
            ] {
                assert_eq!(text(&root, path).unwrap_err().kind(), io::ErrorKind::NotFound, "{leads}: {path}");
            }
            let refusal = format!("{:#}", Inventory::of(&tree).unwrap_err());
            assert!(refusal.contains("a/b/out leads out of the tree"), "{refusal}");
            fs::remove_file(tree.join("a/b/out")).unwrap();
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_beforehand() {
        let scratch = tempfile::tempdir().unwrap();
        // Takes no room.
        File::create(scratch.path().join("big")).unwrap().set_len(1 << 42).unwrap();
        let inventory = Inventory::of(scratch.path()).unwrap();
        let refused = ensure_room(inventory.size, inventory.count(), scratch.path());
        let refusal = refused.unwrap_err().to_string();
        assert!(refusal.starts_with("a copy needs 41943") && refusal.contains("--link"), "{refusal}");
    }
}
