//! The newc cpio that carries a node's token (Linux: `Documentation/driver-api/early-userspace/buffer-format.rst`).

/// Length of a whole archive is a multiple of this, as cpio(1) writes it.
const BLOCK: usize = 512;
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;

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
    entry(&mut archive, "TRAILER!!!", 0, 1, b"");
    pad(&mut archive, BLOCK);
    archive
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
