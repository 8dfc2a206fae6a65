//! Looking at a machine's disk when the machine is off.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::run::{cmd, output};

/// The partition table of the disk image at `disk`, as sfdisk(8) prints it in JSON: a list of partitions.
///
/// # Errors
/// When there is none.
pub fn partitions(disk: &Path) -> Result<Vec<Value>> {
    let table = output(cmd("sfdisk", ["--json"]).arg(disk))?;
    let mut table: Value = serde_json::from_str(&table).context("parsing sfdisk's JSON")?;
    let partitions = table["partitiontable"]["partitions"].take();
    serde_json::from_value(partitions).context("reading sfdisk's list of partitions")
}

/// The entry of the partition `label` in the table of the disk image at `disk`.
///
/// # Errors
/// When there is none.
pub fn labelled(disk: &Path, label: &str) -> Result<Value> {
    let table = partitions(disk)?;
    let entry = table.iter().find(|entry| entry["name"] == label);
    entry.cloned().with_context(|| format!("no partition `{label}`: {table:?}"))
}

/// A partition of a disk image, mounted; unmounted when dropped.
pub struct Mounted(TempDir);

impl Mounted {
    /// Mounts the partition whose place in the table is `index`, from 0, read-only.
    ///
    /// # Errors
    /// When there is no such partition, or no file system that this machine knows.
    pub fn new(disk: &Path, index: usize) -> Result<Self> {
        let table = partitions(disk)?;
        let entry = table.get(index).with_context(|| format!("no partition {index}: {table:?}"))?;
        Self::at(disk, entry, "ro")
    }

    /// Mounts the partition of this label read-only.
    ///
    /// # Errors
    /// As [`Mounted::new`].
    pub fn labelled(disk: &Path, label: &str) -> Result<Self> {
        Self::at(disk, &labelled(disk, label)?, "ro")
    }

    /// Mounts the file system that begins at this byte of the disk read-only.
    ///
    /// # Errors
    /// As [`Mounted::new`].
    pub fn at_byte(disk: &Path, start: u64) -> Result<Self> {
        Self::with(disk, &format!("loop,ro,offset={start}"))
    }

    /// Mounts the partition of this label to write to it.
    ///
    /// # Errors
    /// As [`Mounted::new`].
    pub fn writable(disk: &Path, label: &str) -> Result<Self> {
        Self::at(disk, &labelled(disk, label)?, "rw")
    }

    fn at(disk: &Path, entry: &Value, mode: &str) -> Result<Self> {
        let bytes = |key: &str| entry[key].as_u64().map(|sectors| sectors * 512);
        let start = bytes("start").context("sfdisk names no start")?;
        let size = bytes("size").context("sfdisk names no size")?;
        Self::with(disk, &format!("loop,{mode},offset={start},sizelimit={size}"))
    }

    fn with(disk: &Path, options: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("camphor-mnt-").tempdir().context("making a folder")?;
        output(cmd("mount", ["-o", options]).arg(disk).arg(folder.path()))?;
        Ok(Self(folder))
    }

    /// Where the file is that has this absolute path there.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.0.path().join(inside.trim_start_matches('/'))
    }

    /// The text of the file that has this absolute path there.
    ///
    /// # Errors
    /// When there is none.
    pub fn read(&self, inside: &str) -> Result<String> {
        fs::read_to_string(self.path(inside)).with_context(|| format!("reading {inside} on the node's disk"))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = output(cmd("umount", ["--lazy"]).arg(self.0.path())) {
            eprintln!("unmounting {}: {error:#}", self.0.path().display());
        }
    }
}
