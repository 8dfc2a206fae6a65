//! An image source over the files of a store, with faults.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use image::source::{ChunkSource, FetchError, Piece};

/// What goes wrong with a piece, on its attempt of that number.
pub type Fault = Box<dyn Fn(Piece, u32, &mut Vec<u8>) -> Result<(), FetchError> + Sync>;

/// See the module.
pub struct Files {
    dir: PathBuf,
    fault: Fault,
    /// How often each file's pieces were asked for, and rejected.
    pub asked: Mutex<HashMap<&'static str, u32>>,
    pub rejected: Mutex<Vec<(Piece, u32)>>,
}

impl Files {
    pub fn new(dir: &Path) -> Self {
        Self::faulty(dir, |_, _, _| Ok(()))
    }

    /// `fault` sees the right bytes, and may spoil them or fail.
    pub fn faulty(
        dir: &Path,
        fault: impl Fn(Piece, u32, &mut Vec<u8>) -> Result<(), FetchError> + Sync + 'static,
    ) -> Self {
        Self {
            dir: dir.to_owned(),
            fault: Box::new(fault),
            asked: Mutex::default(),
            rejected: Mutex::default(),
        }
    }
}

impl ChunkSource for Files {
    fn fetch(&self, piece: Piece, attempt: u32, buf: &mut Vec<u8>) -> Result<(), FetchError> {
        assert!(buf.is_empty());
        *self.asked.lock().unwrap().entry(piece.file_name()).or_default() += 1;
        let file = File::open(self.dir.join(piece.file_name())).map_err(FetchError::fatal)?;
        let len = file.metadata().map_err(FetchError::fatal)?.len();
        let (offset, len) = piece.range().unwrap_or((0, u32::try_from(len).unwrap()));
        buf.resize(len as usize, 0);
        file.read_exact_at(buf, offset).map_err(FetchError::retryable)?;
        (self.fault)(piece, attempt, buf)
    }

    fn rejected(&self, piece: Piece, attempt: u32) {
        self.rejected.lock().unwrap().push((piece, attempt));
    }
}
