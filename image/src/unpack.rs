//! Unpacking an image on a node: signature, manifest, then the data into a directory.

use std::cell::Cell;
use std::io::BufRead;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use nii::digest::Digest;
use nii::manifest::{Manifest, ManifestError, Payload};
use thiserror::Error;

use crate::extract::{ExtractError, Extractor, Limits};
use crate::sign::{self, PublicKey, SignError};
use crate::source::{ChunkSource, Patience, Piece, PieceError, fetch_right};
use crate::stream::{Plain, Stream};
use crate::tar::read::Reader;

/// Why an image was not opened or not unpacked.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// A part of it could not be had, or was wrong each time.
    #[error(transparent)]
    Piece(#[from] PieceError),
    /// The manifest's signature is not by a trusted key.
    #[error("the image manifest {digest} is not signed by a trusted key")]
    Signature {
        /// Which manifest.
        digest: Digest,
        /// What is wrong with the signature.
        #[source]
        cause: SignError,
    },
    /// The manifest or a page contradicts itself.
    #[error("the image's manifest makes no sense")]
    Manifest(#[source] ManifestError),
    /// Not a tar archive.
    #[error("the image's payload {0:?} is not one that can be unpacked into a directory")]
    Payload(Payload),
    /// A chunk whose digest is right is no zstd frame, or wants more room than the manifest gives it.
    #[error("decompressing chunk {number}")]
    Decompress {
        /// Which chunk.
        number: u64,
        /// What zstd said.
        #[source]
        cause: std::io::Error,
    },
    /// A chunk's frame has another size than the table says.
    #[error("chunk {number} has {found} plain bytes, and its table says {wanted}")]
    PlainLength {
        /// Which chunk.
        number: u64,
        /// What the table says.
        wanted: u32,
        /// What it had.
        found: usize,
    },
    /// The archive could not be extracted.
    #[error(transparent)]
    Extract(#[from] ExtractError),
}

/// How far unpacking is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Stored bytes used.
    pub stored: u64,
    /// Stored bytes in all.
    pub stored_total: u64,
    /// Plain bytes used.
    pub plain: u64,
    /// Plain bytes in all.
    pub plain_total: u64,
    /// Members of the archive begun.
    pub members: u64,
}

/// An image whose manifest is verified.
pub struct Image<'a> {
    source: &'a dyn ChunkSource,
    patience: Patience,
    digest: Digest,
    manifest: Manifest,
}

impl<'a> Image<'a> {
    /// Fetches the manifest that `digest` pins, and its signature by one of `keys`. Nothing is written: a preflight
    /// reads [`Image::manifest`].
    ///
    /// # Errors
    /// The manifest cannot be had, is not the pinned one, is not signed, or makes no sense.
    pub fn open(
        source: &'a dyn ChunkSource,
        keys: &[PublicKey],
        digest: Digest,
        patience: Patience,
    ) -> Result<Self, UnpackError> {
        let pause = |pause: Duration| {
            std::thread::sleep(pause);
            true
        };
        let mut bytes = Vec::new();
        fetch_right(
            source,
            Piece::Manifest,
            &patience,
            &mut bytes,
            |bytes| Digest::of(bytes) == digest,
            pause,
        )?;
        let (mut signature, mut wrong) = (Vec::new(), None);
        let mut signed = |signature: &[u8]| {
            let checked = sign::verify(keys, &bytes, &String::from_utf8_lossy(signature));
            wrong = checked.err();
            wrong.is_none()
        };
        let fetched = fetch_right(source, Piece::Signature, &patience, &mut signature, &mut signed, pause);
        match (fetched, wrong) {
            (Err(PieceError::Wrong { .. }), Some(cause)) => {
                return Err(UnpackError::Signature { digest, cause });
            }
            (fetched, _) => fetched?,
        }
        let manifest = Manifest::parse(&bytes).map_err(UnpackError::Manifest)?;
        Ok(Self { source, patience, digest, manifest })
    }

    /// What the image is.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The digest of its manifest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Unpacks the image below `root`, an empty directory. `progress` is called for each chunk. No thread outlives the
    /// call. The data is not yet on the disk: sync the filesystem and check its errors.
    ///
    /// # Errors
    /// See [`UnpackError`]; what is below `root` is then of no use.
    pub fn unpack(
        &self,
        root: BorrowedFd<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Progress, UnpackError> {
        if self.manifest.payload != Payload::TarZst {
            return Err(UnpackError::Payload(self.manifest.payload));
        }
        let stream = Stream::new(&self.manifest, self.source, &self.patience);
        std::thread::scope(|scope| {
            for _ in 0..stream.workers {
                scope.spawn(|| stream.work());
            }
            let unpacked = self.consume(&stream, root, progress);
            stream.stop();
            unpacked
        })
    }

    fn consume(
        &self,
        stream: &Stream<'_>,
        root: BorrowedFd<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Progress, UnpackError> {
        let (stored_total, plain_total) = (self.manifest.stored_size, self.manifest.plain_size);
        let done = Cell::new(Progress { stored_total, plain_total, ..Progress::default() });
        let plain = Plain::new(stream, |stored, plain| {
            let Progress { stored: before, plain: plain_before, .. } = done.get();
            let stored = before + u64::from(stored);
            done.set(Progress { stored, plain: plain_before + plain as u64, ..done.get() });
            progress(done.get());
        });
        let mut reader = Reader::new(plain);
        let limits = Limits { inodes: self.manifest.inodes, bytes: plain_total };
        let extracted = extract(&mut reader, root, limits, &done);
        match (reader.input().error.take(), extracted) {
            // The extractor saw only that the stream ended.
            (Some(cause), Err(_)) => Err(cause),
            (_, extracted) => extracted.map(|()| done.get()).map_err(UnpackError::Extract),
        }
    }
}

fn extract<R: BufRead>(
    reader: &mut Reader<R>,
    root: BorrowedFd<'_>,
    limits: Limits,
    done: &Cell<Progress>,
) -> Result<(), ExtractError> {
    let mut extractor = Extractor::new(root, limits)?;
    while let Some(member) = reader.next_member()? {
        done.set(Progress { members: done.get().members + 1, ..done.get() });
        extractor.member(member, reader)?;
    }
    reader.drain()?;
    extractor.finish()
}
