//! A spool in a file, for several processes of one boot. It is locked (flock(2)) while one of them changes it; a process
//! that is killed meanwhile lets go of the lock, and leaves the file as it was or as it was to be.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nii::event::Event;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use serde::{Deserialize, Serialize};

/// What is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The last number that was given.
    pub seq: u64,
    /// What waits to be sent, oldest first.
    pub waiting: Vec<Event>,
}

/// The file's place; the lock is beside it.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    lock: PathBuf,
}

/// The file, locked.
pub(super) struct Open<'a> {
    path: &'a Path,
    _lock: rustix::fd::OwnedFd,
}

impl File {
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), lock: path.with_extension("lock") }
    }

    /// Waits for the lock.
    pub fn open(&self) -> io::Result<Open<'_>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let lock = rustix::fs::open(&self.lock, flags, Mode::RUSR | Mode::WUSR)?;
        flock(&lock, FlockOperation::LockExclusive)?;
        Ok(Open { path: &self.path, _lock: lock })
    }
}

impl Open<'_> {
    /// What is there; `None` for no file, and for one that is none of ours.
    pub fn read(&self) -> Option<Kept> {
        serde_json::from_slice(&fs::read(self.path).ok()?).ok()
    }

    /// Replaces it by rename. Events have no secrets.
    pub fn write(&mut self, kept: &Kept) -> io::Result<()> {
        let new = self.path.with_extension("new");
        fs::write(&new, serde_json::to_vec(kept)?)?;
        fs::rename(&new, self.path)
    }
}
