//! A key that can be replaced: its secret and its public file, and those of the next one while both are believed.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::data_dir::{DataDir, write_private};

/// The names of the files in `keys/`.
#[derive(Debug)]
pub struct Pair {
    /// Only `serve` and commands read it.
    pub secret: &'static str,
    /// What others get of it: a public key or a certificate.
    pub public: &'static str,
    /// The next [`Pair::secret`].
    pub next_secret: &'static str,
    /// The next [`Pair::public`].
    pub next_public: &'static str,
}

/// The cluster's certificate authority.
pub const AUTHORITY: Pair =
    Pair { secret: "ca.key", public: "ca.pem", next_secret: "ca.next.key", next_public: "ca.next.pem" };
/// What images are signed with.
pub const IMAGE: Pair = Pair {
    secret: "image.key",
    public: "image.pub",
    next_secret: "image.next.key",
    next_public: "image.next.pub",
};
/// What NIIs and time are signed with.
pub const NII: Pair =
    Pair { secret: "nii.key", public: "nii.cert", next_secret: "nii.next.key", next_public: "nii.next.cert" };

impl Pair {
    /// Writes the first key.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn keep(&self, dir: &DataDir, secret: &[u8], public: &[u8]) -> Result<()> {
        write_private(&dir.key(self.secret), secret)?;
        write_private(&dir.key(self.public), public)
    }

    /// Writes the next key. The public file comes last: while it is there alone, [`Pair::promote`] was cut off.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn keep_next(&self, dir: &DataDir, secret: &[u8], public: &[u8]) -> Result<()> {
        write_private(&dir.key(self.next_secret), secret)?;
        write_private(&dir.key(self.next_public), public)
    }

    /// Whether there is a next key.
    pub fn has_next(&self, dir: &DataDir) -> bool {
        dir.key(self.next_secret).exists() && dir.key(self.next_public).exists()
    }

    /// The next key takes the place of the one that is used, which is gone.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn promote(&self, dir: &DataDir) -> Result<()> {
        rename(&dir.key(self.next_secret), &dir.key(self.secret))?;
        rename(&dir.key(self.next_public), &dir.key(self.public))
    }

    /// Ends a [`Pair::promote`] that was cut off. Whether one was.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn finish(&self, dir: &DataDir) -> Result<bool> {
        let cut = dir.key(self.next_public).exists() && !dir.key(self.next_secret).exists();
        if cut {
            rename(&dir.key(self.next_public), &dir.key(self.public))?;
        }
        Ok(cut)
    }
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    let rename = || -> Result<()> {
        fs::rename(from, to)?;
        let folder = to.parent().context("a file needs a folder")?;
        Ok(fs::File::open(folder)?.sync_all()?)
    };
    rename().with_context(|| format!("renaming {} to {}", from.display(), to.display()))
}
