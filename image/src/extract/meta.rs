//! Owner, mode, attributes and times of one inode.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{self, AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;

use super::{Failed, doing};
use crate::acl::{self, Names};
use crate::tar::member::{Meta, Time, shown};

/// How an inode is reached.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    /// Open.
    Open(BorrowedFd<'a>),
    /// By its name in a directory: devices and FIFOs, which must not be opened.
    Name(BorrowedFd<'a>, &'a [u8]),
    /// The same, and the name is a symlink's: it has no mode.
    Symlink(BorrowedFd<'a>, &'a [u8]),
}

/// Sets all of `meta`: owner, mode, attributes and ACLs, times; in that order, since each would undo one after it.
pub(super) fn set(target: Target<'_>, meta: &Meta, names: &Names) -> Result<(), Failed> {
    let (uid, gid) = (Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)));
    let mode = Mode::from_raw_mode(meta.mode);
    match target {
        Target::Open(fd) => fs::fchown(fd, uid, gid),
        Target::Name(dir, name) | Target::Symlink(dir, name) => {
            fs::chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
        }
    }
    .map_err(doing("setting the owner"))?;
    match target {
        Target::Open(fd) => fs::fchmod(fd, mode),
        Target::Name(dir, name) => fs::chmodat(dir, name, mode, AtFlags::empty()),
        Target::Symlink(..) => Ok(()),
    }
    .map_err(doing("setting the mode"))?;
    for (name, value) in &meta.xattrs {
        set_xattr(target, name, value)?;
    }
    set_acls(target, meta, names)?;
    set_times(target, meta.mtime)
}

/// Sets the ACLs that come as text. Where the archive has the attribute itself, that is the exact one.
pub(super) fn set_acls(target: Target<'_>, meta: &Meta, names: &Names) -> Result<(), Failed> {
    for (attribute, text) in [(acl::ACCESS, &meta.acl_access), (acl::DEFAULT, &meta.acl_default)] {
        let Some(text) = text else { continue };
        if meta.xattrs.iter().any(|(name, _)| name == attribute.as_bytes()) {
            continue;
        }
        let value = acl::encode(text, names).map_err(|error| Failed {
            doing: "reading the ACL".to_owned(),
            cause: std::io::Error::other(error),
        })?;
        set_xattr(target, attribute.as_bytes(), &value)?;
    }
    Ok(())
}

fn set_xattr(target: Target<'_>, name: &[u8], value: &[u8]) -> Result<(), Failed> {
    match target {
        Target::Open(fd) => fs::fsetxattr(fd, name, value, XattrFlags::empty()),
        Target::Name(dir, file) | Target::Symlink(dir, file) => {
            // setxattrat(2) is younger (6.13) than the kernels we run on. The last component is not followed.
            let mut path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
            path.push(std::ffi::OsStr::from_bytes(file));
            fs::lsetxattr(&path, name, value, XattrFlags::empty())
        }
    }
    .map_err(|cause: Errno| doing(&format!("setting the attribute {}", shown(name)))(cause))
}

/// Sets the time of the last change; the time of the last access stays.
pub(super) fn set_times(target: Target<'_>, mtime: Time) -> Result<(), Failed> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.secs, tv_nsec: mtime.nanos.into() },
    };
    match target {
        Target::Open(fd) => fs::futimens(fd, &times),
        Target::Name(dir, name) | Target::Symlink(dir, name) => {
            fs::utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW)
        }
    }
    .map_err(doing("setting the times"))
}
