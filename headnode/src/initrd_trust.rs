//! What the initrds that we hand out believe: the `trust.json` in them, read out of their archives (newc; plain, or zstd as
//! `initrd-builder` writes them), and what of our keys it lacks.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use nii::trust::{PATH, Trust};

use crate::cpio;
use crate::data_dir::DataDir;
use crate::keys::{self, rotation};
use crate::netboot::{INITRD, SEGMENT};
use crate::store::inventory::Netboot;

const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The trust of the netboot's nodes; `None` where there is none that we can read: a stock or a foreign initrd.
///
/// # Errors
/// When its file cannot be read, or its `trust.json` is broken.
pub fn of(dir: &DataDir, netboot: &Netboot) -> Result<Option<Trust>> {
    let path = match &netboot.segment {
        Some(segment) => dir.boot_file(segment, SEGMENT),
        None => dir.boot_file(&netboot.initrd, INITRD),
    };
    read(&path).with_context(|| format!("reading {PATH} out of {}", path.display()))
}

fn read(path: &Path) -> Result<Option<Trust>> {
    let bytes = fs::read(path)?;
    let (mut files, mut rest) = cpio::files(&bytes);
    while rest.starts_with(ZSTD) {
        let mut plain = Vec::new();
        zstd::Decoder::with_buffer(&mut rest)?.single_frame().read_to_end(&mut plain)?;
        files.extend(cpio::files(&plain).0);
        let (more, behind) = cpio::files(rest);
        files.extend(more);
        rest = behind;
    }
    // The kernel lets the last file of a name win.
    let trust = files.iter().rfind(|file| file.name == PATH.trim_start_matches('/'));
    trust.map(|file| Ok(serde_json::from_slice(&file.data)?)).transpose()
}

/// A key of ours that an initrd does not believe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// As in "the next image key 1234…".
    pub key: String,
    /// Whether it comes into use only when `headnode keys rotate … --retire` says so.
    pub later: bool,
}

/// What of our keys `trust` lacks.
///
/// # Errors
/// When a key of ours cannot be read.
pub fn lacks(dir: &DataDir, trust: &Trust) -> Result<Vec<Lack>> {
    let mut lacks = Vec::new();
    let mut lack = |place: usize, what: String| {
        let (later, which) = (place > 0, if place > 0 { "the next" } else { "the" });
        lacks.push(Lack { key: format!("{which} {what}"), later });
    };
    let believed = trust.authorities();
    for (place, authority) in rotation::authorities(dir)?.iter().enumerate() {
        if !believed.contains(&authority.name) {
            lack(place, format!("authority {}", &authority.name.to_string()[..12]));
        }
    }
    for (place, key) in rotation::image_keys(dir)?.iter().enumerate() {
        if !trust.image_keys.contains(&key.line()) {
            lack(place, format!("image key {}", key.id()));
        }
    }
    if !keys::read_trust(dir)?.root_keys.iter().any(|root| trust.root_keys.contains(root)) {
        lack(0, "root key".into());
    }
    let online = rotation::online_certificate(dir)?;
    if online.issued_at < trust.certified_since {
        lack(0, format!("key of NIIs {}", online.key));
    }
    Ok(lacks)
}
