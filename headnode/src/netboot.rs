//! Kernels and initrds that nodes boot: kept under the digest of their bytes.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use nii::digest::Digest;

use crate::data_dir::DataDir;

/// A kernel's name in URLs and in the data folder.
pub const KERNEL: &str = "vmlinuz";
/// An initrd's.
pub const INITRD: &str = "initrd.img";
/// That of our segment behind a distribution's initrd.
pub const SEGMENT: &str = "segment.img";

/// Copies `source` into the data folder as `name`, padded with zero bytes to a multiple of `align`.
///
/// # Errors
/// When it cannot be read, is empty, or cannot be written.
pub fn keep(dir: &DataDir, source: &Path, name: &str, align: usize) -> Result<Digest> {
    let mut bytes = Vec::new();
    fs::File::open(source)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .with_context(|| format!("reading {}", source.display()))?;
    ensure!(!bytes.is_empty(), "{} is empty", source.display());
    bytes.resize(bytes.len().next_multiple_of(align), 0);
    let digest = Digest::of(&bytes);
    let target = dir.boot_file(&digest, name);
    let folder = target.parent().context("a file needs a folder")?;
    let write = || -> Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&bytes)?;
        file.as_file().sync_all()?;
        file.persist(&target)?;
        Ok(())
    };
    write().with_context(|| format!("writing {}", target.display()))?;
    Ok(digest)
}

/// Under UEFI the kernel joins its initrds end to end, and finds a cpio archive on a multiple of 4 only
/// (`init/initramfs.c`): without the padding the token behind an initrd of odd length would be lost.
pub const INITRD_ALIGN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initrds_are_padded_and_named_by_their_bytes() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = DataDir::create(&scratch.path().join("data")).unwrap();
        let source = scratch.path().join("source");
        fs::write(&source, b"12345").unwrap();
        let digest = keep(&dir, &source, INITRD, INITRD_ALIGN).unwrap();
        assert_eq!(digest, Digest::of(b"12345\0\0\0"));
        assert_eq!(fs::read(dir.boot_file(&digest, INITRD)).unwrap(), b"12345\0\0\0");
        assert_eq!(keep(&dir, &source, KERNEL, 1).unwrap(), Digest::of(b"12345"));
        fs::write(&source, b"").unwrap();
        assert!(keep(&dir, &source, KERNEL, 1).is_err());
    }
}
