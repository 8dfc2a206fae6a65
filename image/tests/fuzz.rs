//! What is fuzzed (`cargo xtask soak fuzz`), with its seeds.

#![allow(clippy::unwrap_used, reason = "test support")]

#[path = "../../fuzz/src/archive.rs"]
mod archive;
