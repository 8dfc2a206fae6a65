//! Images: packing, verification, extraction. No network: bytes come through a [`source::ChunkSource`].
//!
//! On a node: [`Image::open`] fetches and checks the manifest, [`Image::unpack`] streams the chunks, each verified
//! before it is decompressed, into [`extract::Extractor`], which writes below one directory handle and nowhere else.
//! On the head node: `pack::import` (feature `pack`) makes an image of a directory or a tarball, and [`sign`] signs it.
//!
//! The format is `nii::manifest`'s; docs/image.md describes it.

pub mod acl;
pub mod extract;
mod ordered;
#[cfg(feature = "pack")]
pub mod pack;
pub mod path;
pub mod sign;
pub mod source;
mod stream;
pub mod tar;
mod unpack;

pub use unpack::{Image, Progress, UnpackError};
