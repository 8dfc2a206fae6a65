//! The "newc" cpio format of the kernel's Documentation/driver-api/early-userspace/buffer-format.rst: written from a
//! [`Tree`], and read from anybody's archive.

use anyhow::{Context, Result, bail};

use crate::tree::{Node, Tree};

const HEADER: usize = 110;
const TRAILER: &str = "TRAILER!!!";
const DIR: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHAR: u32 = 0o020_000;
/// The file-type bits of a mode.
pub const TYPE: u32 = 0o170_000;

/// Writes `tree` as one archive. Inodes are numbered from 1, owners and times are 0: nothing of the host shows.
pub fn write(tree: &Tree) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for (number, (path, entry)) in (1u32..).zip(tree.entries()) {
        let (kind, data, links, device): (u32, &[u8], u32, (u32, u32)) = match &entry.node {
            Node::Dir => (DIR, &[], 2, (0, 0)),
            Node::File(data) => (FILE, data, 1, (0, 0)),
            Node::Symlink(target) => (SYMLINK, target.as_bytes(), 1, (0, 0)),
            Node::Char(major, minor) => (CHAR, &[], 1, (*major, *minor)),
        };
        member(&mut out, path, [number, kind | entry.mode, links, device.0, device.1], data)
            .with_context(|| format!("writing /{path}"))?;
    }
    member(&mut out, TRAILER, [0, 0, 1, 0, 0], &[])?;
    Ok(out)
}

fn member(
    out: &mut Vec<u8>,
    name: &str,
    [inode, mode, links, major, minor]: [u32; 5],
    data: &[u8],
) -> Result<()> {
    let size = u32::try_from(data.len()).context("a cpio member ends at 4 GiB")?;
    let name_size = u32::try_from(name.len() + 1)?;
    out.extend_from_slice(b"070701");
    // inode, mode, uid, gid, nlink, mtime, size, device of the file system (2), device of the node (2), name size, checksum
    for field in [inode, mode, 0, 0, links, 0, size, 0, 0, major, minor, name_size, 0] {
        out.extend_from_slice(format!("{field:08X}").as_bytes());
    }
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    pad(out);
    out.extend_from_slice(data);
    pad(out);
    Ok(())
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

/// One member as it was stored. Members that share an inode (hard links) carry their bytes in the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Path as stored, without leading `./` or `/`.
    pub path: String,
    /// Type and permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Seconds since 1970.
    pub mtime: u32,
    /// Device numbers of a node.
    pub device: (u32, u32),
    /// Contents of a file, text of a link.
    pub data: Vec<u8>,
}

/// Reads one archive up to its trailer: the members, and how many bytes it took.
pub fn read(bytes: &[u8]) -> Result<(Vec<Member>, usize)> {
    let mut at = 0;
    let mut members = Vec::new();
    loop {
        let (member, end) =
            read_member(bytes, at).with_context(|| format!("reading the cpio member at byte {at}"))?;
        at = end;
        if member.path == TRAILER {
            return Ok((members, at));
        }
        members.push(member);
    }
}

/// Whether an archive begins here.
pub fn begins(bytes: &[u8]) -> bool {
    bytes.starts_with(b"070701") || bytes.starts_with(b"070702")
}

fn read_member(bytes: &[u8], at: usize) -> Result<(Member, usize)> {
    let header = bytes.get(at..at + HEADER).context("the archive is cut off")?;
    if !begins(header) {
        bail!("no cpio header (newc) here");
    }
    let mut fields = [0u32; 13];
    for (field, digits) in fields.iter_mut().zip(header[6..].chunks_exact(8)) {
        *field = u32::from_str_radix(std::str::from_utf8(digits)?, 16)
            .context("a header field is not hexadecimal")?;
    }
    let [_, mode, uid, gid, _, mtime, size, _, _, major, minor, name_size, _] = fields;
    let name_end = at + HEADER + usize::try_from(name_size)?;
    let name = bytes.get(at + HEADER..name_end).context("the archive is cut off")?;
    let name = String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(name)).into_owned();
    let start = name_end.next_multiple_of(4);
    let end = start + usize::try_from(size)?;
    let data = bytes.get(start..end).context("the archive is cut off")?.to_vec();
    let path = name.trim_start_matches("./").trim_start_matches('/').to_owned();
    let member = Member { path, mode, owner: (uid, gid), mtime, device: (major, minor), data };
    // The padding after the trailer may be missing at the very end.
    Ok((member, end.next_multiple_of(4).min(bytes.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut tree = Tree::skeleton().unwrap();
        tree.file("/a/file", 0o4755, b"hello".to_vec()).unwrap();
        let bytes = write(&tree).unwrap();
        let (members, end) = read(&bytes).unwrap();
        assert_eq!(end, bytes.len());
        assert_eq!(members.len(), tree.entries().count());
        let find = |path: &str| members.iter().find(|member| member.path == path).unwrap();
        assert_eq!(
            (find("a/file").mode, find("a/file").data.as_slice()),
            (FILE | 0o4755, b"hello".as_slice())
        );
        assert_eq!((find("dev/console").mode, find("dev/console").device), (CHAR | 0o600, (5, 1)));
        assert_eq!((find("lib").mode & TYPE, find("lib").data.as_slice()), (SYMLINK, b"usr/lib".as_slice()));
    }

    #[test]
    fn a_cut_archive_is_an_error() {
        let bytes = write(&Tree::skeleton().unwrap()).unwrap();
        for length in [0, 50, 200, bytes.len() - 60] {
            assert!(read(&bytes[..length]).is_err(), "{length} bytes");
        }
    }
}
