//! Host keys are read off old systems without writing a bit: ext4 and XFS with dirty logs, on loop disks. Needs root,
//! losetup, mkfs and mount.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use host::linux::salvage::{self, Signature};
use nii::digest::Digest;
use support::{LoopDisk, MIB, Target, tool};

/// A key that looks like one.
fn key(name: &str) -> String {
    format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{name}\n-----END OPENSSH PRIVATE KEY-----\n")
}

/// What is on a system's disk at the moment of a power cut: keys written long ago, and a log that is not replayed.
fn crashed(format: &str, size: u64) -> LoopDisk {
    let (disk, target) = (LoopDisk::new(size, 512), Target::new());
    let force = if format == "xfs" { "-f" } else { "-F" };
    tool(&format!("mkfs.{format}"), &["-q", force, disk.name()]);
    let mount = || tool("mount", &["-t", format, disk.name(), target.path().to_str().unwrap()]);
    let ssh = target.path().join("etc/ssh");
    mount();
    fs::create_dir_all(&ssh).unwrap();
    for kind in ["ed25519", "rsa", "dsa"] {
        fs::write(ssh.join(format!("ssh_host_{kind}_key")), key(kind)).unwrap();
        fs::write(ssh.join(format!("ssh_host_{kind}_key.pub")), format!("ssh-{kind} AAAA old\n")).unwrap();
    }
    // Neither hangs us nor counts.
    tool("mkfifo", &[ssh.join("ssh_host_ecdsa_key").to_str().unwrap()]);
    tool("umount", &[target.path().to_str().unwrap()]);
    mount();
    fs::write(target.path().join("later"), "x").unwrap();
    File::open(target.path()).and_then(|root| Ok(rustix::fs::syncfs(&root)?)).unwrap();
    let image = image(&disk);
    let copy = LoopDisk::new(size, 512);
    fs::copy(image, &copy.path).unwrap();
    copy
}

/// The file behind a loop disk.
fn image(disk: &LoopDisk) -> PathBuf {
    tool("losetup", &["--noheadings", "--output", "BACK-FILE", disk.name()]).trim().into()
}

fn digest(path: &Path) -> Digest {
    Digest::of(&fs::read(path).unwrap())
}

fn is_dirty(format: &str, disk: &LoopDisk) -> bool {
    if format == "ext4" {
        return tool("dumpe2fs", &["-h", disk.name()]).contains("needs_recovery");
    }
    // xfs_logprint reads the device only.
    !tool("xfs_logprint", &["-t", disk.name()]).contains("<CLEAN>")
}

#[test]
fn keys_are_read_and_nothing_is_written() {
    for (format, size) in [("ext4", 64 * MIB), ("xfs", 320 * MIB)] {
        let disk = crashed(format, size);
        assert!(is_dirty(format, &disk), "{format}: the test is about a log that is not empty");
        let before = digest(&disk.path);
        assert_eq!(salvage::of(&disk.path).unwrap(), Signature::Filesystem(format));
        let found = salvage::at(&disk.path, format).unwrap().expect(format);
        let keys: Vec<(&str, &str)> =
            found.keys.iter().map(|key| (key.kind.as_str(), key.public.as_str())).collect();
        assert_eq!(keys, [("ed25519", "ssh-ed25519 AAAA old"), ("rsa", "ssh-rsa AAAA old")]);
        assert_eq!(found.keys[0].private.expose(), key("ed25519"));
        assert!(found.modified > 0 && !format!("{found:?}").contains("BEGIN"));
        assert_eq!(digest(&disk.path), before, "{format}");
        assert!(is_dirty(format, &disk));
        assert_eq!(tool("blockdev", &["--getro", disk.name()]).trim(), "0", "the protection is taken back");
        let seen = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!seen.contains(disk.name()), "nothing stays mounted");
    }
}

#[test]
fn what_has_no_keys_and_what_cannot_be_mounted() {
    let disk = LoopDisk::new(16 * MIB, 512);
    assert_eq!(salvage::of(&disk.path).unwrap(), Signature::Other);
    tool("mkfs.ext4", &["-q", "-F", disk.name()]);
    assert_eq!(salvage::at(&disk.path, "ext4").unwrap(), None);
    let error = format!("{:#}", salvage::at(&disk.path, "xfs").unwrap_err());
    assert!(error.contains(disk.name()) && error.contains("mounting it read-only as xfs"), "{error}");
    assert_eq!(tool("blockdev", &["--getro", disk.name()]).trim(), "0");
}
