//! Time, token, session: the calls by which a node gets its NII (`docs/protocol.md`).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::digest::Digest;
use crate::envelope::{Bytes, PublicKey, Purpose};
use crate::secret::Secret;
use crate::tpm::{Credential, Tpm};
use crate::v1::SshHostKey;

/// Version of the calls; a head node and an initrd with different ones refuse each other before anything is touched.
pub const PROTOCOL: u32 = 1;

/// Path of the one-time token inside the initrd (its own little cpio segment, mode 0400).
pub const TOKEN_PATH: &str = "/camphor/token";

/// What `GET /api/v1/time?nonce=N` carries in its envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimePayload {
    /// The nonce that the node sent.
    pub nonce: String,
    /// Seconds since 1970.
    pub time: u64,
    /// The head node's protocol version.
    pub protocol: u32,
    /// The head node's release, for people.
    pub release: String,
    /// Base URL of the TLS side, as in `https://10.1.0.1:8443`.
    pub https: String,
    /// Whose certificate the TLS side has, as [`Trust::authorities`](crate::trust::Trust::authorities) names it: a node that
    /// does not believe it can say so, where TLS would only fail. Not said by head nodes that never change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<Digest>,
}

/// `POST /api/v1/token`: asks for the one-time token. For nodes whose boot could not bring it along, since firmware checks
/// that all they boot from is one signed file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRequest {
    /// MAC address of the boot interface, lower case with colons.
    pub mac: String,
    /// SMBIOS system UUID, where the firmware has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenAnswer {
    /// The token, for [`SessionRequest::token`].
    pub token: Secret,
}

/// `POST /api/v1/session`: trades the token for a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRequest {
    /// The one-time token.
    pub token: Secret,
    /// MAC address of the boot interface, lower case with colons.
    pub mac: String,
    /// SMBIOS system UUID, where the firmware has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// The kernel's boot id.
    pub boot_id: Uuid,
    /// The node's ephemeral key: the release of secrets is bound to it.
    pub key: PublicKey,
    /// The node's signature over [`SessionRequest::proof_message`] with that key.
    pub proof: Bytes,
    /// The node program's protocol version.
    pub protocol: u32,
    /// The newest NII version that it reads.
    pub nii_version: u32,
    /// Its release, for people.
    pub release: String,
    /// Its TPM, if the boot script asked for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm: Option<Tpm>,
}

impl SessionRequest {
    /// What the node signs to show that it holds `key`'s private half.
    pub fn proof_message(token: &Secret, mac: &str, boot_id: Uuid) -> Vec<u8> {
        [token.expose().as_bytes(), b"\0", mac.as_bytes(), b"\0", boot_id.as_bytes()].concat()
    }

    /// Whether the proof fits.
    pub fn proof_is_right(&self) -> bool {
        Purpose::Session.verify(
            &Self::proof_message(&self.token, &self.mac, self.boot_id),
            &self.proof,
            &self.key,
        )
    }
}

/// The answer: a bearer key for the other calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionAnswer {
    /// Goes into `Authorization: Bearer …`.
    pub session: SessionKey,
    /// The node's name.
    pub node: String,
    /// The admin's act.
    pub arming: Uuid,
    /// This boot's try.
    pub attempt: Uuid,
}

/// How a session's key is given to the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SessionKey {
    /// As it is.
    Plain(Secret),
    /// Only the node's TPM unwraps it.
    Wrapped(Credential),
}

/// What a node saved from the disks that it is about to overwrite. The head node keeps the first until a good install
/// that has it (another is [`ErrorCode::Conflict`]), and gives it back in the secrets of an NII with
/// `root.ssh_host_keys: keep`: a power cut loses RAM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escrow {
    /// The SSH host keys of the old system.
    pub ssh_host_keys: Vec<SshHostKey>,
}

/// Body of every answer that is not 2xx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorAnswer {
    /// For programs.
    pub code: ErrorCode,
    /// For people: what, and what to do.
    pub message: String,
}

/// Why the head node refuses. Only [`ErrorCode::Busy`] and [`ErrorCode::Internal`] are worth another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// The token or the session is not known, has ended, or belongs to another node.
    Unauthorized,
    /// The token is right, and its time or its attempt is over: the next boot brings another.
    Expired,
    /// The token was used already, with another key.
    Replay,
    /// The versions do not fit.
    Version,
    /// Not armed for an install.
    NotArmed,
    /// Something else is there already, and stays.
    Conflict,
    /// No such thing.
    NotFound,
    /// The request makes no sense.
    BadRequest,
    /// Try again later.
    Busy,
    /// The head node's own failure; its log says more.
    Internal,
}
