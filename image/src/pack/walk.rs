//! A directory as a tar archive: everything below it, on its own filesystem, in the order of the names' bytes.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;

use super::error::{ImportError, io_error};
use crate::acl;
use crate::tar::member::{Kind, Member, Meta, Span, Time, shown};
use crate::tar::write;

/// Size of reads, and of what goes down the pipe at once.
const BUFFER: usize = 256 << 10;
/// XATTR_LIST_MAX and XATTR_SIZE_MAX of include/uapi/linux/limits.h.
const XATTR_MAX: usize = 64 << 10;

/// What an archive of a directory leaves out.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    pub sockets: Vec<String>,
    pub mounts: Vec<String>,
}

/// Runs `use_archive` on the archive of `root`, which a thread writes meanwhile.
pub(super) fn stream<T>(
    root: &Path,
    use_archive: impl FnOnce(&mut dyn BufRead) -> Result<T, ImportError>,
) -> Result<(T, Skipped), ImportError> {
    let (reader, writer) = io::pipe().map_err(io_error("reading", root))?;
    std::thread::scope(|scope| {
        let walker = scope.spawn(move || walk(root, BufWriter::with_capacity(BUFFER, writer)));
        let mut reader = BufReader::with_capacity(BUFFER, reader);
        let used = use_archive(&mut reader);
        // A walker that still writes sees a broken pipe.
        drop(reader);
        let walked = walker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (walked, used) {
            (Ok(skipped), used) => Ok((used?, skipped)),
            (Err(Broken::Pipe), Err(error)) | (Err(Broken::Walk(error)), _) => Err(error),
            (Err(Broken::Pipe), Ok(_)) => Err(io_error("reading", root)(io::ErrorKind::BrokenPipe.into())),
        }
    })
}

/// Why a walk ended.
enum Broken {
    /// The other end of the pipe: it has its own error.
    Pipe,
    /// The directory.
    Walk(ImportError),
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self::Pipe
    }
}

fn walk(root: &Path, out: impl Write) -> Result<Skipped, Broken> {
    let failed = |cause: Errno| Broken::Walk(io_error("opening", root)(cause.into()));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = fs::open(root, flags, Mode::empty()).map_err(failed)?;
    let stat = fs::fstat(&fd).map_err(failed)?;
    let (device, skipped) = (stat.st_dev, Skipped::default());
    let mut walk = Walk {
        root,
        out,
        device,
        links: HashMap::new(),
        skipped,
        buffer: vec![0; BUFFER],
        list: vec![0; XATTR_MAX],
    };
    walk.directory(&fd, &stat, b"")?;
    write::end(&mut walk.out)?;
    walk.out.flush()?;
    Ok(walk.skipped)
}

struct Walk<'a, W> {
    root: &'a Path,
    out: W,
    /// The filesystem that is not left.
    device: u64,
    /// Paths of files with several names, by inode.
    links: HashMap<u64, Vec<u8>>,
    skipped: Skipped,
    buffer: Vec<u8>,
    list: Vec<u8>,
}

impl<W: Write> Walk<'_, W> {
    /// For `map_err`: what was done to which file.
    fn failed(&self, doing: &'static str, path: &[u8]) -> impl Fn(Errno) -> Broken + use<W> {
        let error = io_error(doing, &self.root.join(std::ffi::OsStr::from_bytes(path)));
        move |cause| Broken::Walk(error(cause.into()))
    }

    /// A directory and all that is in it.
    fn directory(&mut self, fd: &OwnedFd, stat: &Stat, path: &[u8]) -> Result<(), Broken> {
        let mut member =
            describe(stat, Kind::Dir, &[path, if path.is_empty() { b"./" } else { b"/" }].concat());
        self.attributes(fd.as_fd(), b".", path, &mut member.meta)?;
        write::member(&mut self.out, &member)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(fd).map_err(self.failed("reading", path))? {
            let entry = entry.map_err(self.failed("reading", path))?;
            names.push(entry.file_name().to_bytes().to_vec());
        }
        names.sort_unstable();
        for name in names.iter().filter(|name| !matches!(name.as_slice(), b"." | b"..")) {
            let path = if path.is_empty() { name.clone() } else { [path, b"/", name].concat() };
            self.entry(fd, name, &path)?;
        }
        Ok(())
    }

    fn entry(&mut self, dir: &OwnedFd, name: &[u8], path: &[u8]) -> Result<(), Broken> {
        let stat = fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(self.failed("reading", path))?;
        let open = |flags| {
            fs::openat(dir, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | flags, Mode::empty())
        };
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let fd = open(OFlags::DIRECTORY).map_err(self.failed("opening", path))?;
                if stat.st_dev == self.device {
                    return self.directory(&fd, &stat, path);
                }
                return self.mount(&fd, &stat, path);
            }
            FileType::Socket => {
                self.skipped.sockets.push(shown(path));
                return Ok(());
            }
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice => Kind::Char,
            FileType::BlockDevice => Kind::Block,
            FileType::Fifo => Kind::Fifo,
            FileType::Unknown => return Err(self.failed("reading", path)(Errno::INVAL)),
        };
        let mut member = describe(&stat, kind, path);
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&stat.st_ino) {
                (member.kind, member.link) = (Kind::HardLink, first.clone());
                return Ok(write::member(&mut self.out, &member)?);
            }
            self.links.insert(stat.st_ino, path.to_vec());
        }
        match kind {
            Kind::File => {
                let fd = open(OFlags::NONBLOCK).map_err(self.failed("opening", path))?;
                self.attributes(dir.as_fd(), name, path, &mut member.meta)?;
                return self.file(&fd, &stat, path, member);
            }
            Kind::Symlink => {
                let target = fs::readlinkat(dir, name, Vec::new()).map_err(self.failed("reading", path))?;
                member.link = target.into_bytes();
            }
            Kind::Char | Kind::Block => member.device = (fs::major(stat.st_rdev), fs::minor(stat.st_rdev)),
            _ => {}
        }
        self.attributes(dir.as_fd(), name, path, &mut member.meta)?;
        Ok(write::member(&mut self.out, &member)?)
    }

    /// A directory that another filesystem is mounted on: itself, without what is in it.
    fn mount(&mut self, fd: &OwnedFd, stat: &Stat, path: &[u8]) -> Result<(), Broken> {
        self.skipped.mounts.push(shown(path));
        let mut member = describe(stat, Kind::Dir, &[path, b"/"].concat());
        self.attributes(fd.as_fd(), b".", path, &mut member.meta)?;
        Ok(write::member(&mut self.out, &member)?)
    }

    fn file(&mut self, fd: &OwnedFd, stat: &Stat, path: &[u8], mut member: Member) -> Result<(), Broken> {
        member.size = u64::try_from(stat.st_size).unwrap_or_default();
        member.stored = member.size;
        // st_blocks counts units of 512 bytes, whatever the filesystem's block is.
        if u64::try_from(stat.st_blocks).unwrap_or_default() * 512 < member.size {
            let spans = data_spans(fd, member.size).map_err(self.failed("looking for holes in", path))?;
            member.stored = spans.iter().map(|span| span.len).sum();
            member.spans = (member.stored < member.size).then_some(spans);
        }
        write::member(&mut self.out, &member)?;
        let whole = [Span { offset: 0, len: member.size }];
        for span in member.spans.as_deref().unwrap_or(&whole) {
            let (mut offset, end) = (span.offset, span.offset + span.len);
            while offset < end {
                let want = self.buffer.len().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
                let read = rustix::io::pread(fd, &mut self.buffer[..want], offset);
                let count = read.map_err(self.failed("reading", path))?;
                if count == 0 {
                    // Shorter than a moment ago: somebody writes in the tree.
                    return Err(self.failed("reading (it became shorter meanwhile)", path)(Errno::IO));
                }
                self.out.write_all(&self.buffer[..count])?;
                offset += count as u64;
            }
        }
        Ok(write::pad(&mut self.out, member.stored)?)
    }

    /// Extended attributes, sorted by name; ACLs in the text form that every tar knows.
    fn attributes(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        meta: &mut Meta,
    ) -> Result<(), Broken> {
        let mut file = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
        file.push(std::ffi::OsStr::from_bytes(name));
        let count = match fs::llistxattr(&file, self.list.as_mut_slice()) {
            Err(Errno::NOTSUP) => return Ok(()),
            listed => listed.map_err(self.failed("listing the attributes of", path))?,
        };
        let mut names: Vec<&[u8]> =
            self.list[..count].split(|&byte| byte == 0).filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        for name in names {
            let failed = self.failed("reading the attributes of", path);
            let mut value = Vec::with_capacity(fs::lgetxattr_query(&file, name).map_err(&failed)?.max(1));
            fs::lgetxattr(&file, name, rustix::buffer::spare_capacity(&mut value)).map_err(&failed)?;
            let text = if name.starts_with(b"system.posix_acl_") { acl::decode(&value) } else { None };
            match text.map(String::into_bytes) {
                Some(text) if name == acl::ACCESS.as_bytes() => meta.acl_access = Some(text),
                Some(text) if name == acl::DEFAULT.as_bytes() => meta.acl_default = Some(text),
                _ => meta.xattrs.push((name.to_vec(), value)),
            }
        }
        Ok(())
    }
}

fn describe(stat: &Stat, kind: Kind, path: &[u8]) -> Member {
    let meta = Meta {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: Time { secs: stat.st_mtime, nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or_default() },
        ..Meta::default()
    };
    Member {
        path: path.to_vec(),
        kind,
        meta,
        size: 0,
        stored: 0,
        spans: None,
        link: Vec::new(),
        device: (0, 0),
    }
}

/// Where a file has data, as the filesystem says (lseek(2), SEEK_DATA).
fn data_spans(fd: &OwnedFd, size: u64) -> Result<Vec<Span>, Errno> {
    let mut spans = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match fs::seek(fd, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => break,
            start => start?.min(size),
        };
        let end = fs::seek(fd, SeekFrom::Hole(start))?.min(size);
        if start < end {
            spans.push(Span { offset: start, len: end - start });
        }
        at = end;
    }
    // GNU tar makes a file as long as its map goes, whatever size it reads: an empty span tells it about a last hole.
    if spans.last().is_none_or(|span: &Span| span.offset + span.len < size) {
        spans.push(Span { offset: size, len: 0 });
    }
    Ok(spans)
}
