//! Sessions for one chip only: what a node's TPM is known by, and wrapping for it.
//!
//! * [`credential`]: `TPM2_MakeCredential` in software.

mod credential;

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Result, ensure};
use nii::digest::Digest;
use nii::tpm::{COORDINATE, Credential, ENDORSEMENT_KEY, Tpm};
use ring::digest::{SHA256, digest};

/// TPM_ALG_SHA256: what a name's digest is of, and what is before it.
const ALGORITHM: [u8; 2] = [0x00, 0x0b];
const ALGORITHM_TEXT: &str = "000b";

/// The name of a key in a TPM (*TPM 2.0 Library*, part 1, 16): 68 hexadecimal digits, of which all but the first four are the
/// SHA-256 of its public area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name(Digest);

impl Name {
    fn of(public: &[u8]) -> Result<Self> {
        Ok(Self(Digest(digest(&SHA256, public).as_ref().try_into()?)))
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self(Digest(bytes.strip_prefix(&ALGORITHM)?.try_into().ok()?)))
    }

    fn bytes(self) -> Vec<u8> {
        [&ALGORITHM[..], &self.0.0].concat()
    }
}

impl FromStr for Name {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let digest = text.strip_prefix(ALGORITHM_TEXT).and_then(|digest| digest.parse().ok());
        digest
            .map(Self)
            .context("the name of a TPM's key is 68 lower-case hexadecimal digits, the first are 000b")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM_TEXT}{}", self.0)
    }
}

/// A node's chip, as the node shows it.
#[derive(Clone, Debug)]
pub struct Chip {
    /// Name of its endorsement key.
    pub name: Name,
    /// The point that this key is on P-256, as the chip has it: its own names for it go into what is derived.
    x: Vec<u8>,
    y: Vec<u8>,
    /// Name of the key of its present boot.
    boot: Name,
}

impl Chip {
    /// Reads what a node shows.
    ///
    /// # Errors
    /// When it is no endorsement key of that template: any other might be a key that leaves its chip.
    pub fn read(tpm: &Tpm) -> Result<Self> {
        let public = &tpm.endorsement_key.0;
        let point = public
            .strip_prefix(&ENDORSEMENT_KEY)
            .context("its endorsement key is not of template L-2 (P-256) of the EK Credential Profile")?;
        let (x, rest) = coordinate(point)?;
        let (y, rest) = coordinate(rest)?;
        ensure!(rest.is_empty(), "its endorsement key is followed by something");
        let boot =
            Name::read(&tpm.boot_key.0).context("the name of its key of this boot has not 34 bytes")?;
        Ok(Self { name: Name::of(public)?, x: x.to_vec(), y: y.to_vec(), boot })
    }

    /// Wraps a text of up to 32 bytes.
    ///
    /// # Errors
    /// When the chip's point is not on the curve.
    pub fn wrap(&self, text: &str) -> Result<Credential> {
        credential::make(self, text.as_bytes())
    }
}

/// A `TPM2B` and what follows. Old chips leave out zeroes in front.
fn coordinate(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
    let (size, rest) = bytes.split_first_chunk().context("its endorsement key has no point")?;
    let size = usize::from(u16::from_be_bytes(*size));
    ensure!((1..=COORDINATE).contains(&size), "a coordinate of its endorsement key has {size} bytes");
    rest.split_at_checked(size).context("its endorsement key is cut off")
}
