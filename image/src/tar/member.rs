//! What a tar archive says about one member, and what can be wrong with it.

use std::io;

use thiserror::Error;

/// A member, extended headers applied. Bytes are as in the archive: nothing here says that a path is safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Path as stored.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Owner, mode, times, attributes.
    pub meta: Meta,
    /// Size of the file once it is unpacked, holes included; 0 for all but files.
    pub size: u64,
    /// Bytes of data in the archive.
    pub stored: u64,
    /// Where the stored data goes, in ascending order; `None` unless the file is sparse.
    pub spans: Option<Vec<Span>>,
    /// Target of a link.
    pub link: Vec<u8>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
}

/// What a member has besides its data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits, setuid, setgid and sticky: 0 to 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of the last change of its data.
    pub mtime: Time,
    /// Extended attributes: name with its namespace, value.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// POSIX ACL, in the text form of acl_to_text(3).
    pub acl_access: Option<Vec<u8>>,
    /// A directory's default ACL, the same.
    pub acl_default: Option<Vec<u8>>,
}

/// Kinds of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// Another name of an earlier member.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// A directory.
    Dir,
    /// A FIFO.
    Fifo,
}

/// A time stamp; may be before 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Whole seconds since 1970, rounded down.
    pub secs: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

/// A run of data in a sparse file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
}

/// Why an archive cannot be read.
#[derive(Debug, Error)]
pub enum TarError {
    /// The bytes could not be had.
    #[error("reading the archive")]
    Io(#[from] io::Error),
    /// The archive ends too early.
    #[error("the archive is cut off: it ends at byte {at}, {what}")]
    Truncated {
        /// Where it ends.
        at: u64,
        /// Inside what.
        what: &'static str,
    },
    /// A block that should be a header is none.
    #[error("the archive has no header at byte {at}: {problem}")]
    Header {
        /// Where.
        at: u64,
        /// What is wrong.
        problem: &'static str,
    },
    /// A member that makes no sense.
    #[error("member {member:?} of the archive: {problem}")]
    Member {
        /// Its path.
        member: String,
        /// What is wrong.
        problem: String,
    },
}

/// A path as text for people; bytes that are no UTF-8 are shown as U+FFFD.
pub(crate) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
