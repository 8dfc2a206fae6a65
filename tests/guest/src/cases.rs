//! What is to be done, as the scenario wrote it: a file of the initrd.

use std::num::NonZeroUsize;

use anyhow::{Context as _, Result};
use nii::manifest::Manifest;
use nii::{Nii, Strictness};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

/// Where the scenario puts it.
const PATH: &str = "/cases.json";

/// The file.
#[derive(Deserialize)]
pub struct Cases {
    /// The manifest of an image that nobody unpacks.
    manifest: Value,
    /// In this order.
    pub cases: Vec<Entry>,
}

/// One layout.
#[derive(Clone, Deserialize)]
pub struct Entry {
    /// For the console.
    pub name: String,
    nii: Value,
    /// The arming; every attempt of a case with `cuts` has one of its own.
    pub arming: Uuid,
    /// Files that stand for an image.
    pub files: u32,
    /// Kill the worker at its first op, and at each op so many further on, and install again; else install once.
    #[serde(default)]
    pub cuts: Option<NonZeroUsize>,
    /// It was installed before, and is looked at only.
    #[serde(default)]
    pub installed: bool,
    /// It is to be refused, with these words, before anything is done.
    #[serde(default)]
    pub refused: Option<String>,
    /// Somebody has the disk with this serial number.
    #[serde(default)]
    pub held: Option<String>,
    /// What keeps its bytes.
    #[serde(default)]
    pub kept: Vec<Kept>,
    /// Put bytes where there are none on what is kept, once the install is whole.
    #[serde(default)]
    pub fill: bool,
    /// Write each op's number to this disk when it begins, where nothing else lies: a log of writes shows it.
    #[serde(default)]
    pub marks: Option<String>,
}

/// Something whose bytes stay.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub enum Kept {
    /// Bytes of a disk.
    Place {
        /// Serial number of the disk.
        serial: String,
        /// First byte.
        start: u64,
        /// Bytes.
        length: u64,
    },
    /// A device by its name in the NII: an array's, an encrypted device's, or `group/volume`.
    Named(String),
}

/// A case, ready.
pub struct Case {
    /// What the scenario said.
    pub entry: Entry,
    /// What the node is to become.
    pub nii: Nii,
    /// The image.
    pub manifest: Manifest,
}

/// Reads the file.
pub fn read() -> Result<Cases> {
    let text = std::fs::read(PATH).with_context(|| format!("reading {PATH}"))?;
    serde_json::from_slice(&text).with_context(|| format!("reading {PATH}"))
}

impl Cases {
    /// The case of this name.
    pub fn pick(&self, name: &str) -> Result<Case> {
        let entry = self.cases.iter().find(|case| case.name == name);
        let entry = entry.with_context(|| format!("there is no case {name}"))?.clone();
        let findings = |what| format!("reading the {what} of case {name}");
        let (nii, _) = nii::read(entry.nii.to_string().as_bytes(), Strictness::Strict)
            .with_context(|| findings("NII"))?;
        let manifest =
            Manifest::parse(self.manifest.to_string().as_bytes()).with_context(|| findings("manifest"))?;
        Ok(Case { entry, nii, manifest })
    }
}
