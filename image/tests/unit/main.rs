//! Images from end to end inside this crate: packed, signed, verified, unpacked. The tests make device nodes, owners
//! and attributes of every kind: they need root's rights. Programs they hold ours against: GNU tar, bsdtar, minisign,
//! zstd and the usual compressors, setfacl.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod corrupt;
mod hostile;
mod import;
mod secrets;
mod sign;
mod support;
mod torture;
