//! Kernels and initrds that nodes boot: kept under the digest of their bytes.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use nii::digest::Digest;

use crate::data_dir::DataDir;

/// A kernel's name in URLs and in the data folder.
pub const KERNEL: &str = "vmlinuz";
/// An initrd's.
pub const INITRD: &str = "initrd.img";
/// That of our segment behind a distribution's initrd.
pub const SEGMENT: &str = "segment.img";

/// How long files that a netboot no longer means stay: a node that has its boot script may still fetch them.
pub const GRACE: Duration = Duration::from_secs(3600);

/// Copies `source` into the data folder as `name`. Behind one that another archive follows (all but the kernel) come zeros.
///
/// # Errors
/// When it cannot be read, is empty, or cannot be written.
pub fn keep(dir: &DataDir, source: &Path, name: &str) -> Result<Digest> {
    let mut bytes = Vec::new();
    fs::File::open(source)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .with_context(|| format!("reading {}", source.display()))?;
    ensure!(!bytes.is_empty(), "{} is empty", source.display());
    if name != KERNEL {
        bytes.resize((bytes.len() + LZ4_END).next_multiple_of(ALIGN), 0);
    }
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
const ALIGN: usize = 4;
/// What ends an lz4 stream as the kernel reads it (`lib/decompress_unlz4.c`): without these zeros it would take the next
/// archive's beginning for a length. Behind other compressions it skips them.
const LZ4_END: usize = 4;

/// From now on nothing means these files.
///
/// # Errors
/// When the data folder cannot be written.
pub fn retire(dir: &DataDir, digest: &Digest) -> Result<()> {
    let folder = dir.boot_files().join(digest.to_string());
    // The folder's time says since when.
    fs::File::open(&folder)
        .and_then(|folder| folder.set_modified(SystemTime::now()))
        .with_context(|| format!("marking {}", folder.display()))
}

/// Removes what nothing in `used` means, and has not for an hour.
///
/// # Errors
/// When the data folder cannot be read or written.
pub fn sweep(dir: &DataDir, used: &[Digest]) -> Result<()> {
    let boot = dir.boot_files();
    let sweep = || -> Result<()> {
        for entry in fs::read_dir(&boot)? {
            let entry = entry?;
            let digest = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let since = entry.metadata()?.modified()?;
            // One from the future stays: somebody set the clock.
            let is_old = since.elapsed().is_ok_and(|age| age > GRACE);
            if digest.is_some_and(|digest| !used.contains(&digest)) && is_old {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    };
    sweep().with_context(|| format!("removing old files from {}", boot.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_initrds_is_room_for_the_next_archive() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = DataDir::create(&scratch.path().join("data")).unwrap();
        let source = scratch.path().join("source");
        for length in 1..=9 {
            let stock: Vec<u8> = (1..=length).collect();
            fs::write(&source, &stock).unwrap();
            let digest = keep(&dir, &source, INITRD).unwrap();
            let kept = fs::read(dir.boot_file(&digest, INITRD)).unwrap();
            let zeros = kept.strip_prefix(stock.as_slice()).unwrap();
            assert!(zeros.len() >= 4 && zeros.iter().all(|byte| *byte == 0), "{length}: lz4's end mark");
            assert!(kept.len().is_multiple_of(ALIGN) && zeros.len() < 8, "{length}");
            assert_eq!(digest, Digest::of(&kept));
            assert_eq!(keep(&dir, &source, KERNEL).unwrap(), Digest::of(&stock));
        }
        fs::write(&source, b"").unwrap();
        assert!(keep(&dir, &source, KERNEL).is_err());
    }

    #[test]
    fn what_nothing_means_goes_after_an_hour() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = DataDir::create(&scratch.path().join("data")).unwrap();
        let source = scratch.path().join("source");
        let [used, retired, old] = ["used", "retired", "old"].map(|text| {
            fs::write(&source, text).unwrap();
            let digest = keep(&dir, &source, KERNEL).unwrap();
            let folder = fs::File::open(dir.boot_files().join(digest.to_string())).unwrap();
            folder.set_modified(SystemTime::now() - 2 * GRACE).unwrap();
            digest
        });
        retire(&dir, &retired).unwrap();
        sweep(&dir, &[used]).unwrap();
        let is_there = |digest: &Digest| dir.boot_file(digest, KERNEL).exists();
        assert!(is_there(&used) && is_there(&retired) && !is_there(&old));
    }
}
