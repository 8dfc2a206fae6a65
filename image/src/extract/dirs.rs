//! Handles of the directories that members are in.
//!
//! Archives list a directory's members together, so the handles of one chain from the root are kept: a member in the
//! same directory costs no system call, one in the next directory costs one.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{self, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{Failed, doing};
use crate::tar::member::shown;

/// MSDOS_SUPER_MAGIC of include/uapi/linux/magic.h.
const VFAT: u64 = 0x4d44;

const DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// An open directory.
pub(super) struct Handle {
    fd: OwnedFd,
    /// On a filesystem without owners, modes and attributes (vfat: an EFI system partition).
    pub plain: bool,
}

impl Handle {
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn new(fd: OwnedFd) -> Result<Rc<Self>, Errno> {
        // The field's type differs between architectures.
        let magic = u64::try_from(fs::fstatfs(&fd)?.f_type).unwrap_or_default();
        Ok(Rc::new(Self { fd, plain: magic == VFAT }))
    }
}

/// Why a directory was not entered.
pub(super) enum Refused {
    /// This component is a symlink that leads out of the root.
    Escape(Vec<u8>),
    /// A system call failed.
    Os(Failed),
}

/// A chain of open directories from the root down.
pub(super) struct Dirs {
    root: Rc<Handle>,
    /// Path of the last level, and for each level how much of it is its own.
    path: Vec<u8>,
    levels: Vec<(usize, Rc<Handle>)>,
}

impl Dirs {
    pub fn new(root: BorrowedFd<'_>) -> Result<Self, Errno> {
        let root = Handle::new(rustix::io::fcntl_dupfd_cloexec(root, 0)?)?;
        Ok(Self { root, path: Vec::new(), levels: Vec::new() })
    }

    /// Closes all handles but the root's.
    pub fn leave_all(&mut self) {
        self.levels.clear();
        self.path.clear();
    }

    /// The directory at `dir` (normal, below the root). With `made`, missing ones are made and counted.
    pub fn enter(&mut self, dir: &[u8], mut made: Option<&mut u64>) -> Result<Rc<Handle>, Refused> {
        while let Some((end, _)) = self.levels.last() {
            let own = &self.path[..*end];
            if dir.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest[0] == b'/') {
                break;
            }
            self.levels.pop();
        }
        let mut end = self.levels.last().map_or(0, |(end, _)| *end);
        self.path.truncate(end);
        while end < dir.len() {
            let start = if end == 0 { 0 } else { end + 1 };
            end = dir[start..].iter().position(|&byte| byte == b'/').map_or(dir.len(), |len| start + len);
            let parent = self.levels.last().map_or(&self.root, |(_, handle)| handle);
            let fd = self.open(parent, &dir[..end], start, made.as_deref_mut())?;
            let handle =
                Handle::new(fd).map_err(|cause| Refused::Os(doing("looking at the filesystem")(cause)))?;
            self.path.extend_from_slice(&dir[self.path.len()..end]);
            self.levels.push((end, handle));
        }
        Ok(Rc::clone(self.levels.last().map_or(&self.root, |(_, handle)| handle)))
    }

    /// Opens the last component of `path`, which starts at `start`.
    fn open(
        &self,
        parent: &Handle,
        path: &[u8],
        start: usize,
        made: Option<&mut u64>,
    ) -> Result<OwnedFd, Refused> {
        let name = &path[start..];
        let open = || fs::openat(&parent.fd, name, DIR | OFlags::NOFOLLOW, Mode::empty());
        let opened = match (open(), made) {
            (Err(Errno::NOENT), Some(made)) => {
                *made += 1;
                fs::mkdirat(&parent.fd, name, Mode::from_raw_mode(0o755)).and_then(|()| open())
            }
            (Err(Errno::LOOP | Errno::NOTDIR), _) => self.follow(path),
            (opened, _) => opened,
        };
        opened.map_err(|cause| match cause {
            Errno::XDEV => Refused::Escape(path.to_vec()),
            cause => Refused::Os(doing(&format!("entering the directory {:?}", shown(path)))(cause)),
        })
    }

    /// Opens a directory through symlinks, as long as they stay below the root.
    fn follow(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        fs::openat2(&self.root.fd, path, DIR, Mode::empty(), resolve)
    }
}
