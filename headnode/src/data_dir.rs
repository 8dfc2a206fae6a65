//! The data folder: where what lies in it, and files that nobody else may read, not even for a moment.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use nii::digest::Digest;

/// The folder that holds all that a head node knows.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// Makes the folder if there is none, and shuts everybody else out of it.
    ///
    /// # Errors
    /// When it cannot be made or is not ours.
    pub fn create(path: &Path) -> Result<Self> {
        for folder in ["keys", "images", "boot", "os", "scripts", "logs", "run"] {
            let folder = path.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .with_context(|| format!("making {} private", path.display()))?;
        // dnsmasq and grub-mkimage are given paths of this folder.
        path.canonicalize().map(Self).with_context(|| format!("resolving {}", path.display()))
    }

    /// The folder of a head node that was set up before.
    ///
    /// # Errors
    /// When it is none.
    pub fn open(path: &Path) -> Result<Self> {
        let advice =
            || format!("{} is no head node's data folder: `headnode init` makes one", path.display());
        let dir = Self(path.canonicalize().with_context(advice)?);
        ensure!(dir.database().exists(), advice());
        Ok(dir)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// The SQLite database.
    pub fn database(&self) -> PathBuf {
        self.0.join("camphor.db")
    }

    /// A file of the keys.
    pub fn key(&self, name: &str) -> PathBuf {
        self.0.join("keys").join(name)
    }

    /// The folder of all images.
    pub fn images(&self) -> PathBuf {
        self.0.join("images")
    }

    /// The folder of all kernels and initrds.
    pub fn boot_files(&self) -> PathBuf {
        self.0.join("boot")
    }

    /// A kernel or an initrd.
    pub fn boot_file(&self, digest: &Digest, name: &str) -> PathBuf {
        self.boot_files().join(digest.to_string()).join(name)
    }

    /// The folder of all trees that package installs come from.
    pub fn trees(&self) -> PathBuf {
        self.0.join("os")
    }

    /// A version of a script or a template.
    pub fn script(&self, digest: &Digest) -> PathBuf {
        self.0.join("scripts").join(digest.to_string())
    }

    /// The folder of a node's logs.
    pub fn logs(&self, node: &str) -> PathBuf {
        self.0.join("logs").join(node)
    }

    /// The folder of the site's plugins.
    pub fn plugins(&self) -> PathBuf {
        self.0.join("plugins.d")
    }

    /// A file that `serve` makes anew.
    pub fn run(&self, name: &str) -> PathBuf {
        self.0.join("run").join(name)
    }
}

/// Writes a file that only its owner may read, from its first byte on; it appears whole or not at all.
///
/// # Errors
/// When the folder cannot be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> Result<()> {
        let folder = path.parent().context("a file needs a folder")?;
        // Made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        fs::File::open(folder)?.sync_all()?;
        Ok(())
    };
    write().with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_and_its_private_files_are_shut() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("data");
        assert!(DataDir::open(&path).is_err());
        let dir = DataDir::create(&path).unwrap();
        let key = dir.key("x.key");
        write_private(&key, b"old").unwrap();
        write_private(&key, b"secret").unwrap();
        assert_eq!(fs::read(&key).unwrap(), b"secret");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&key)), (0o700, 0o600));
    }
}
