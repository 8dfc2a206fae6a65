//! Signatures in minisign's format (<https://jedisct1.github.io/minisign/>, "Signature format"): Ed25519 over the
//! BLAKE2b-512 of the file (algorithm `ED`), and over that signature with the trusted comment.
//!
//! Secret keys are kept as `minisign -G -W` keeps them (not encrypted): the file's mode guards them.

use std::fmt;
use std::str::FromStr;

use base64ct::{Base64, Encoding};
use blake2::{Blake2b512, Digest as _};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use thiserror::Error;
use zeroize::Zeroizing;

/// Of keys, and of signatures over the file itself (which this program neither makes nor accepts).
const ALGORITHM: [u8; 2] = *b"Ed";
/// Of signatures over the file's BLAKE2b-512.
const PREHASHED: [u8; 2] = *b"ED";
/// No key derivation: the secret key is not encrypted.
const KDF_NONE: [u8; 2] = [0, 0];
/// BLAKE2b, the only checksum there is; unused in unencrypted keys.
const CHECKSUM: [u8; 2] = *b"B2";
/// In a secret key: salt 32, operations limit 8, memory limit 8.
const KDF_BYTES: usize = 48;
/// A secret key's checksum: zeros in an unencrypted one.
const CHECKSUM_BYTES: usize = 32;

const UNTRUSTED: &str = "untrusted comment: ";
const TRUSTED: &str = "trusted comment: ";

/// Why a key or a signature is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SignError {
    /// Not minisign's text.
    #[error("{what} is not in minisign's format: {problem}")]
    Format {
        /// Public key, secret key or signature.
        what: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A secret key behind a password, which a program cannot be asked for.
    #[error("the secret key is encrypted; make one with `minisign -G -W`, or let camphor make one")]
    Encrypted,
    /// The signature was made with a key that is not trusted.
    #[error("signed with key {found}, trusted are: {trusted}")]
    Key {
        /// The signature's key.
        found: KeyId,
        /// The keys that would do.
        trusted: String,
    },
    /// The bytes are not the signed ones.
    #[error("the signature does not match the bytes")]
    Mismatch,
    /// The trusted comment was changed.
    #[error("the signature does not match its trusted comment")]
    Comment,
}

const fn format(what: &'static str, problem: &'static str) -> SignError {
    SignError::Format { what, problem }
}

/// The name of a key: random, in keys and signatures, so that the right key can be picked. Shown as minisign does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyId([u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", u64::from_le_bytes(self.0))
    }
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    id: KeyId,
    key: VerifyingKey,
}

impl PublicKey {
    /// The base64 line alone: what `minisign -P` takes.
    #[must_use]
    pub fn line(&self) -> String {
        Base64::encode_string(&[&ALGORITHM[..], &self.id.0, self.key.as_bytes()].concat())
    }

    /// The key's name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }
}

impl fmt::Display for PublicKey {
    /// The text of a `.pub` file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{UNTRUSTED}minisign public key {}\n{}\n", self.id, self.line())
    }
}

impl FromStr for PublicKey {
    type Err = SignError;

    /// Reads a `.pub` file, or its base64 line alone.
    fn from_str(text: &str) -> Result<Self, SignError> {
        const WHAT: &str = "the public key";
        let line = text.lines().find(|line| !line.starts_with(UNTRUSTED)).unwrap_or_default();
        let bytes = Base64::decode_vec(line.trim()).map_err(|_| format(WHAT, "its line is not base64"))?;
        let (algorithm, rest) = bytes.split_first_chunk().ok_or(format(WHAT, "it is too short"))?;
        let (id, rest) = rest.split_first_chunk().ok_or(format(WHAT, "it is too short"))?;
        let key = rest.try_into().map_err(|_| format(WHAT, "its key has not 32 bytes"))?;
        if *algorithm != ALGORITHM {
            return Err(format(WHAT, "it is not an Ed25519 key"));
        }
        let key =
            VerifyingKey::from_bytes(key).map_err(|_| format(WHAT, "its key is not a point of the curve"))?;
        Ok(Self { id: KeyId(*id), key })
    }
}

/// A secret key. Debug shows its name only; the memory is wiped on drop.
pub struct SecretKey {
    id: KeyId,
    key: SigningKey,
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.id)
    }
}

impl SecretKey {
    /// A new key.
    ///
    /// # Errors
    /// The kernel gives no random bytes.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut id = [0; 8];
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut id)?;
        getrandom::fill(&mut *seed)?;
        Ok(Self { id: KeyId(id), key: SigningKey::from_bytes(&seed) })
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey { id: self.id, key: self.key.verifying_key() }
    }

    /// The text to keep, in a file of mode 0600; `FromStr` and `minisign -S` read it.
    #[must_use]
    pub fn save_text(&self) -> Zeroizing<String> {
        let pair = Zeroizing::new(self.key.to_keypair_bytes());
        let bytes = Zeroizing::new(
            [
                &ALGORITHM[..],
                &KDF_NONE,
                &CHECKSUM,
                &[0; KDF_BYTES],
                &self.id.0,
                pair.as_slice(),
                &[0; CHECKSUM_BYTES],
            ]
            .concat(),
        );
        let line = Zeroizing::new(Base64::encode_string(&bytes));
        Zeroizing::new(format!("{UNTRUSTED}minisign encrypted secret key\n{}\n", line.as_str()))
    }

    /// Signs `bytes`: the text of a `.minisig`. `trusted_comment` is signed too; a line break in it would end it, so
    /// control characters become spaces.
    #[must_use]
    pub fn sign(&self, bytes: &[u8], trusted_comment: &str) -> String {
        let comment: String =
            trusted_comment.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
        let signature = self.key.sign(&Blake2b512::digest(bytes)).to_bytes();
        let global = self.key.sign(&[&signature[..], comment.as_bytes()].concat()).to_bytes();
        let line = Base64::encode_string(&[&PREHASHED[..], &self.id.0, &signature].concat());
        let global = Base64::encode_string(&global);
        format!("{UNTRUSTED}signature from camphor key {}\n{line}\n{TRUSTED}{comment}\n{global}\n", self.id)
    }
}

impl FromStr for SecretKey {
    type Err = SignError;

    fn from_str(text: &str) -> Result<Self, SignError> {
        const WHAT: &str = "the secret key";
        let line = text.lines().find(|line| !line.starts_with(UNTRUSTED)).unwrap_or_default();
        let bytes = Base64::decode_vec(line.trim()).map_err(|_| format(WHAT, "its line is not base64"))?;
        let bytes = Zeroizing::new(bytes);
        let short = || format(WHAT, "it is too short");
        let (algorithm, rest) = bytes.split_first_chunk().ok_or_else(short)?;
        let (kdf, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let rest = rest.get(CHECKSUM.len() + KDF_BYTES..).ok_or_else(short)?;
        let (id, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let (pair, rest) = rest.split_first_chunk().ok_or_else(short)?;
        if *algorithm != ALGORITHM {
            return Err(format(WHAT, "it is not an Ed25519 key"));
        }
        if *kdf != KDF_NONE {
            return Err(SignError::Encrypted);
        }
        if rest.len() != CHECKSUM_BYTES {
            return Err(format(WHAT, "its length is wrong"));
        }
        let key =
            SigningKey::from_keypair_bytes(pair).map_err(|_| format(WHAT, "its halves do not match"))?;
        Ok(Self { id: KeyId(*id), key })
    }
}

/// The parts of a `.minisig`.
struct Parsed<'a> {
    id: KeyId,
    signature: [u8; 64],
    comment: &'a str,
    global: [u8; 64],
}

fn parse(text: &str) -> Result<Parsed<'_>, SignError> {
    const WHAT: &str = "the signature";
    let mut lines = text.lines();
    let mut line = || lines.next().ok_or(format(WHAT, "it has fewer than four lines"));
    let (untrusted, signature, trusted, global) = (line()?, line()?, line()?, line()?);
    if line().is_ok() {
        return Err(format(WHAT, "it has more than four lines"));
    }
    if !untrusted.starts_with(UNTRUSTED) {
        return Err(format(WHAT, "its first line is no untrusted comment"));
    }
    let comment =
        trusted.strip_prefix(TRUSTED).ok_or(format(WHAT, "its third line is no trusted comment"))?;
    let mut buf = [0; 80];
    let bytes =
        Base64::decode(signature, &mut buf).map_err(|_| format(WHAT, "its second line is not base64"))?;
    let (algorithm, rest) = bytes.split_first_chunk().ok_or(format(WHAT, "it is too short"))?;
    let (id, rest) = rest.split_first_chunk().ok_or(format(WHAT, "it is too short"))?;
    let signature = rest.try_into().map_err(|_| format(WHAT, "it has not 64 bytes"))?;
    if *algorithm != PREHASHED {
        return Err(format(WHAT, "it is not a prehashed one"));
    }
    let id = KeyId(*id);
    let mut buf = [0; 80];
    let bytes =
        Base64::decode(global, &mut buf).map_err(|_| format(WHAT, "its fourth line is not base64"))?;
    let global = bytes.try_into().map_err(|_| format(WHAT, "its fourth line has not 64 bytes"))?;
    Ok(Parsed { id, signature, comment, global })
}

impl PublicKey {
    /// Checks the text of a `.minisig` over `bytes`; the trusted comment if it is good.
    ///
    /// # Errors
    /// See [`SignError`].
    pub fn verify(&self, bytes: &[u8], signature: &str) -> Result<String, SignError> {
        verify(std::slice::from_ref(self), bytes, signature)
    }
}

/// Checks a signature against whichever of `keys` it names; the trusted comment if it is good.
///
/// # Errors
/// See [`SignError`].
pub fn verify(keys: &[PublicKey], bytes: &[u8], signature: &str) -> Result<String, SignError> {
    let parsed = parse(signature)?;
    let key = keys.iter().find(|key| key.id == parsed.id).ok_or_else(|| SignError::Key {
        found: parsed.id,
        trusted: keys.iter().map(|key| key.id.to_string()).collect::<Vec<_>>().join(", "),
    })?;
    let good = |message: &[u8], signature: &[u8; 64]| {
        key.key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    };
    if !good(&Blake2b512::digest(bytes), &parsed.signature) {
        return Err(SignError::Mismatch);
    }
    if !good(&[&parsed.signature[..], parsed.comment.as_bytes()].concat(), &parsed.global) {
        return Err(SignError::Comment);
    }
    Ok(parsed.comment.to_owned())
}
