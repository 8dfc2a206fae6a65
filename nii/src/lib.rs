//! Camphor's wire types: what a head node and a node say to each other, and how it is checked.
//!
//! * [`v1`]: the NII (Node Installation Information), the one document that says what a node is to become;
//!   [`read`] parses it and returns every [`Finding`] with the JSON path of its field.
//! * [`envelope`]: signed envelopes; a node obeys nothing that did not come in one.
//! * [`session`]: time, token, session: the calls of `docs/protocol.md`.
//! * [`tpm`]: a session's key that only one chip unwraps.
//! * [`event`]: what a node reports.
//! * [`trust`]: the public keys that an initrd carries.
//! * [`kusu`]: the XML of an old Kusu head node, read into the same types.
//! * [`manifest`], [`digest`]: images.
//! * [`secret`]: a string that no log shows.
//!
//! No I/O happens here: bytes in, values and findings out.

pub mod digest;
pub mod envelope;
pub mod event;
pub mod finding;
pub mod kusu;
pub mod manifest;
pub mod read;
pub mod secret;
pub mod session;
pub mod tpm;
pub mod trust;
pub mod v1;

pub use finding::{Finding, Severity};
pub use read::{ReadError, Strictness, read};
pub use v1::Nii;
