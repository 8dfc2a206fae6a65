//! Making images on the head node: from a directory or a tarball to the four files of `nii::manifest`.
//!
//! The tar bytes flow once: from the source (`input`: a decompressor, or `walk` over a directory), through the
//! reader that leaves out or refuses secrets (`sift`, by the rules of `secrets`), checks every member and learns what the
//! manifest says (`survey`), into chunks that all cores compress
//! (`frames`). The tar bytes of a tarball's members stay as they are. A directory gives the same bytes each time.

mod error;
mod frames;
mod input;
mod privileges;
mod secrets;
mod sift;
mod survey;
mod walk;

use std::fs::{self, File};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use nii::digest::Digest;
use nii::manifest::{self, Manifest, PAGE_CHUNKS, Payload, RECORD_BYTES};
use rustix::fs::{CWD, Mode, RenameFlags};
use serde::{Deserialize, Serialize};

use crate::sign::SecretKey;
pub use error::ImportError;
use error::io_error;
use frames::Frames;
pub use privileges::Privileged;
pub use secrets::Secret;
use sift::Found;
use survey::Survey;

/// Plain bytes of a chunk. Larger ones compress better (4 MiB: 3 % on a Debian root's programs), and cost a node more
/// memory, and each that is lost on the way again.
const CHUNK: usize = 1 << 20;

/// Where an image's [`Report`] is, beside its four files: for admins, and not for nodes.
pub const REPORT_FILE: &str = "report.json";

/// How to import.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// The image's name.
    pub name: String,
    /// The machine, where the programs inside should not be asked.
    pub arch: Option<String>,
    /// zstd's level, 1 to 19.
    pub level: i32,
    /// Paths of secrets that are wanted in the image.
    pub allow_secrets: Vec<String>,
    /// Whether all other secrets are left out, and none refused.
    pub strip_secrets: bool,
}

impl ImportOptions {
    /// The usual way: level 6, since an image is packed once and sent often (docs/image.md has the figures).
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), arch: None, level: 6, allow_secrets: Vec::new(), strip_secrets: false }
    }
}

/// How far an import is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportProgress {
    /// Tar bytes read.
    pub plain: u64,
    /// Bytes written.
    pub stored: u64,
    /// Members read.
    pub members: u64,
}

/// What an admin should know about an image besides its manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Members of the archive.
    pub members: u64,
    /// Files that give whoever starts them more than he has, by path.
    pub privileged: Vec<Privileged>,
    /// Secrets of the source that are not in the image.
    pub stripped: Vec<Secret>,
    /// Secrets that are in it, because they were allowed.
    pub allowed: Vec<Secret>,
    /// Sockets, which a tar archive cannot hold: left out of a directory's image.
    pub sockets: Vec<String>,
    /// Directories that other filesystems are mounted on: in a directory's image they are empty.
    pub mounts: Vec<String>,
}

/// A finished image.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Digest of its manifest.
    pub digest: Digest,
    /// Its directory: the store's, then the digest.
    pub path: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// What an admin should know.
    pub report: Report,
}

/// Imports a directory or a tarball (plain, gz, bz2, xz, zst) into `store`, signed with `key`. The image appears
/// there whole, or not at all.
///
/// # Errors
/// See [`ImportError`]; the store is then as it was.
pub fn import(
    source: &Path,
    store: &Path,
    key: &SecretKey,
    options: &ImportOptions,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<Imported, ImportError> {
    let dir = tempfile::Builder::new()
        .prefix(".import-")
        .tempdir_in(store)
        .map_err(io_error("making a directory in", store))?;
    let data = dir.path().join(manifest::DATA_FILE);
    let file = File::create_new(&data).map_err(io_error("creating", &data))?;
    let mut pack = |input: &mut dyn BufRead| frames::pack(input, &file, options, progress);
    let ((survey, found, frames), walked) = if source.is_dir() {
        walk::stream(source, pack)?
    } else {
        (pack(&mut input::open(source)?)?, walk::Skipped::default())
    };
    file.sync_all().map_err(io_error("writing", &data))?;
    let pages = pages(&frames);
    write(dir.path(), manifest::PAGES_FILE, &pages)?;
    let (manifest, report) = describe((survey, found, walked), &frames, &pages, options)?;
    let json = serde_json::to_vec_pretty(&manifest).map_err(|cause| ImportError::Manifest(cause.into()))?;
    // What we write is what nodes must be able to read.
    Manifest::parse(&json).map_err(ImportError::Manifest)?;
    let digest = Digest::of(&json);
    let comment = format!("camphor image {} manifest {digest}", manifest.name);
    write(dir.path(), manifest::MANIFEST_FILE, &json)?;
    let said = serde_json::to_vec_pretty(&report).map_err(|cause| ImportError::Manifest(cause.into()))?;
    write(dir.path(), REPORT_FILE, &said)?;
    write(dir.path(), manifest::SIGNATURE_FILE, key.sign(&json, &comment).as_bytes())?;
    let path = publish(dir, store, digest)?;
    Ok(Imported { digest, path, manifest, report })
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), ImportError> {
    let path = dir.join(name);
    let written =
        File::create_new(&path).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(io_error("writing", &path))
}

fn pages(frames: &Frames) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(frames.chunks.len() * RECORD_BYTES as usize);
    for chunk in &frames.chunks {
        chunk.write(&mut bytes);
    }
    bytes
}

fn describe(
    (survey, secrets, skipped): (Survey, Found, walk::Skipped),
    frames: &Frames,
    pages: &[u8],
    options: &ImportOptions,
) -> Result<(Manifest, Report), ImportError> {
    let found = survey.finish()?;
    let manifest = Manifest {
        version: 1,
        name: options.name.clone(),
        payload: Payload::TarZst,
        arch: options.arch.clone().unwrap_or(found.arch),
        os: found.os,
        kernels: found.kernels,
        stored_size: frames.chunks.iter().map(|chunk| u64::from(chunk.stored_len)).sum(),
        plain_size: frames.chunks.iter().map(|chunk| u64::from(chunk.plain_len)).sum(),
        inodes: found.inodes,
        ram_bytes: found.ram_bytes,
        xattr_namespaces: found.xattr_namespaces,
        window: CHUNK as u32,
        chunks: frames.chunks.len() as u64,
        pages: pages.chunks((PAGE_CHUNKS * RECORD_BYTES) as usize).map(Digest::of).collect(),
    };
    let report = Report {
        members: found.members,
        privileged: found.privileged,
        stripped: secrets.stripped,
        allowed: secrets.allowed,
        sockets: skipped.sockets,
        mounts: skipped.mounts,
    };
    Ok((manifest, report))
}

/// Moves a finished image to its place. An image of the same digest is replaced in one step: it may be damaged, or
/// signed by an older key.
fn publish(dir: tempfile::TempDir, store: &Path, digest: Digest) -> Result<PathBuf, ImportError> {
    let path = store.join(digest.to_string());
    let failed = io_error("publishing", &path);
    let publish = || {
        let (from, sync) = (dir.path(), |path: &Path| File::open(path)?.sync_all());
        rustix::fs::chmod(from, Mode::from_raw_mode(0o755))?;
        sync(from)?;
        match rustix::fs::renameat_with(CWD, from, CWD, &path, RenameFlags::NOREPLACE) {
            Err(rustix::io::Errno::EXIST) => {
                rustix::fs::renameat_with(CWD, from, CWD, &path, RenameFlags::EXCHANGE)?;
                fs::remove_dir_all(from)?;
            }
            renamed => renamed?,
        }
        sync(store)
    };
    publish().map_err(failed)?;
    // Nothing is left at its old place.
    let _ = dir.keep();
    Ok(path)
}
