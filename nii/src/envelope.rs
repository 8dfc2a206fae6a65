//! Signed envelopes (CONTRACTS: a node obeys nothing unsigned).
//!
//! An envelope holds the *exact* payload bytes, an Ed25519 signature over them, and the certificate by which a root
//! key says that the signing key is a head node's. The signed message is `camphor <purpose> v1`, a zero byte, then
//! the payload: a signature for one purpose is worth nothing for another.

use base64ct::{Base64, Encoding};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;
use uuid::Uuid;

/// Bytes that JSON carries as base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bytes(pub Vec<u8>);

impl TryFrom<String> for Bytes {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Base64::decode_vec(&text).map(Self).map_err(|error| format!("not base64: {error}"))
    }
}

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> Self {
        Base64::encode_string(&bytes.0)
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bytes({})", self.0.len())
    }
}

/// An Ed25519 public key; base64 in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Bytes", into = "Bytes")]
pub struct PublicKey(pub [u8; 32]);

impl TryFrom<Bytes> for PublicKey {
    type Error = String;
    fn try_from(bytes: Bytes) -> Result<Self, String> {
        let length = bytes.0.len();
        bytes.0.try_into().map(Self).map_err(|_| format!("a public key has 32 bytes, not {length}"))
    }
}

impl From<PublicKey> for Bytes {
    fn from(key: PublicKey) -> Self {
        Self(key.0.to_vec())
    }
}

impl From<&SigningKey> for PublicKey {
    fn from(key: &SigningKey) -> Self {
        Self(key.verifying_key().to_bytes())
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&Base64::encode_string(&self.0))
    }
}

/// What a signature is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An [`NiiPayload`].
    Nii,
    /// A [`TimePayload`](crate::session::TimePayload).
    Time,
    /// The node's proof that it holds its ephemeral key.
    Session,
    /// A [`CertificatePayload`], by a root key.
    Certificate,
}

impl Purpose {
    fn message(self, payload: &[u8]) -> Vec<u8> {
        let domain: &[u8] = match self {
            Self::Nii => b"camphor nii v1\0",
            Self::Time => b"camphor time v1\0",
            Self::Session => b"camphor session v1\0",
            Self::Certificate => b"camphor certificate v1\0",
        };
        [domain, payload].concat()
    }

    /// Signs `payload` for this purpose.
    pub fn sign(self, payload: &[u8], key: &SigningKey) -> Bytes {
        Bytes(key.sign(&self.message(payload)).to_bytes().to_vec())
    }

    /// Whether `signature` is `key`'s over `payload` for this purpose.
    pub fn verify(self, payload: &[u8], signature: &Bytes, key: &PublicKey) -> bool {
        let (Ok(key), Ok(signature)) =
            (VerifyingKey::from_bytes(&key.0), Signature::from_slice(&signature.0))
        else {
            return false;
        };
        key.verify_strict(&self.message(payload), &signature).is_ok()
    }
}

/// A payload, its signature, and why the signing key is to be believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The exact bytes that were signed.
    pub payload: Bytes,
    /// Over the payload, by the certificate's key.
    pub signature: Bytes,
    /// The head node's certificate.
    pub certificate: Certificate,
}

/// A root key's word that a key is a head node's online key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The exact bytes of a [`CertificatePayload`].
    pub payload: Bytes,
    /// Over the payload, by a root key.
    pub signature: Bytes,
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificatePayload {
    /// The online key.
    pub key: PublicKey,
    /// When it was certified, seconds since 1970.
    pub issued_at: u64,
    /// When it ends, seconds since 1970.
    pub not_after: u64,
}

/// Why an envelope is not obeyed.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EnvelopeError {
    /// No root key of this initrd signed the certificate.
    #[error(
        "the head node's key is certified by no root key of this initrd: rebuild the initrd from this head node's trust file"
    )]
    UnknownHead,
    /// The certificate is signed but says nothing readable.
    #[error("the head node's certificate cannot be read")]
    BadCertificate,
    /// The certificate has ended.
    #[error(
        "the head node's certificate ended at {not_after} and it is {now} (seconds since 1970): renew it on the head node"
    )]
    Expired {
        /// Its end.
        not_after: u64,
        /// The time it was judged at.
        now: u64,
    },
    /// The key was replaced by another.
    #[error(
        "the head node signs with the key {key}, certified at {issued_at} (seconds since 1970), and this initrd believes \
         only those certified since {since}: that key was replaced; is this an old head node, or somebody who has its key?"
    )]
    Retired {
        /// The head node's.
        key: PublicKey,
        /// Its age.
        issued_at: u64,
        /// What is old.
        since: u64,
    },
    /// The payload was changed, or signed for something else.
    #[error("the signature does not fit: the answer was changed on its way, or comes from another program")]
    BadSignature,
}

impl Envelope {
    /// Signs `payload` for `purpose`.
    pub fn seal(purpose: Purpose, payload: Vec<u8>, key: &SigningKey, certificate: Certificate) -> Self {
        let signature = purpose.sign(&payload, key);
        Self { payload: Bytes(payload), signature, certificate }
    }

    /// The payload, if a head node certified by one of `roots` signed it for `purpose`. `now` (seconds since 1970)
    /// judges the certificate's end; pass the time that the payload itself claims only for [`Purpose::Time`].
    ///
    /// # Errors
    /// [`EnvelopeError`]: the payload must not be obeyed.
    pub fn open(&self, purpose: Purpose, roots: &[PublicKey], now: u64) -> Result<&[u8], EnvelopeError> {
        let Certificate { payload, signature } = &self.certificate;
        if !roots.iter().any(|root| Purpose::Certificate.verify(&payload.0, signature, root)) {
            return Err(EnvelopeError::UnknownHead);
        }
        let certificate: CertificatePayload =
            serde_json::from_slice(&payload.0).map_err(|_| EnvelopeError::BadCertificate)?;
        if !purpose.verify(&self.payload.0, &self.signature, &certificate.key) {
            return Err(EnvelopeError::BadSignature);
        }
        if now > certificate.not_after {
            return Err(EnvelopeError::Expired { not_after: certificate.not_after, now });
        }
        Ok(&self.payload.0)
    }
}

impl Certificate {
    /// Certifies `payload.key` with a root key.
    ///
    /// # Errors
    /// Never in practice: the payload is plain data.
    pub fn issue(payload: &CertificatePayload, root: &SigningKey) -> Result<Self, serde_json::Error> {
        let payload = serde_json::to_vec(payload)?;
        let signature = Purpose::Certificate.sign(&payload, root);
        Ok(Self { payload: Bytes(payload), signature })
    }
}

/// The payload that carries an NII: bound to node, arming, attempt, the node's nonce and time.
#[derive(Debug, Serialize, Deserialize)]
pub struct NiiPayload {
    /// The node's name.
    pub node: String,
    /// The node's MAC address by which it was identified.
    pub mac: String,
    /// The admin's act that this install carries out.
    pub arming: Uuid,
    /// This boot's try at it.
    pub attempt: Uuid,
    /// The nonce that the node sent.
    pub nonce: String,
    /// Seconds since 1970.
    pub issued_at: u64,
    /// The NII's JSON, for [`crate::read`].
    pub nii: Box<RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn sealed() -> Envelope {
        let payload = CertificatePayload { key: PublicKey::from(&key(2)), issued_at: 100, not_after: 200 };
        let certificate = Certificate::issue(&payload, &key(1)).unwrap();
        Envelope::seal(Purpose::Nii, b"hello".to_vec(), &key(2), certificate)
    }

    #[test]
    fn opens_what_it_sealed_also_through_json() {
        let json = serde_json::to_string(&sealed()).unwrap();
        let envelope: Envelope = serde_json::from_str(&json).unwrap();
        assert_eq!(envelope.open(Purpose::Nii, &[PublicKey::from(&key(1))], 150).unwrap(), b"hello");
    }

    #[test]
    fn refuses_another_root_purpose_payload_or_time() {
        let roots = [PublicKey::from(&key(1))];
        let other = [PublicKey::from(&key(3))];
        assert_eq!(sealed().open(Purpose::Nii, &other, 150), Err(EnvelopeError::UnknownHead));
        assert_eq!(sealed().open(Purpose::Time, &roots, 150), Err(EnvelopeError::BadSignature));
        assert_eq!(
            sealed().open(Purpose::Nii, &roots, 201),
            Err(EnvelopeError::Expired { not_after: 200, now: 201 })
        );
        let mut changed = sealed();
        changed.payload.0[0] ^= 1;
        assert_eq!(changed.open(Purpose::Nii, &roots, 150), Err(EnvelopeError::BadSignature));
        let mut swapped = sealed();
        swapped.certificate.payload.0[10] ^= 1;
        assert_eq!(swapped.open(Purpose::Nii, &roots, 150), Err(EnvelopeError::UnknownHead));
    }
}
