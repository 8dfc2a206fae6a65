//! The image manifest, version 1, and its paged chunk tables.
//!
//! An image is four files below one directory, which is named by the digest of `manifest.json`'s exact bytes:
//!
//! | file | holds |
//! | --- | --- |
//! | `manifest.json` | a [`Manifest`] |
//! | `manifest.json.minisig` | its signature, in minisign's format |
//! | `pages.bin` | the chunk table: [`RECORD_BYTES`] for each chunk, [`PAGE_CHUNKS`] to a page |
//! | `data.tar.zst` | the chunks, end to end |
//!
//! A node holds one page at a time, so its memory does not grow with the image. The manifest holds the digest of
//! each page, and a page the digests of its chunks: whoever believes the manifest can check every byte of the rest
//! before using it.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::digest::Digest;

/// File of the manifest.
pub const MANIFEST_FILE: &str = "manifest.json";
/// File of the manifest's signature.
pub const SIGNATURE_FILE: &str = "manifest.json.minisig";
/// File of the chunk table.
pub const PAGES_FILE: &str = "pages.bin";
/// File of the data, for [`Payload::TarZst`].
pub const DATA_FILE: &str = "data.tar.zst";

/// Most bytes that a manifest may have. A terabyte's takes some 80 KiB.
pub const MANIFEST_MAX: u32 = 4 << 20;
/// Most bytes that a signature file may have.
pub const SIGNATURE_MAX: u32 = 4096;
/// Chunks of a full page; only the last page may have fewer.
pub const PAGE_CHUNKS: u32 = 1024;
/// Bytes of a chunk's record: stored digest, plain digest, offset u64, stored length u32, plain length u32,
/// numbers little-endian.
pub const RECORD_BYTES: u32 = 32 + 32 + 8 + 4 + 4;
/// Most plain bytes of one chunk, and the largest zstd window that a node must provide.
pub const WINDOW_MAX: u32 = 4 << 20;
/// Most stored bytes of one chunk: what zstd can make of an incompressible one (ZSTD_COMPRESSBOUND), rounded up.
pub const STORED_MAX: u32 = WINDOW_MAX + (64 << 10);
/// Most pages: some 4 TiB of chunks of a mebibyte.
pub const PAGES_MAX: usize = 4096;

/// The manifest's head. Its digest is BLAKE3 over the exact bytes that were signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// 1.
    pub version: u32,
    /// The name the admin gave the image.
    pub name: String,
    /// What the data file is.
    pub payload: Payload,
    /// Machine of the programs inside, as `uname -m` says it; `unknown` if none was found.
    pub arch: String,
    /// From the image's os-release.
    pub os: Os,
    /// Kernels inside, sorted by version.
    pub kernels: Vec<Kernel>,
    /// Bytes of the data file.
    pub stored_size: u64,
    /// Bytes of the data once it is decompressed.
    pub plain_size: u64,
    /// Most inodes that unpacking makes; the root itself counts.
    pub inodes: u64,
    /// RAM that the tree takes in a tmpfs: file data rounded up to pages, and what each inode costs.
    pub ram_bytes: u64,
    /// Namespaces of the extended attributes inside, sorted: `security`, `system` (ACLs), `trusted`, `user`.
    pub xattr_namespaces: Vec<String>,
    /// No chunk has more plain bytes, and no zstd frame a larger window; at most [`WINDOW_MAX`].
    pub window: u32,
    /// Chunks in all.
    pub chunks: u64,
    /// Digest of each page of the chunk table.
    pub pages: Vec<Digest>,
}

/// Format of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// A tar archive in independent zstd frames, one a chunk: one valid zstd stream.
    #[serde(rename = "tar.zst")]
    TarZst,
    /// A gzipped tar archive; chunks are byte ranges.
    #[serde(rename = "tar.gz")]
    TarGz,
    /// A squashfs; chunks are byte ranges.
    #[serde(rename = "squashfs")]
    Squashfs,
    /// An erofs; chunks are byte ranges.
    #[serde(rename = "erofs")]
    Erofs,
}

/// What os-release(5) says; empty where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Os {
    /// `ID`: `debian`, `rocky`.
    pub id: String,
    /// `ID_LIKE`, split.
    pub id_like: Vec<String>,
    /// `VERSION_ID`.
    pub version_id: String,
    /// `PRETTY_NAME`.
    pub pretty_name: String,
}

/// A kernel inside an image. Paths are relative to the root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// As `uname -r` says it.
    pub version: String,
    /// Whether the image has its modules: a node can hand over to the image under a kernel that it has modules for.
    pub modules: bool,
    /// Path of the kernel itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmlinuz: Option<String>,
    /// Path of its initrd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initrd: Option<String>,
}

/// A chunk of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Digest of the stored bytes: checked before anything is decompressed.
    pub stored: Digest,
    /// Digest of the plain bytes: what a chunk kept from an earlier image is found by.
    pub plain: Digest,
    /// Where it starts in the data file.
    pub offset: u64,
    /// Stored bytes.
    pub stored_len: u32,
    /// Plain bytes.
    pub plain_len: u32,
}

/// Why a manifest or a page is refused; the field is named as in the JSON, or as `pages.bin[chunk].field`.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// Not the JSON of a manifest.
    #[error("the manifest cannot be read")]
    Json(#[from] serde_json::Error),
    /// A newer head node made it.
    #[error(
        "manifest version {0}; this program reads version 1 (update the initrd or import the image again)"
    )]
    Version(u32),
    /// A field's value cannot be.
    #[error("{field}: {problem}")]
    Field {
        /// Which field.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

fn wrong(field: impl Into<String>, problem: impl Into<String>) -> ManifestError {
    ManifestError::Field { field: field.into(), problem: problem.into() }
}

impl Manifest {
    /// Reads a manifest and checks all that can be checked without the pages.
    ///
    /// # Errors
    /// Not a manifest, a version other than 1, or a field that contradicts another.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        // The version first: a newer one has fields that this program cannot know.
        let Versioned { version } = serde_json::from_slice(bytes)?;
        if version != 1 {
            return Err(ManifestError::Version(version));
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        if self.name.is_empty() || self.name.chars().any(char::is_control) {
            return Err(wrong("name", "is empty or has control characters"));
        }
        if self.window == 0 || self.window > WINDOW_MAX {
            return Err(wrong("window", format!("is {}, not within 1 to {WINDOW_MAX}", self.window)));
        }
        let pages = self.chunks.div_ceil(u64::from(PAGE_CHUNKS));
        if self.pages.len() > PAGES_MAX || self.pages.len() as u64 != pages {
            let problem =
                format!("{} digests for {} chunks, at most {PAGES_MAX}", self.pages.len(), self.chunks);
            return Err(wrong("pages", problem));
        }
        if self.plain_size > self.chunks * u64::from(self.window) {
            return Err(wrong("plain_size", format!("{} bytes do not fit the chunks", self.plain_size)));
        }
        if self.stored_size > self.chunks * u64::from(STORED_MAX) {
            return Err(wrong("stored_size", format!("{} bytes do not fit the chunks", self.stored_size)));
        }
        for (index, kernel) in self.kernels.iter().enumerate() {
            let paths = [("vmlinuz", &kernel.vmlinuz), ("initrd", &kernel.initrd)];
            for (field, path) in paths.into_iter().filter_map(|(field, path)| Some((field, path.as_deref()?)))
            {
                if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
                    return Err(wrong(format!("kernels[{index}].{field}"), "is not a path below the root"));
                }
            }
        }
        Ok(())
    }

    /// Where page `page` is in `pages.bin`: offset and length. `None` past the last page.
    #[must_use]
    pub fn page_range(&self, page: u32) -> Option<(u64, u32)> {
        let first = u64::from(page) * u64::from(PAGE_CHUNKS);
        let chunks = self.chunks.checked_sub(first).filter(|&left| left > 0)?.min(u64::from(PAGE_CHUNKS));
        Some((first * u64::from(RECORD_BYTES), u32::try_from(chunks).ok()? * RECORD_BYTES))
    }

    /// Whether a node under kernel `release` (`uname -r`) finds its modules in this image.
    #[must_use]
    pub fn serves_kernel(&self, release: &str) -> bool {
        self.kernels.iter().any(|kernel| kernel.modules && kernel.version == release)
    }
}

impl Chunk {
    /// Adds the chunk's record to a page.
    pub fn write(&self, page: &mut Vec<u8>) {
        page.extend_from_slice(&self.stored.0);
        page.extend_from_slice(&self.plain.0);
        page.extend_from_slice(&self.offset.to_le_bytes());
        page.extend_from_slice(&self.stored_len.to_le_bytes());
        page.extend_from_slice(&self.plain_len.to_le_bytes());
    }

    /// Reads a record; `None` unless there are [`RECORD_BYTES`].
    fn read(record: &[u8]) -> Option<Self> {
        let (stored, rest) = record.split_first_chunk()?;
        let (plain, rest) = rest.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        let (stored_len, rest) = rest.split_first_chunk()?;
        let (plain_len, rest) = rest.split_first_chunk()?;
        rest.is_empty().then(|| Self {
            stored: Digest(*stored),
            plain: Digest(*plain),
            offset: u64::from_le_bytes(*offset),
            stored_len: u32::from_le_bytes(*stored_len),
            plain_len: u32::from_le_bytes(*plain_len),
        })
    }
}

/// Reads the pages in order, and checks that they join up and end where the manifest says.
#[derive(Debug, Default)]
pub struct PageReader {
    page: u32,
    stored: u64,
    plain: u64,
}

impl PageReader {
    /// Which page is next, and where in `pages.bin` it is: number, offset, length. `None` after the last.
    #[must_use]
    pub fn next(&self, manifest: &Manifest) -> Option<(u32, u64, u32)> {
        let (offset, length) = manifest.page_range(self.page)?;
        Some((self.page, offset, length))
    }

    /// Whether `bytes` are the next page; what [`PageReader::read`] wants to be true.
    #[must_use]
    pub fn matches(&self, manifest: &Manifest, bytes: &[u8]) -> bool {
        manifest.pages.get(self.page as usize) == Some(&Digest::of(bytes))
    }

    /// The chunks of the next page.
    ///
    /// # Errors
    /// The bytes are not the page, a chunk does not start where the one before ends, a length is zero or above its
    /// cap, or the last page's end is not the manifest's sizes.
    pub fn read(&mut self, manifest: &Manifest, bytes: &[u8]) -> Result<Vec<Chunk>, ManifestError> {
        if !self.matches(manifest, bytes) {
            return Err(wrong(format!("pages[{}]", self.page), "is not the digest of the page"));
        }
        let mut chunks = Vec::with_capacity(bytes.len() / RECORD_BYTES as usize);
        for record in bytes.chunks(RECORD_BYTES as usize) {
            let at = |field| {
                let index = u64::from(self.page) * u64::from(PAGE_CHUNKS) + chunks.len() as u64;
                format!("pages.bin[{index}].{field}")
            };
            let chunk = Chunk::read(record).ok_or_else(|| wrong(at("record"), "is cut off"))?;
            if chunk.offset != self.stored {
                let problem = format!("{}, but the chunk before ends at {}", chunk.offset, self.stored);
                return Err(wrong(at("offset"), problem));
            }
            if chunk.stored_len == 0 || chunk.stored_len > STORED_MAX {
                return Err(wrong(
                    at("stored_len"),
                    format!("{}, not within 1 to {STORED_MAX}", chunk.stored_len),
                ));
            }
            if chunk.plain_len == 0 || chunk.plain_len > manifest.window {
                let problem = format!("{}, not within 1 to the window, {}", chunk.plain_len, manifest.window);
                return Err(wrong(at("plain_len"), problem));
            }
            self.stored += u64::from(chunk.stored_len);
            self.plain += u64::from(chunk.plain_len);
            chunks.push(chunk);
        }
        self.page += 1;
        if self.next(manifest).is_none() {
            self.check_end(manifest)?;
        }
        Ok(chunks)
    }

    fn check_end(&self, manifest: &Manifest) -> Result<(), ManifestError> {
        for (field, sum, size) in [
            ("stored_size", self.stored, manifest.stored_size),
            ("plain_size", self.plain, manifest.plain_size),
        ] {
            if sum != size {
                return Err(wrong(field, format!("{size}, but the chunks have {sum} bytes")));
            }
        }
        Ok(())
    }
}
