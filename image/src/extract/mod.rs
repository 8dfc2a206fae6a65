//! Extraction of an archive below one directory handle.
//!
//! What an archive says is untrusted here, even though images are signed: no path leads out of the root, and nothing
//! beyond the limits is written. Directories are entered component by component without following symlinks; only
//! where a component *is* a symlink does the kernel resolve the path, and refuses to leave the root
//! (`openat2`, `RESOLVE_BENEATH`).
//!
//! A file's metadata is set in this order: data, owner, mode, attributes, times: a change of the owner clears
//! setuid bits and capabilities. Directories get theirs at the very end, when nothing is written into them any more:
//! their times stay, and no default ACL is inherited by what the archive brings itself. A later member of the same
//! name wins, as with GNU tar.

mod dirs;
mod error;
mod meta;
mod names;

use std::collections::BTreeMap;
use std::io::BufRead;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::acl::{self, Names};
use crate::path;
use crate::tar::member::{Kind, Member, Meta, shown};
use crate::tar::read::Reader;
use dirs::{Dirs, Handle, Refused};
pub use error::ExtractError;
use error::{Failed, doing};
use meta::Target;

/// What an archive may make at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Inodes, the root's own included.
    pub inodes: u64,
    /// Bytes of file data.
    pub bytes: u64,
}

/// Extracts members below a root.
pub struct Extractor {
    /// Directories of members.
    dirs: Dirs,
    /// Directories of hard links' targets: apart, so that neither closes the other's.
    targets: Dirs,
    /// Metadata of directories, by path: set at the end.
    pending: BTreeMap<Vec<u8>, Meta>,
    /// ACLs with names that only the image's own /etc/passwd can turn into numbers: set at the end.
    named_acls: Vec<(Vec<u8>, Meta)>,
    limits: Limits,
    inodes: u64,
    bytes: u64,
}

/// Where a member goes.
struct Place<'a> {
    path: &'a [u8],
    dir: Rc<Handle>,
    name: &'a [u8],
}

impl Extractor {
    /// An extractor below `root`, a handle of an existing directory. Nobody else may write below it meanwhile.
    ///
    /// # Errors
    /// `root` is no directory, or there are no more handles.
    pub fn new(root: BorrowedFd<'_>, limits: Limits) -> Result<Self, ExtractError> {
        let dirs = || Dirs::new(root).map_err(|cause| doing("opening the directory")(cause).of(b"."));
        Ok(Self {
            dirs: dirs()?,
            targets: dirs()?,
            pending: BTreeMap::new(),
            named_acls: Vec::new(),
            limits,
            inodes: 1,
            bytes: 0,
        })
    }

    /// Extracts a member; its data comes from `reader`.
    ///
    /// # Errors
    /// See [`ExtractError`]; the target is then of no use.
    pub fn member<R: BufRead>(
        &mut self,
        mut member: Member,
        reader: &mut Reader<R>,
    ) -> Result<(), ExtractError> {
        let path = path::normal(&member.path)
            .map_err(|cause| ExtractError::Path { member: shown(&member.path), cause })?;
        if member.kind == Kind::Dir && path.is_empty() {
            self.pending.insert(path, member.meta);
            return Ok(());
        }
        let (dir, name) = path::split(&path);
        if name.is_empty() {
            return Err(senseless(&member.path, "names the root, and is no directory"));
        }
        self.count(&member)?;
        let dir = self.dirs.enter(dir, Some(&mut self.inodes)).map_err(|refused| error(refused, &path))?;
        self.check_inodes(&path)?;
        let place = Place { path: &path, dir, name };
        match member.kind {
            Kind::Dir => {
                self.directory(&place)?;
                self.pending.insert(path, member.meta);
            }
            Kind::File => self.file(&place, &mut member, reader)?,
            Kind::HardLink => self.hard_link(&place, &member.link)?,
            Kind::Symlink | Kind::Char | Kind::Block | Kind::Fifo => self.special(&place, &mut member)?,
        }
        Ok(())
    }

    /// Sets what had to wait for the last member: ACLs by name, then the directories' metadata.
    ///
    /// # Errors
    /// See [`ExtractError`].
    pub fn finish(mut self) -> Result<(), ExtractError> {
        let names = names::of_target(&mut self.dirs);
        for (path, acls) in &self.named_acls {
            let (dir, name) = path::split(path);
            let dir = self.dirs.enter(dir, None).map_err(|refused| error(refused, path))?;
            let target = Target::Name(dir.fd(), name);
            let set = meta::set_acls(target, acls, &names).and_then(|()| meta::set_times(target, acls.mtime));
            set.map_err(|failed| failed.of(path))?;
        }
        // Deepest first: a directory may be closed to us once its mode is set.
        for (path, meta) in self.pending.iter().rev() {
            let dir = self.dirs.enter(path, None).map_err(|refused| error(refused, path))?;
            set(&dir, Target::Open(dir.fd()), meta, &names).map_err(|failed| failed.of(path))?;
        }
        Ok(())
    }

    /// Counts a member against the limits, before anything is written.
    fn count(&mut self, member: &Member) -> Result<(), ExtractError> {
        self.bytes = self.bytes.saturating_add(member.stored);
        if self.bytes > self.limits.bytes {
            let limit = self.limits.bytes;
            return Err(ExtractError::Limit { member: shown(&member.path), what: "bytes", limit });
        }
        self.inodes += u64::from(member.kind != Kind::HardLink);
        self.check_inodes(&member.path)
    }

    fn check_inodes(&self, path: &[u8]) -> Result<(), ExtractError> {
        let limit = self.limits.inodes;
        if self.inodes > limit {
            return Err(ExtractError::Limit { member: shown(path), what: "inodes", limit });
        }
        Ok(())
    }

    /// Makes something under a name; an earlier namesake goes.
    fn make<T>(
        &mut self,
        place: &Place<'_>,
        what: &str,
        make: impl Fn(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>,
    ) -> Result<T, ExtractError> {
        match make(place.dir.fd(), place.name) {
            Err(Errno::EXIST) => {
                self.clear(place)?;
                make(place.dir.fd(), place.name)
            }
            made => made,
        }
        .map_err(|cause| doing(what)(cause).of(place.path))
    }

    /// Makes room for a member where an earlier one is. A directory must be empty: what is in it came with the archive.
    fn clear(&mut self, place: &Place<'_>) -> Result<(), ExtractError> {
        let remove = |flags| fs::unlinkat(place.dir.fd(), place.name, flags);
        match remove(AtFlags::empty()) {
            Err(Errno::ISDIR) => match remove(AtFlags::REMOVEDIR) {
                Err(Errno::NOTEMPTY) => {
                    return Err(senseless(place.path, "would replace a directory that is not empty"));
                }
                removed => removed,
            },
            removed => removed,
        }
        .map_err(|cause| doing("removing an earlier namesake")(cause).of(place.path))?;
        // They may have come through the symlink that is gone; `dirs` is at the place itself, and no deeper.
        self.targets.leave_all();
        self.pending.remove(place.path);
        self.named_acls.retain(|(path, _)| path != place.path);
        Ok(())
    }

    /// A directory. An existing one stays; anything else of that name goes, also a symlink to a directory.
    fn directory(&mut self, place: &Place<'_>) -> Result<(), ExtractError> {
        let known = match fs::mkdirat(place.dir.fd(), place.name, Mode::RWXU) {
            Err(Errno::EXIST) => fs::statat(place.dir.fd(), place.name, AtFlags::SYMLINK_NOFOLLOW),
            made => return made.map_err(|cause| doing("making the directory")(cause).of(place.path)),
        };
        let known = known.map_err(|cause| doing("looking at an earlier namesake")(cause).of(place.path))?;
        if FileType::from_raw_mode(known.st_mode) == FileType::Directory {
            self.inodes -= 1;
            return Ok(());
        }
        self.make(place, "making the directory", |dir, name| fs::mkdirat(dir, name, Mode::RWXU))
    }

    fn file<R: BufRead>(
        &mut self,
        place: &Place<'_>,
        member: &mut Member,
        reader: &mut Reader<R>,
    ) -> Result<(), ExtractError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let fd = self.make(place, "creating the file", |dir, name| fs::openat(dir, name, flags, mode))?;
        write_data(fd.as_fd(), place.path, member, reader)?;
        self.set(place, Target::Open(fd.as_fd()), member)
    }

    fn special(&mut self, place: &Place<'_>, member: &mut Member) -> Result<(), ExtractError> {
        let (link, device) = (&member.link, fs::makedev(member.device.0, member.device.1));
        let kind = match member.kind {
            Kind::Char => FileType::CharacterDevice,
            Kind::Block => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        if member.kind == Kind::Symlink {
            self.make(place, "making the symlink", |dir, name| fs::symlinkat(link.as_slice(), dir, name))?;
            return self.set(place, Target::Symlink(place.dir.fd(), place.name), member);
        }
        let mode = Mode::RUSR | Mode::WUSR;
        self.make(place, "making the node", |dir, name| fs::mknodat(dir, name, kind, mode, device))?;
        self.set(place, Target::Name(place.dir.fd(), place.name), member)
    }

    /// A further name of an earlier member. Its metadata is that member's.
    fn hard_link(&mut self, place: &Place<'_>, link: &[u8]) -> Result<(), ExtractError> {
        let target = path::normal(link).map_err(|cause| ExtractError::Link {
            member: shown(place.path),
            target: shown(link),
            cause,
        })?;
        let (dir, target) = path::split(&target);
        if target.is_empty() {
            return Err(senseless(place.path, "is a hard link to the root"));
        }
        let from = self.targets.enter(dir, None).map_err(|refused| error(refused, place.path))?;
        let stat = |dir: &Handle, name: &[u8]| fs::statat(dir.fd(), name, AtFlags::SYMLINK_NOFOLLOW);
        if let (Ok(old), Ok(new)) = (stat(&from, target), stat(&place.dir, place.name))
            && (old.st_dev, old.st_ino) == (new.st_dev, new.st_ino)
        {
            return Ok(());
        }
        let what = format!("hard-linking {:?}", shown(link));
        self.make(place, &what, |dir, name| fs::linkat(from.fd(), target, dir, name, AtFlags::empty()))
    }

    /// Sets the metadata of what is not a directory; ACLs by name wait for the image's own /etc/passwd.
    fn set(
        &mut self,
        place: &Place<'_>,
        target: Target<'_>,
        member: &mut Member,
    ) -> Result<(), ExtractError> {
        let meta = &mut member.meta;
        if [&meta.acl_access, &meta.acl_default].into_iter().flatten().any(|text| acl::by_name(text)) {
            let acls = Meta {
                acl_access: meta.acl_access.take(),
                acl_default: meta.acl_default.take(),
                mtime: meta.mtime,
                ..Meta::default()
            };
            self.named_acls.push((place.path.to_vec(), acls));
        }
        set(&place.dir, target, meta, &Names::default()).map_err(|failed| failed.of(place.path))
    }
}

/// Sets metadata as far as the filesystem has any.
fn set(dir: &Handle, target: Target<'_>, meta: &Meta, names: &Names) -> Result<(), Failed> {
    if dir.plain { meta::set_times(target, meta.mtime) } else { meta::set(target, meta, names) }
}

fn senseless(path: &[u8], problem: &str) -> ExtractError {
    ExtractError::Senseless { member: shown(path), problem: problem.to_owned() }
}

fn error(refused: Refused, path: &[u8]) -> ExtractError {
    match refused {
        Refused::Escape(link) => ExtractError::Escape { member: shown(path), link: shown(&link) },
        Refused::Os(failed) => failed.of(path),
    }
}

/// Writes a file's data straight from the reader's buffer; holes stay holes.
fn write_data<R: BufRead>(
    fd: BorrowedFd<'_>,
    path: &[u8],
    member: &Member,
    reader: &mut Reader<R>,
) -> Result<(), ExtractError> {
    let failed = |cause| doing("writing the data")(cause).of(path);
    let Some(spans) = &member.spans else {
        loop {
            let bytes = reader.data()?;
            if bytes.is_empty() {
                return Ok(());
            }
            let count = retry_on_intr(|| rustix::io::write(fd, bytes)).map_err(failed)?;
            reader.consume(count);
        }
    };
    fs::ftruncate(fd, member.size).map_err(failed)?;
    for span in spans {
        let (mut offset, mut left) = (span.offset, span.len);
        while left > 0 {
            let bytes = reader.data()?;
            let bytes = &bytes[..bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
            let count = retry_on_intr(|| rustix::io::pwrite(fd, bytes, offset)).map_err(failed)?;
            reader.consume(count);
            offset += count as u64;
            left -= count as u64;
        }
    }
    Ok(())
}
