//! What of a machine's TPM 2.0 goes over the wire: the session's key for nodes whose group says `tpm`.
//!
//! The formats are those of the Trusted Computing Group: *TPM 2.0 Library*, parts 1 and 2, and the *EK Credential Profile*.

use serde::{Deserialize, Serialize};

use crate::envelope::Bytes;

/// Bytes of a coordinate on the curve P-256.
pub const COORDINATE: usize = 32;

/// What the public area (`TPMT_PUBLIC`) of an endorsement key of template L-2 (EK Credential Profile, B.3.4) has before its
/// point: elliptic curve P-256, made by the chip and never to leave it, for decryption under the policy
/// `PolicySecret(endorsement hierarchy)`. The point follows as two `TPM2B`.
pub const ENDORSEMENT_KEY: [u8; 54] = [
    0x00, 0x23, // TPM_ALG_ECC
    0x00, 0x0b, // names by SHA-256
    0x00, 0x03, 0x00,
    0xb2, // fixedTPM, fixedParent, sensitiveDataOrigin, adminWithPolicy, restricted, decrypt
    0x00, 0x20, 0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7,
    0x24, 0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69,
    0xaa, // its policy
    0x00, 0x06, 0x00, 0x80, 0x00, 0x43, // AES-128-CFB
    0x00, 0x10, // no scheme
    0x00, 0x03, // P-256
    0x00, 0x10, // no key derivation of its own
];

/// A chip that can unwrap what is wrapped for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tpm {
    /// Public area of its endorsement key: [`ENDORSEMENT_KEY`] and a point.
    pub endorsement_key: Bytes,
    /// Name (part 1, 16) of a key that it made for this boot: another boot unwraps nothing.
    pub boot_key: Bytes,
}

/// Something wrapped by `TPM2_MakeCredential` (part 1, 24): `TPM2_ActivateCredential` gives it back, on that chip and in that boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// `TPMS_ID_OBJECT`: the integrity, and what is wrapped, encrypted.
    pub object: Bytes,
    /// `TPMS_ECC_POINT`: half of the exchange by which the chip has the key to that.
    pub seed: Bytes,
}
