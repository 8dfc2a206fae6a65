//! What the initrds that we hand out believe: the `trust.json` in them, read out of their archives (newc; plain, or zstd as
//! `initrd-builder` writes them), and what of our keys it lacks.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use nii::trust::{PATH, Trust};

use crate::data_dir::DataDir;
use crate::keys::{self, rotation};
use crate::netboot::{INITRD, SEGMENT};
use crate::store::inventory::Netboot;

const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Of an entry of a newc archive (`Documentation/driver-api/early-userspace/buffer-format.rst`).
const HEADER: usize = 110;

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
    let mut rest = bytes.as_slice();
    let mut found = None;
    loop {
        rest = entries(rest, &mut found);
        if !rest.starts_with(ZSTD) {
            break;
        }
        let mut plain = Vec::new();
        zstd::Decoder::with_buffer(&mut rest)?.single_frame().read_to_end(&mut plain)?;
        entries(&plain, &mut found);
    }
    found.map(|text| Ok(serde_json::from_slice(&text)?)).transpose()
}

/// Walks through plain archives; what is behind them. The kernel lets the last file of a name win, and so does this.
fn entries<'a>(mut bytes: &'a [u8], found: &mut Option<Vec<u8>>) -> &'a [u8] {
    loop {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes = &bytes[zeros..];
        let Some((name, data, rest)) = entry(bytes) else { return bytes };
        if name == PATH.trim_start_matches('/').as_bytes() {
            *found = Some(data.to_vec());
        }
        bytes = rest;
    }
}

/// Name, content, and what follows; `None` where no entry begins.
fn entry(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    if !bytes.starts_with(b"07070") {
        return None;
    }
    let field = |at: usize| {
        let digits = std::str::from_utf8(bytes.get(at..at + 8)?).ok()?;
        usize::from_str_radix(digits, 16).ok()
    };
    let (size, name_size) = (field(54)?, field(94)?);
    let name = bytes.get(HEADER..HEADER + name_size.checked_sub(1)?)?;
    let begin = (HEADER + name_size).next_multiple_of(4);
    let data = bytes.get(begin..begin + size)?;
    // The last entry may end without its padding.
    let rest = bytes.get((begin + size).next_multiple_of(4)..).unwrap_or_default();
    Some((name, data, rest))
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
