//! Tar archives: reading all that GNU tar, star and libarchive write (V7, ustar, old GNU, PAX), and writing PAX.
//!
//! Format: POSIX pax(1) "ustar Interchange Format" and "pax Interchange Format"; GNU tar's manual, "Tar Internals"
//! (old GNU headers, sparse formats 0.0, 0.1, 1.0, `SCHILY.*` keywords).
//!
//! The reader owns the format and nothing else: which paths are allowed is [`crate::path`]'s, what a member becomes
//! is [`crate::extract`]'s. To read one more keyword: `pax.rs`; one more member type: [`member::Kind`].

mod header;
pub mod member;
mod pax;
pub mod read;
mod sparse;
#[cfg(feature = "pack")]
pub mod write;

/// Unit of the format.
pub const BLOCK: usize = 512;
/// Most bytes of one member's extended headers: names, attributes (64 KiB each at most), sparse maps.
const EXTENDED_MAX: u64 = 8 << 20;
/// Most data spans of a sparse file; a map of that many takes 4 MiB while its member is unpacked.
const SPANS_MAX: usize = 1 << 18;
