//! Scripts and kickstart templates of the site: kept under the digest of their bytes.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use nii::digest::Digest;

use crate::clock;
use crate::data_dir::{DataDir, write_private};
use crate::input;
use crate::store::package::Script;

/// Size limit, which nodes know as well.
pub const SCRIPT_MAX: u64 = 1 << 20;
/// What a script's digest follows, on the TLS side.
pub const PATH: &str = "/api/v1/file";

/// Reads `source` as a version of the script `name`.
///
/// # Errors
/// When it cannot be read, is empty or too big.
pub fn read(name: &str, source: &Path) -> Result<(Script, Vec<u8>)> {
    let mut bytes = Vec::new();
    input::open(source)
        .and_then(|file| file.take(SCRIPT_MAX + 1).read_to_end(&mut bytes))
        .with_context(|| format!("reading {}", source.display()))?;
    let script = version(name, &bytes).with_context(|| source.display().to_string())?;
    Ok((script, bytes))
}

/// `bytes` as a version of the script `name`.
///
/// # Errors
/// When it is empty or too big.
pub fn version(name: &str, bytes: &[u8]) -> Result<Script> {
    ensure!(!bytes.is_empty(), "is empty");
    let size = bytes.len() as u64;
    ensure!(size <= SCRIPT_MAX, "has more than {} KiB", SCRIPT_MAX >> 10);
    let (digest, program) = (Digest::of(bytes), bytes.starts_with(b"#!"));
    Ok(Script { name: name.to_owned(), digest, size, program, added_at: clock::now_ms() })
}

/// Writes it into the data folder.
///
/// # Errors
/// When it cannot be written.
pub fn keep(dir: &DataDir, script: &Script, bytes: &[u8]) -> Result<()> {
    let target = dir.script(&script.digest);
    let folder = target.parent().context("a file needs a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    write_private(&target, bytes)
}
