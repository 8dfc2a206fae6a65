//! Resolving a path inside a root by hand, for kernels before 5.6 (EL 8 has 4.18), where openat2(2) does not exist.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

/// Links that are followed at most, as the kernel's own limit.
const LINKS: u32 = 40;

/// Opens `path` as openat2(2) does with RESOLVE_IN_ROOT: no link and no `..` leads out of `root`.
///
/// # Errors
/// The kernel's; ELOOP for too many links.
pub fn open(root: &OwnedFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let mut todo = VecDeque::new();
    push_front(&mut todo, path);
    // The directories that lead to where we are; none of them for the root itself.
    let mut way: Vec<OwnedFd> = Vec::new();
    let mut links = 0;
    while let Some(name) = todo.pop_front() {
        if name == ".." {
            way.pop();
            continue;
        }
        let here = way.last().unwrap_or(root);
        let last = todo.is_empty();
        if last && flags.contains(OFlags::NOFOLLOW) {
            return rustix::fs::openat(here, &name, flags, Mode::empty());
        }
        let peek = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = rustix::fs::openat(here, &name, peek, Mode::empty())?;
        match FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) {
            FileType::Symlink => {
                links += 1;
                if links > LINKS {
                    return Err(Errno::LOOP);
                }
                let target = rustix::fs::readlinkat(&found, "", Vec::new())?.into_bytes();
                let target = OsString::from_vec(target);
                if target.as_bytes().starts_with(b"/") {
                    way.clear();
                }
                push_front(&mut todo, Path::new(&target));
            }
            FileType::Directory => way.push(found),
            // Whatever it is by now, no link is followed.
            _ if last => return rustix::fs::openat(here, &name, flags | OFlags::NOFOLLOW, Mode::empty()),
            _ => return Err(Errno::NOTDIR),
        }
    }
    rustix::fs::openat(way.last().unwrap_or(root), ".", flags, Mode::empty())
}

fn push_front(todo: &mut VecDeque<OsString>, path: &Path) {
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => todo.push_front(name.to_owned()),
            Component::ParentDir => todo.push_front("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::ResolveFlags;

    use super::*;

    #[test]
    fn it_goes_where_openat2_goes() {
        let root = tempfile::tempdir().unwrap();
        let path = |below: &str| root.path().join(below);
        fs::create_dir_all(path("usr/etc/ssh")).unwrap();
        fs::write(path("usr/etc/ssh/key"), "inside").unwrap();
        for (link, target) in [
            ("etc", "/usr/etc"),
            ("up", "../../../../usr"),
            ("usr/lib", "../etc/ssh"),
            ("loop", "loop"),
            ("out", "/proc/version"),
            ("file", "etc/ssh/key"),
        ] {
            symlink(target, path(link)).unwrap();
        }
        let directory = OwnedFd::from(fs::File::open(root.path()).unwrap());
        let identity = |file: rustix::io::Result<OwnedFd>| {
            file.map(|file| {
                let status = rustix::fs::fstat(&file).unwrap();
                (status.st_dev, status.st_ino)
            })
        };
        let paths =
            ["", ".", "..", "etc/ssh/key", "up/lib/key", "usr/lib/../key", "loop", "out", "file", "file/x"];
        for path in paths.iter().chain(&["etc/none", "../etc", "etc/ssh/../../etc", "etc"]) {
            for flags in [OFlags::PATH, OFlags::RDONLY, OFlags::PATH | OFlags::NOFOLLOW] {
                let shown = if path.is_empty() { "." } else { path };
                let kernel =
                    rustix::fs::openat2(&directory, shown, flags, Mode::empty(), ResolveFlags::IN_ROOT);
                let ours = open(&directory, Path::new(path), flags);
                assert_eq!(identity(ours), identity(kernel), "{path} with {flags:?}");
            }
        }
    }
}
