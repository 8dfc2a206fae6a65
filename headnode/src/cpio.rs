//! Archives in cpio's newc form (Linux: `Documentation/driver-api/early-userspace/buffer-format.rst`): that which carries a
//! node's token, backups, and the initrds that we look into.

use zeroize::Zeroizing;

/// Length of a whole archive is a multiple of this, as cpio(1) writes it.
const BLOCK: usize = 512;
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
/// Length of an entry's header.
const HEADER: usize = 110;
const TRAILER: &str = "TRAILER!!!";

/// A regular file.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Without a slash before it.
    pub name: String,
    /// Permissions.
    pub mode: u32,
    /// Its content.
    pub data: Zeroizing<Vec<u8>>,
}

/// An archive with `/camphor/token`, for root's eyes only.
pub fn token(token: &str) -> Vec<u8> {
    let mut archive = Vec::new();
    entry(&mut archive, "camphor", DIRECTORY | 0o700, 2, b"");
    entry(
        &mut archive,
        nii::session::TOKEN_PATH.trim_start_matches('/'),
        REGULAR | 0o400,
        1,
        token.as_bytes(),
    );
    end(&mut archive);
    archive
}

/// An archive of `files`.
pub fn archive(files: &[File]) -> Zeroizing<Vec<u8>> {
    let room: usize = files.iter().map(|file| HEADER + file.name.len() + file.data.len() + 8).sum();
    // With all its room: what grows leaves copies behind.
    let mut archive = Zeroizing::new(Vec::with_capacity(room + 2 * BLOCK));
    for File { name, mode, data } in files {
        entry(&mut archive, name, REGULAR | mode, 1, data);
    }
    end(&mut archive);
    archive
}

/// The regular files of archives that follow each other, and what is behind them, which is no archive.
pub fn files(mut bytes: &[u8]) -> (Vec<File>, &[u8]) {
    let mut files = Vec::new();
    loop {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes = &bytes[zeros..];
        let Some((file, mode, rest)) = first(bytes) else { return (files, bytes) };
        if mode & KIND == REGULAR {
            files.push(file);
        }
        bytes = rest;
    }
}

/// The file type among a mode's bits.
const KIND: u32 = 0o170_000;

/// The first entry, its whole mode, and what follows; `None` where none begins.
fn first(bytes: &[u8]) -> Option<(File, u32, &[u8])> {
    if !bytes.starts_with(b"07070") {
        return None;
    }
    let field = |at: usize| u32::from_str_radix(std::str::from_utf8(bytes.get(at..at + 8)?).ok()?, 16).ok();
    let (mode, size, name_size) = (field(14)?, field(54)? as usize, field(94)? as usize);
    let name = bytes.get(HEADER..HEADER + name_size.checked_sub(1)?)?;
    let begin = (HEADER + name_size).next_multiple_of(4);
    let data = Zeroizing::new(bytes.get(begin..begin + size)?.to_vec());
    let name = String::from_utf8_lossy(name).into_owned();
    // The last entry may end without its padding.
    let rest = bytes.get((begin + size).next_multiple_of(4)..).unwrap_or_default();
    Some((File { name, mode: mode & 0o7777, data }, mode, rest))
}

fn end(archive: &mut Vec<u8>) {
    entry(archive, TRAILER, 0, 1, b"");
    pad(archive, BLOCK);
}

/// Owner and times are 0. The inode number need only differ from others' where there are hard links.
fn entry(archive: &mut Vec<u8>, name: &str, mode: u32, links: u32, data: &[u8]) {
    let inode = archive.len() as u32;
    let size = data.len() as u32;
    // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    let fields = [inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name.len() as u32 + 1, 0];
    archive.extend_from_slice(b"070701");
    archive.extend(fields.iter().flat_map(|field| format!("{field:08x}").into_bytes()));
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    pad(archive, 4);
    archive.extend_from_slice(data);
    pad(archive, 4);
}

fn pad(archive: &mut Vec<u8>, multiple: usize) {
    archive.resize(archive.len().next_multiple_of(multiple), 0);
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn cpio_reads_it() {
        let archive = super::token("0123456789abcdef");
        assert_eq!(archive.len() % 512, 0);
        let mut cpio = Command::new("cpio")
            .args(["--list", "--verbose", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        cpio.stdin.take().unwrap().write_all(&archive).unwrap();
        let output = cpio.wait_with_output().unwrap();
        assert!(output.status.success());
        let listing = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = listing.lines().collect();
        assert_eq!(lines.len(), 2, "{listing}");
        assert!(lines[0].starts_with("drwx------") && lines[0].ends_with(" camphor"), "{listing}");
        assert!(lines[1].starts_with("-r--------") && lines[1].ends_with(" camphor/token"), "{listing}");
        assert!(lines[1].contains(" 16 "), "{listing}");
    }
}
