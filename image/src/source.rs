//! Where an image's bytes come from, and how often they are asked for.
//!
//! [`ChunkSource`] is the whole of the network as this crate knows it; `host` implements it over HTTP. Retries live
//! here: a source only says what failed and whether asking again makes sense.

use std::error::Error;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use nii::manifest;
use thiserror::Error;

/// A part of an image that is fetched in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The whole of `manifest.json`.
    Manifest,
    /// The whole of `manifest.json.minisig`.
    Signature,
    /// Bytes of `pages.bin`.
    Pages {
        /// First byte.
        offset: u64,
        /// Bytes.
        len: u32,
    },
    /// Bytes of the data file.
    Data {
        /// First byte.
        offset: u64,
        /// Bytes.
        len: u32,
    },
}

impl Piece {
    /// The file, below the directory that is named by the manifest's digest.
    #[must_use]
    pub fn file_name(&self) -> &'static str {
        match self {
            Self::Manifest => manifest::MANIFEST_FILE,
            Self::Signature => manifest::SIGNATURE_FILE,
            Self::Pages { .. } => manifest::PAGES_FILE,
            Self::Data { .. } => manifest::DATA_FILE,
        }
    }

    /// First byte and number of bytes; `None` for a whole file.
    #[must_use]
    pub fn range(&self) -> Option<(u64, u32)> {
        match *self {
            Self::Manifest | Self::Signature => None,
            Self::Pages { offset, len } | Self::Data { offset, len } => Some((offset, len)),
        }
    }

    /// Most bytes that a source may give for it.
    #[must_use]
    pub fn max_len(&self) -> u32 {
        match *self {
            Self::Manifest => manifest::MANIFEST_MAX,
            Self::Signature => manifest::SIGNATURE_MAX,
            Self::Pages { len, .. } | Self::Data { len, .. } => len,
        }
    }
}

impl std::fmt::Display for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.range() {
            None => f.write_str(self.file_name()),
            Some((offset, len)) => write!(f, "{} bytes {offset}+{len}", self.file_name()),
        }
    }
}

/// Why a source did not give a piece.
#[derive(Debug, Error)]
#[error("{}", if *.retry { "the source failed" } else { "the source refused" })]
pub struct FetchError {
    /// Whether the same call may succeed later, or from another URL.
    pub retry: bool,
    /// The cause.
    #[source]
    pub cause: Box<dyn Error + Send + Sync>,
}

impl FetchError {
    /// A failure that may pass: a lost connection, a timeout, a 5xx, a URL that lacks the image while others are left.
    pub fn retryable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { retry: true, cause: cause.into() }
    }

    /// A failure that no other try can change.
    pub fn fatal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { retry: false, cause: cause.into() }
    }
}

/// The bytes of one image. Called from several threads at once: each call is one request.
///
/// A call must end: a source has its own timeout for a silent server, since an unpacking that failed elsewhere waits
/// for the calls under way.
pub trait ChunkSource: Sync {
    /// Appends the piece's bytes to `buf`, which is empty: never more than [`Piece::max_len`]. Attempt 0 is the
    /// first; a source with several URLs takes another one for another attempt.
    ///
    /// # Errors
    /// See [`FetchError`].
    fn fetch(&self, piece: Piece, attempt: u32, buf: &mut Vec<u8>) -> Result<(), FetchError>;

    /// What `attempt` gave for `piece` was not what the manifest says: its URL lies, or is stale.
    fn rejected(&self, piece: Piece, attempt: u32);
}

/// How long a piece is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Pause before the second attempt; each further one is twice as long, with jitter.
    pub first_pause: Duration,
    /// No pause is longer (jitter apart).
    pub longest_pause: Duration,
    /// All pauses for one piece together.
    pub give_up: Duration,
}

impl Default for Patience {
    /// Outlasts a head node's reboot.
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(10),
            give_up: Duration::from_secs(300),
        }
    }
}

impl Patience {
    /// The pauses between the attempts for one piece. Jitter keeps a cluster that lost its head node from coming back
    /// in step.
    fn pauses(&self) -> impl Iterator<Item = Duration> + use<> {
        ExponentialBuilder::new()
            .with_min_delay(self.first_pause)
            .with_max_delay(self.longest_pause)
            .with_total_delay(Some(self.give_up))
            .without_max_times()
            .with_jitter()
            .build()
    }
}

/// Fetches of one piece that may turn out wrong before it is given up: sources that lie are few, and a source whose
/// every byte is wrong is no reason to wait.
const WRONG_MAX: u32 = 5;

/// Why a piece could not be had.
#[derive(Debug, Error)]
pub enum PieceError {
    /// The source failed to the end.
    #[error("fetching {piece} ({attempts} attempts)")]
    Fetch {
        /// Which piece.
        piece: Piece,
        /// How often it was asked for.
        attempts: u32,
        /// What the last attempt said.
        #[source]
        cause: FetchError,
    },
    /// Bytes came, and were wrong each time.
    #[error(
        "{piece} is not what the manifest says, {WRONG_MAX} times over: damaged at its source, or forged"
    )]
    Wrong {
        /// Which piece.
        piece: Piece,
    },
    /// Unpacking ended for another reason while this piece waited.
    #[error("fetching {piece} was given up because the unpacking ended")]
    Stopped {
        /// Which piece.
        piece: Piece,
    },
}

/// Fetches `piece` into `buf` until `right` says so. `pause` waits between attempts, and says whether to go on.
pub(crate) fn fetch_right(
    source: &dyn ChunkSource,
    piece: Piece,
    patience: &Patience,
    buf: &mut Vec<u8>,
    mut right: impl FnMut(&[u8]) -> bool,
    mut pause: impl FnMut(Duration) -> bool,
) -> Result<(), PieceError> {
    let mut pauses = patience.pauses();
    let mut wrong = 0;
    for attempt in 0.. {
        buf.clear();
        let failed = match source.fetch(piece, attempt, buf) {
            Ok(()) if right(buf) => return Ok(()),
            Ok(()) => {
                source.rejected(piece, attempt);
                wrong += 1;
                None
            }
            Err(cause) => Some(cause),
        };
        if wrong == WRONG_MAX {
            return Err(PieceError::Wrong { piece });
        }
        let next = pauses.next().filter(|_| failed.as_ref().is_none_or(|cause| cause.retry));
        match (next, failed) {
            (Some(next), _) if pause(next) => {}
            (Some(_), _) => return Err(PieceError::Stopped { piece }),
            (None, Some(cause)) => return Err(PieceError::Fetch { piece, attempts: attempt + 1, cause }),
            (None, None) => return Err(PieceError::Wrong { piece }),
        }
    }
    Err(PieceError::Stopped { piece })
}
