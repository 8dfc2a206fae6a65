//! An ISO's content. libarchive's bsdtar reads it: with Rock Ridge names, symbolic links and times, and with no need of
//! a loop device or of a kernel that knows ISO 9660.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// What every ISO has at [`MAGIC_AT`], in its first volume descriptor (ECMA-119, 8.1.2).
const MAGIC: &[u8; 5] = b"CD001";
const MAGIC_AT: u64 = 16 * 2048 + 1;

/// Refuses what is no ISO. Its size in bytes.
///
/// # Errors
/// When it is none, or cannot be read.
pub fn iso_size(source: &Path) -> Result<u64> {
    let look = || -> io::Result<(bool, u64)> {
        let file = File::open(source)?;
        let mut magic = [0; MAGIC.len()];
        let size = file.metadata()?.len();
        Ok((file.read_at(&mut magic, MAGIC_AT)? == magic.len() && magic == *MAGIC, size))
    };
    let (is_iso, size) = look().with_context(|| format!("reading {}", source.display()))?;
    ensure!(is_iso, "{} is neither a folder nor an ISO", source.display());
    Ok(size)
}

/// Writes what is in an ISO into the empty folder `target`.
///
/// # Errors
/// When bsdtar is not there, or fails.
pub fn unpack(iso: &Path, target: &Path) -> Result<()> {
    // Without -P it writes nothing outside of the folder, whatever the names and links in there are.
    let output = Command::new("bsdtar")
        .args(["--extract", "--no-same-owner", "--no-same-permissions", "--file"])
        .arg(iso)
        .arg("--directory")
        .arg(target)
        .output()
        .context("running bsdtar (Debian: libarchive-tools, RHEL: bsdtar), which reads ISOs; or unpack it, and import the folder")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "unpacking {}: bsdtar says: {}", iso.display(), said.trim());
    Ok(())
}
