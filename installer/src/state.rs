//! What one process of an install leaves for the next: files in RAM, readable by root only, that outlive the initrd.

#![allow(
    clippy::disallowed_methods,
    reason = "files of this program's own, in RAM; not a change to the machine"
)]

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use host::net::head::Session;
use nii::Nii;
use nii::secret::Secret;
use nii::trust::{self, Trust};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The folder.
pub const FOLDER: &str = "/run/camphor";

/// The folder of the install's state.
#[derive(Clone, Debug)]
pub struct State(PathBuf);

/// Where the head node is, and what speaks for the node.
#[derive(Debug, Serialize, Deserialize)]
pub struct Link {
    /// The session, if the head node is camphor's.
    pub session: Option<Kept>,
    /// The Kusu head node instead of a session.
    pub kusu: Option<host::kusu::Node>,
    /// The head node's signed time, in seconds since 1970, and the seconds since boot when it was told.
    pub time: (u64, u64),
}

/// A [`Session`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Kept {
    https: String,
    key: Secret,
    node: String,
    arming: Uuid,
    attempt: Uuid,
    mac: String,
}

impl From<&Session> for Kept {
    fn from(session: &Session) -> Self {
        let Session { https, key, node, arming, attempt, mac } = session.clone();
        Self { https, key, node, arming, attempt, mac }
    }
}

impl From<Kept> for Session {
    fn from(kept: Kept) -> Self {
        let Kept { https, key, node, arming, attempt, mac } = kept;
        Self { https, key, node, arming, attempt, mac }
    }
}

impl State {
    /// The state in `folder`, which is made if it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        make_folder(&folder)?;
        Ok(Self(folder))
    }

    /// The spool of reports, one for all processes.
    pub fn events(&self) -> PathBuf {
        self.0.join("events.json")
    }

    /// What the heartbeat holds while it beats.
    pub fn heartbeat(&self) -> PathBuf {
        self.0.join("heartbeat")
    }

    /// Keeps the link to the head node.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_link(&self, link: &Link) -> Result<()> {
        write(&self.0.join("link.json"), &serde_json::to_vec(link)?, 0o600)
    }

    /// The link to the head node; `None` before there is one.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn link(&self) -> Result<Option<Link>> {
        self.read("link.json")
    }

    /// Keeps the NII with its secrets: they are released once.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_nii(&self, nii: &Nii) -> Result<()> {
        write(&self.0.join("nii.json"), &serde_json::to_vec(nii)?, 0o600)
    }

    /// The NII with its secrets; `None` before there is one.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn nii(&self) -> Result<Option<Nii>> {
        self.read("nii.json")
    }

    /// Whom to believe: the initrd's file, which is copied for the processes that come after the initrd.
    ///
    /// # Errors
    /// There is none.
    pub fn trust(&self) -> Result<Trust> {
        let kept = self.0.join("trust.json");
        let bytes = match fs::read(trust::PATH) {
            Ok(bytes) => {
                write(&kept, &bytes, 0o600)?;
                bytes
            }
            Err(_) => fs::read(&kept)
                .with_context(|| format!("reading {} and {}", trust::PATH, kept.display()))
                .context("there is no trust file: was this segment made by initrd-builder append?")?,
        };
        serde_json::from_slice(&bytes).context("reading the trust file")
    }

    fn read<T: for<'a> Deserialize<'a>>(&self, name: &str) -> Result<Option<T>> {
        let path = self.0.join(name);
        match fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).with_context(|| format!("reading {}", path.display()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }
}

/// Writes a file with its mode from the first byte, in the place of what was there; makes its folder (0700).
///
/// # Errors
/// It cannot be written.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let put = || -> std::io::Result<()> {
        let new = path.with_extension("new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        fs::rename(&new, path)
    };
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    put().with_context(|| format!("writing {}", path.display()))
}

/// Takes a file out of the initrd: its text without blanks around, `None` if there is none.
///
/// # Errors
/// It cannot be read.
pub fn take(path: &Path) -> Result<Option<String>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let _ = fs::remove_file(path);
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

fn make_folder(folder: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("making {}", folder.display()))
}
