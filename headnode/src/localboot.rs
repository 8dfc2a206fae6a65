//! A small GRUB that starts a UEFI node's local disk. Leaving iPXE would do it too, but firmware then tries every other
//! network entry first, for 80 s and more.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::data_dir::DataDir;
use crate::script::LOCAL_BOOT;

/// Its modules: GPT, FAT, search for a file, chain.
const MODULES: &[&str] =
    &["part_gpt", "part_msdos", "fat", "search", "search_fs_file", "chain", "boot", "minicmd"];
/// Without `normal` GRUB goes on after a line that fails: at the end it exits, and iPXE does so too.
const CONFIG: &str = "\
search --no-floppy --file --set=root /EFI/BOOT/BOOTX64.EFI
chainloader /EFI/BOOT/BOOTX64.EFI
boot
exit
";

/// Whether `serve` made it.
pub fn is_made(dir: &DataDir) -> bool {
    dir.run("tftp").join(LOCAL_BOOT).is_file()
}

/// Makes it at `target`.
///
/// # Errors
/// When grub-mkimage or its modules for x86_64-efi are not installed.
pub fn make(target: &Path) -> Result<()> {
    let config = tempfile::NamedTempFile::new().context("making a temporary file")?;
    fs::write(config.path(), CONFIG).context("writing a temporary file")?;
    let output = Command::new("grub-mkimage")
        .args(["--format", "x86_64-efi", "--prefix", "/EFI/camphor", "--config"])
        .arg(config.path())
        .arg("--output")
        .arg(target)
        .args(MODULES)
        .output()
        .context("running grub-mkimage")?;
    if !output.status.success() {
        bail!("grub-mkimage: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
