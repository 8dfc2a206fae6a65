//! Whether a passphrase opens an encrypted device that is kept, with cryptsetup itself on files.

#![allow(clippy::unwrap_used, reason = "test support")]

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use host::Watch;
use host::linux::stack;
use nii::secret::Secret;
use plan::op::{BlockDevice, PartitionRef, StackAct};
use uuid::Uuid;

struct Quiet;

impl Watch for Quiet {
    fn progress(&mut self, _: u64, _: u64) {}
    fn log(&mut self, _: &str) {}
}

/// An encrypted file of this type, whose passphrase costs little; what a plan calls it.
fn encrypted(folder: &Path, number: u32, kind: &str) -> BlockDevice {
    let disk = folder.join("disk").display().to_string();
    let partition = PartitionRef { disk, number, guid: Uuid::nil() };
    let (path, key) = (partition.path(), folder.join("key"));
    File::create(&path).unwrap().set_len(32 << 20).unwrap();
    fs::write(&key, "right").unwrap();
    let mut command = Command::new("cryptsetup");
    command.args(["luksFormat", "--batch-mode", "--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000"]);
    let status = command.arg(format!("--type={kind}")).arg(&path).arg(&key).stdin(Stdio::null()).status();
    assert!(status.unwrap().success());
    partition.into()
}

#[test]
fn a_kept_device_opens_with_its_passphrase_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let [luks1, luks2] = [(1, "luks1"), (2, "luks2")].map(|(n, kind)| encrypted(folder.path(), n, kind));
    let before = fs::read(luks2.path()).unwrap();
    let attempt = |device: &BlockDevice, key: &str| {
        let act = StackAct::CheckLuks { name: "vault".into(), device: device.clone(), key: Secret::new(key) };
        stack::make(Path::new("/sys"), &act, &mut Quiet).map_err(|error| format!("{error:#}"))
    };
    assert_eq!(attempt(&luks2, "right"), Ok(()));
    for (device, key) in [(&luks2, "wrong"), (&luks1, "right")] {
        let error = attempt(device, key).unwrap_err();
        assert!(error.contains(&device.path()) && error.contains("`secrets.luks_keys.vault`"), "{error}");
        assert!(!error.contains("wrong") && !error.contains("right"), "{error}");
    }
    assert_eq!(fs::read(luks2.path()).unwrap(), before);
}
