//! The trait between the programs and the machine.

use nii::digest::Digest;
use nii::manifest::Manifest;
use nii::secret::Secret;
use nii::session::ErrorAnswer;
use nii::v1::SshHostKey;
use plan::{Facts, Op, Target};
use thiserror::Error;
use uuid::Uuid;

use crate::linux::tpm::Chip;

/// A machine: the real one, or a recorder.
pub trait Machine {
    /// Reads everything that a plan may depend on.
    ///
    /// # Errors
    /// When the kernel's own files cannot be read. A disk that cannot be read is left out, and `watch` is told.
    fn facts(&mut self, watch: &mut dyn Watch) -> anyhow::Result<Facts>;

    /// Fetches an image's manifest and checks it: signature, then digest. Nothing of the image is unpacked yet. A source
    /// that fails is asked again for minutes; `watch` hears of it.
    ///
    /// # Errors
    /// When no source has it, or it is not what the digest and the image keys say.
    fn manifest(
        &mut self,
        digest: Digest,
        sources: &[String],
        watch: &mut dyn Watch,
    ) -> anyhow::Result<Manifest>;

    /// Reads what is worth keeping off the systems that are on the disks, without writing a bit. The disks of `facts`, of
    /// which the install goes to `targets`; what an attempt of `arming` made is no system.
    fn salvage(&mut self, facts: &Facts, targets: &[Target], arming: Uuid, watch: &mut dyn Watch) -> Salvage;

    /// The public SSH host keys of the new root, as lines; none where there is no root.
    ///
    /// # Errors
    /// When the root is not mounted, or cannot be read.
    fn host_keys(&mut self) -> anyhow::Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Its TPM 2.0.
    ///
    /// # Errors
    /// When there is none, or it refuses.
    fn tpm(&mut self) -> anyhow::Result<Chip> {
        anyhow::bail!("this machine has no TPM")
    }

    /// Makes one change.
    ///
    /// # Errors
    /// [`ApplyError`] names the op and holds the whole chain of causes.
    fn apply(&mut self, op: &Op, watch: &mut dyn Watch) -> Result<Applied, ApplyError>;

    /// Makes one HTTP exchange, once: retrying is the caller's.
    ///
    /// # Errors
    /// [`FetchError`] says whether another try may help.
    fn fetch(&mut self, request: &Request) -> Result<Vec<u8>, FetchError>;
}

/// What was saved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvage {
    /// The SSH host keys of one old system; none if there is none.
    pub host_keys: Vec<SshHostKey>,
    /// What could not be looked at and stays as it is, and where several systems were found, which one counts.
    pub warnings: Vec<String>,
    /// What could not be looked at and is written by the install, each with its device.
    pub lost: Vec<String>,
}

/// Whether an op did something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It did.
    Done,
    /// Its guard did not hold; why, for the log.
    Skipped(String),
}

/// Who is told how a long op goes on.
pub trait Watch {
    /// `done` of `total` bytes.
    fn progress(&mut self, done: u64, total: u64);
    /// A line of output of a program, or a remark.
    fn log(&mut self, line: &str);
    /// Whether the run was given up, so that a program that runs must end.
    fn is_stopped(&self) -> bool {
        false
    }
}

/// An op that failed.
#[derive(Debug, Error)]
#[error("{op}")]
pub struct ApplyError {
    /// The op, as `--plan` prints it.
    pub op: String,
    /// Why it failed.
    pub source: anyhow::Error,
}

/// One HTTP request to the head node.
#[derive(Clone, Debug)]
pub struct Request {
    /// Absolute URL. `https` is checked against the CAs of the trust file only.
    pub url: String,
    /// Session key, sent as `Authorization: Bearer …`.
    pub bearer: Option<Secret>,
    /// JSON body of a POST; without one it is a GET.
    pub body: Option<Vec<u8>>,
}

/// Why a request got no good answer.
#[derive(Debug, Error)]
pub enum FetchError {
    /// No answer: name, connection, TLS, time-out. Worth another try.
    #[error("no answer from {url}")]
    Transport {
        /// The URL asked.
        url: String,
        /// What the transport says.
        source: anyhow::Error,
    },
    /// The head node refused.
    #[error("{url} answered {status}: {}", .answer.message)]
    Refused {
        /// The URL asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The answer's body; a body that is no `ErrorAnswer` is put into one.
        answer: ErrorAnswer,
        /// Seconds from `Retry-After`.
        retry_after: Option<u64>,
    },
}
