//! What an initrd knows about its head node: public keys only, baked in as `/etc/camphor/trust.json`.

use serde::{Deserialize, Serialize};

use crate::envelope::PublicKey;

/// Path of the file inside the initrd.
pub const PATH: &str = "/etc/camphor/trust.json";

/// The keys that a node obeys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// Keys that certify the head nodes' online keys; they can be kept offline.
    pub root_keys: Vec<PublicKey>,
    /// Image signing keys, in minisign's public key form (the base64 line).
    pub image_keys: Vec<String>,
    /// The cluster CA's certificates, PEM.
    pub ca_pem: String,
    /// No time before this is believed: seconds since 1970, the CA's notBefore (so that builds stay reproducible).
    pub time_floor: u64,
    /// Hosts (`10.1.0.1`, or with its port) whose unsigned Kusu NII is obeyed; empty: none. Who builds the initrd says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_kusu: Vec<String>,
}
