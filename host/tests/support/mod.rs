//! What the tests on real devices share: loop disks and mounts that go away with the test, also when it fails.

#![allow(dead_code, reason = "each test crate uses its part")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use host::Watch;
use plan::facts::{Table, TableEntry};
use plan::op::PartitionRef;
use tempfile::TempDir;
use uuid::Uuid;

pub mod server;

pub const MIB: u64 = 1 << 20;

/// Runs a tool; its output.
pub fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// A disk in a sparse file. It has partitions: `losetup -P` allows them, and BLKPG makes them.
pub struct LoopDisk {
    pub path: PathBuf,
    size: u64,
    directory: TempDir,
}

impl LoopDisk {
    pub fn new(size: u64, sector: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("disk");
        File::create(&image).unwrap().set_len(size).unwrap();
        let sector = sector.to_string();
        let arguments = ["--find", "--show", "--partscan", "--sector-size", &sector, image.to_str().unwrap()];
        let path = tool("losetup", &arguments).trim().into();
        Self { path, size, directory }
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The file that it lies in.
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("disk")
    }

    pub fn name(&self) -> &str {
        self.path.to_str().unwrap()
    }

    pub fn partition(&self, entry: &TableEntry) -> PartitionRef {
        PartitionRef { disk: self.name().into(), number: entry.number, guid: entry.guid }
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        let _ = Command::new("partx").args(["--delete", self.name()]).output();
        let _ = Command::new("losetup").args(["--detach", self.name()]).output();
    }
}

/// A directory to mount on; what is mounted there goes first.
pub struct Target(pub TempDir);

impl Target {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--recursive", self.path().to_str().unwrap()]).output();
    }
}

/// Keeps what it is told.
#[derive(Default)]
pub struct Kept {
    pub lines: Vec<String>,
    pub progress: Vec<(u64, u64)>,
}

impl Watch for Kept {
    fn progress(&mut self, done: u64, total: u64) {
        self.progress.push((done, total));
    }

    fn log(&mut self, line: &str) {
        self.lines.push(line.to_owned());
    }
}

/// A partition of this number, from one MiB to another.
pub fn entry(number: u32, kind: Uuid, label: &str, sector: u64, from_mib: u64, to_mib: u64) -> TableEntry {
    TableEntry {
        number,
        kind,
        guid: Uuid::from_u128(0xabcd_0000 + u128::from(number)),
        first: from_mib * MIB / sector,
        last: to_mib * MIB / sector - 1,
        label: label.into(),
        attributes: 0,
    }
}

pub fn table(partitions: Vec<TableEntry>) -> Table {
    Table { guid: Uuid::from_u128(0x1234_5678_9abc_def0), partitions }
}

/// A machine with its new root at `root`, which obeys no image key.
pub fn machine(root: &Path) -> host::linux::Linux {
    machine_obeying(root, Vec::new())
}

/// A machine with its new root at `root`, which obeys these image keys.
pub fn machine_obeying(root: &Path, image_keys: Vec<String>) -> host::linux::Linux {
    use host::net::{clock::Clock, http::Http};
    let trust = nii::trust::Trust {
        root_keys: Vec::new(),
        image_keys,
        ca_pem: CA.into(),
        time_floor: 0,
        certified_since: 0,
        allow_kusu: Vec::new(),
    };
    let http = Http::new(&trust, std::sync::Arc::new(Clock::new(0))).unwrap();
    host::linux::Linux::new(http, &trust).unwrap().with_root(root)
}

/// Some certificate (`openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=camphor test"`); no
/// test here speaks TLS.
const CA: &str = include_str!("ca.pem");
