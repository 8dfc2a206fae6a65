//! Files of the new root. Every path is resolved by the kernel inside the root (openat2(2), RESOLVE_IN_ROOT), so
//! that no link of an image leads out of it, however the tree changes meanwhile.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags, Uid};
use rustix::io::Errno;

use super::walk;

/// File system type of FAT (statfs(2)): it has no owners and no links.
const MSDOS_SUPER_MAGIC: i64 = 0x4d44;
/// The one extended attribute that a replaced file hands down: its SELinux label.
const LABEL: &str = "security.selinux";

/// Who may do what with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Permission bits.
    pub mode: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// The new root.
pub struct Root {
    directory: OwnedFd,
    path: PathBuf,
}

impl Root {
    /// The new root, which must be mounted: nothing is to land in the initrd's own memory.
    ///
    /// # Errors
    /// When it is not.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty());
        let directory = directory.with_context(|| format!("opening {}", path.display()))?;
        let status = rustix::fs::statx(&directory, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
            .with_context(|| format!("looking at {}", path.display()))?;
        // Linux before 5.8 (EL 8) does not say so.
        let mounted = match status.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
            true => status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
            false => {
                let real =
                    std::fs::canonicalize(path).with_context(|| format!("looking at {}", path.display()))?;
                super::mounts::below(&real)?.iter().any(|mount| Path::new(&mount.path) == real)
            }
        };
        ensure!(mounted, "the new root {} is not mounted", path.display());
        Ok(Self { directory, path: path.to_owned() })
    }

    /// Opens a path inside the root.
    fn resolve(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = flags | OFlags::CLOEXEC;
        match rustix::fs::openat2(&self.directory, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            Err(Errno::NOSYS) => walk::open(&self.directory, path, flags),
            result => result,
        }
    }

    /// Opens a file of the root for reading, links followed.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open_file(&self, path: &str) -> anyhow::Result<OwnedFd> {
        self.resolve(&relative(path)?, OFlags::RDONLY).with_context(|| format!("opening {path}"))
    }

    /// The root's directory, opened for use.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn reopened(&self) -> anyhow::Result<OwnedFd> {
        reopen(&self.directory).with_context(|| format!("opening {}", self.path.display()))
    }

    /// Whether there is something at `path`; a link counts wherever it points to.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn has(&self, path: &str) -> anyhow::Result<bool> {
        match self.resolve(&relative(path)?, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(error) => Err(error).with_context(|| format!("looking for {path}")),
        }
    }

    /// Opens a directory of the root, after making it and its parents (root, 0755) where they are missing.
    ///
    /// # Errors
    /// When something else is in the way.
    pub fn directory_at(&self, path: &Path) -> anyhow::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let mut prefix = PathBuf::new();
        let mut parent =
            self.resolve(&prefix, flags).with_context(|| format!("opening {}", self.path.display()))?;
        for name in path.components() {
            prefix.push(name);
            parent = match self.resolve(&prefix, flags) {
                Err(Errno::NOENT) => make_directory(parent, name.as_os_str().as_bytes()),
                result => result,
            }
            .with_context(|| format!("opening the directory {}", self.shown(&prefix)))?;
        }
        Ok(parent)
    }

    /// Makes a directory and its parents; also one that is there gets the mode.
    ///
    /// # Errors
    /// When something else is in the way.
    pub fn make_directory(&self, path: &str, mode: u32) -> anyhow::Result<()> {
        let directory = self.directory_at(&relative(path)?)?;
        // A handle of the O_PATH kind cannot be changed; what it stands for can be opened through it.
        let directory = reopen(&directory).with_context(|| format!("opening {path}"))?;
        change(rustix::fs::fchmod(&directory, Mode::from_raw_mode(mode)), &directory)
            .with_context(|| format!("setting the mode of {path}"))
    }

    /// Writes a file, with its final owner and mode from the first byte on. What was there is replaced at once, a
    /// link itself and not what it points to.
    ///
    /// # Errors
    /// When the path leads nowhere, or the device fails.
    pub fn write(&self, path: &str, content: &[u8], owner: Owner) -> anyhow::Result<()> {
        self.replace(path, owner, |file| file.write_all(content))
    }

    /// Copies a file, with its owner and mode.
    ///
    /// # Errors
    /// When there is no regular file, or as for [`Root::write`].
    pub fn copy(&self, from: &str, to: &str) -> anyhow::Result<()> {
        let source = self.open_file(from)?;
        let status = rustix::fs::fstat(&source).with_context(|| format!("looking at {from}"))?;
        ensure!(
            FileType::from_raw_mode(status.st_mode) == FileType::RegularFile,
            "{from} is no regular file"
        );
        let owner = Owner { mode: status.st_mode & 0o7777, uid: status.st_uid, gid: status.st_gid };
        let mut source = File::from(source);
        self.replace(to, owner, |file| io::copy(&mut source, file).map(drop))
    }

    /// Reads a file, and says whose it is.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, path: &str) -> anyhow::Result<(String, Owner)> {
        let file = self.open_file(path)?;
        let status = rustix::fs::fstat(&file).with_context(|| format!("looking at {path}"))?;
        let text = io::read_to_string(File::from(file)).with_context(|| format!("reading {path}"))?;
        Ok((text, Owner { mode: status.st_mode & 0o7777, uid: status.st_uid, gid: status.st_gid }))
    }

    /// Reads a small file that somebody else may have made; `None` if it is not there, is longer than `limit` bytes, or is no
    /// regular file. With its time of modification, in seconds since 1970.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_small(&self, path: &str, limit: u64) -> anyhow::Result<Option<(Vec<u8>, i64)>> {
        // A pipe must not stop us.
        let file = match self.resolve(&relative(path)?, OFlags::RDONLY | OFlags::NONBLOCK) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            result => result.with_context(|| format!("opening {path}"))?,
        };
        let status = rustix::fs::fstat(&file).with_context(|| format!("looking at {path}"))?;
        let regular = FileType::from_raw_mode(status.st_mode) == FileType::RegularFile;
        if !regular || u64::try_from(status.st_size).map_or(true, |size| size > limit) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(File::from(file), limit), &mut bytes)
            .with_context(|| format!("reading {path}"))?;
        Ok(Some((bytes, status.st_mtime as i64)))
    }

    fn replace(
        &self,
        path: &str,
        owner: Owner,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        let (parent, name) = self.parent(path)?;
        let place = Place { parent: &parent, name: &name };
        place.clear();
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&parent, place.temporary(), flags, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(file.with_context(|| format!("making {path}"))?);
        let result = give(&file, owner, place.label().as_deref())
            .with_context(|| format!("setting owner and mode of {path}"))
            .and_then(|()| fill(&mut file).with_context(|| format!("writing {path}")))
            .and_then(|()| place.take().with_context(|| format!("putting {path} in place")));
        if result.is_err() {
            place.clear();
        }
        result
    }

    /// Makes a symbolic link in the place of whatever file is there.
    ///
    /// # Errors
    /// When a directory is in the way, or as for [`Root::write`].
    pub fn link(&self, path: &str, target: &str) -> anyhow::Result<()> {
        let (parent, name) = self.parent(path)?;
        let place = Place { parent: &parent, name: &name };
        place.clear();
        rustix::fs::symlinkat(target, &parent, place.temporary())
            .with_context(|| format!("making the link {path}"))?;
        place.take().inspect_err(|_| place.clear()).with_context(|| format!("putting {path} in place"))
    }

    /// Removes the files at `path`, in whose last component a `*` stands for any text. Directories that such a
    /// pattern hits are left alone.
    ///
    /// # Errors
    /// When `path` itself is a directory, or the device fails.
    pub fn remove(&self, path: &str) -> anyhow::Result<()> {
        let path = relative(path)?;
        let name = path.file_name().context("the root itself cannot be removed")?.to_owned();
        let parent = match self
            .resolve(path.parent().unwrap_or(Path::new("")), OFlags::RDONLY | OFlags::DIRECTORY)
        {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            result => result.with_context(|| format!("opening the directory of {}", self.shown(&path)))?,
        };
        if !name.as_bytes().contains(&b'*') {
            return unlink(&parent, name.as_bytes())
                .with_context(|| format!("removing {}", self.shown(&path)));
        }
        let entries = rustix::fs::Dir::read_from(&parent)?.collect::<rustix::io::Result<Vec<_>>>();
        for entry in entries.with_context(|| format!("reading the directory of {}", self.shown(&path)))? {
            let found = entry.file_name().to_bytes();
            if matches(name.as_bytes(), found) && entry.file_type() != FileType::Directory {
                let shown = String::from_utf8_lossy(found).into_owned();
                unlink(&parent, found).with_context(|| format!("removing {shown}"))?;
            }
        }
        Ok(())
    }

    /// The directory that a file is to be in, made if missing, and the file's name.
    fn parent(&self, path: &str) -> anyhow::Result<(OwnedFd, OsString)> {
        let path = relative(path)?;
        let name = path.file_name().context("a file needs a name")?.to_owned();
        Ok((self.directory_at(path.parent().unwrap_or(Path::new("")))?, name))
    }

    fn shown(&self, path: &Path) -> String {
        format!("/{}", path.display())
    }
}

/// A name in a directory, and the other name under which what comes there is made.
struct Place<'a> {
    parent: &'a OwnedFd,
    name: &'a OsString,
}

impl Place<'_> {
    fn temporary(&self) -> PathBuf {
        let mut name = OsString::from(".camphor-");
        name.push(self.name);
        name.into()
    }

    /// Removes what an interrupted run left.
    fn clear(&self) {
        let _ = rustix::fs::unlinkat(self.parent, self.temporary(), AtFlags::empty());
    }

    fn take(&self) -> rustix::io::Result<()> {
        rustix::fs::renameat(self.parent, self.temporary(), self.parent, self.name)
    }

    /// The SELinux label of the regular file that is there, if there is one.
    fn label(&self) -> Option<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let there = rustix::fs::openat(self.parent, self.name.as_os_str(), flags, Mode::empty()).ok()?;
        let mut label = vec![0; 1024];
        let length = rustix::fs::fgetxattr(there, LABEL, &mut label[..]).ok()?;
        label.truncate(length);
        Some(label)
    }
}

/// A path of an op as one below the root: no `..`, and no leading slash.
fn relative(path: &str) -> anyhow::Result<PathBuf> {
    let mut out = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => out.push(name),
            Component::ParentDir | Component::Prefix(_) => bail!("{path} must not contain .."),
        }
    }
    Ok(out)
}

fn make_directory(parent: OwnedFd, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let mode = Mode::from_raw_mode(0o755);
    rustix::fs::mkdirat(&parent, name, mode)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(&parent, name, flags, Mode::empty())?;
    // The umask is not ours to know.
    change(rustix::fs::fchmod(&made, mode), &made)?;
    Ok(made)
}

/// An O_PATH handle, opened for use.
fn reopen(directory: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(directory, ".", flags, Mode::empty())
}

fn give(file: &File, owner: Owner, label: Option<&[u8]>) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    change(rustix::fs::fchown(file, Some(uid), Some(gid)), file)?;
    change(rustix::fs::fchmod(file, Mode::from_raw_mode(owner.mode)), file)?;
    match label {
        Some(label) => rustix::fs::fsetxattr(file, LABEL, label, rustix::fs::XattrFlags::empty()),
        None => Ok(()),
    }
}

/// FAT refuses owners and most modes; there it does not matter.
fn change(result: rustix::io::Result<()>, file: impl AsFd) -> rustix::io::Result<()> {
    match result {
        Err(Errno::PERM) if rustix::fs::fstatfs(file)?.f_type as i64 == MSDOS_SUPER_MAGIC => Ok(()),
        result => result,
    }
}

fn unlink(parent: &OwnedFd, name: &[u8]) -> anyhow::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(anyhow!(error)),
    }
}

/// Whether `name` fits `pattern`, in which each `*` stands for any text.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|skipped| matches(rest, &name[skipped..])),
        Some((first, rest)) => {
            name.split_first().is_some_and(|(byte, tail)| byte == first && matches(rest, tail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches(b"ssh_host_*", b"ssh_host_rsa_key"));
        assert!(matches(b"*.rpmnew", b".rpmnew"));
        assert!(matches(b"a*b*c", b"a-b-b-c"));
        assert!(!matches(b"a*b*c", b"a-c-b"));
        assert!(!matches(b"etc", b"etcetera"));
    }

    #[test]
    fn paths_stay_below() {
        assert_eq!(relative("/etc//./fstab").unwrap(), Path::new("etc/fstab"));
        assert!(relative("/etc/../../x").is_err());
    }
}
