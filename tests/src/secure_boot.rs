//! Secure Boot with keys of our own: firmware that trusts one certificate and no other, not even Microsoft's, and files
//! signed for it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::paths;
use crate::run::{cmd, output};

/// OVMF's variables before anybody has put a key there.
const EMPTY: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
/// Who says that the keys are his: any GUID (UEFI specification, "Signature Database").
const OWNER: &str = "c4a9f0e2-5b1d-4c36-9a67-20d8e3b7f115";

/// A private key and its certificate, as files.
pub struct Signer {
    /// The private key.
    pub key: PathBuf,
    /// The certificate, as PEM.
    pub certificate: PathBuf,
}

impl Signer {
    /// A new one in `folder`.
    ///
    /// # Errors
    /// When openssl fails.
    pub fn new(folder: &Path, name: &str) -> Result<Self> {
        let (key, certificate) = (folder.join(format!("{name}.key")), folder.join(format!("{name}.crt")));
        let mut command =
            cmd("openssl", ["req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256"]);
        command.args(["-days", "3650", "-subj", &format!("/CN=camphor test {name}/"), "-keyout"]);
        output(command.arg(&key).arg("-out").arg(&certificate))?;
        Ok(Self { key, certificate })
    }

    /// Signs the EFI program `file`, as `signed`.
    ///
    /// # Errors
    /// When sbsign fails.
    pub fn sign(&self, file: &Path, signed: &Path) -> Result<()> {
        let mut command = cmd("sbsign", ["--key"]);
        command.arg(&self.key).arg("--cert").arg(&self.certificate).arg("--output").arg(signed).arg(file);
        output(&mut command).map(drop)
    }

    /// `scripts/uki.sh`, as an admin runs it.
    ///
    /// # Errors
    /// When it fails.
    pub fn uki(&self, kernel: &Path, initrd: &Path, arguments: &str, uki: &Path) -> Result<()> {
        let mut command = cmd("bash", [paths::workspace().join("scripts/uki.sh")]);
        command.arg(kernel).arg(initrd).arg(arguments);
        output(command.arg(&self.key).arg(&self.certificate).arg(uki)).map(drop)
    }

    /// The variables of a machine in `folder`: Secure Boot is on, and this certificate is all that `db` has.
    ///
    /// # Errors
    /// When `cargo xtask setup` has not run, or virt-fw-vars fails.
    pub fn variables(&self, folder: &Path) -> Result<PathBuf> {
        let program = paths::target().join("virt-firmware/bin/virt-fw-vars");
        ensure!(program.exists(), "{} is missing: run `cargo xtask setup` first", program.display());
        let (platform, exchange) = (Self::new(folder, "PK")?, Self::new(folder, "KEK")?);
        let variables = folder.join("variables.fd");
        let mut command = cmd(&program.to_string_lossy(), ["--input", EMPTY, "--output"]);
        command.arg(&variables).args(["--secure-boot", "--set-pk", OWNER]).arg(&platform.certificate);
        command.args(["--add-kek", OWNER]).arg(&exchange.certificate);
        command.args(["--add-db", OWNER]).arg(&self.certificate);
        output(&mut command).context("putting keys into the firmware's variables")?;
        Ok(variables)
    }
}
