//! Machines that install layouts again and again (`tests/guest`), and what they say of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::artefacts;
use crate::net::Net;
use crate::vm::{Kernel, Spec, Vm};

/// The arming of every case; a case that is cut at each op derives others from it.
const ARMING: &str = "0b4c1d0e-5f3a-4c8e-9a54-7d1f6f0b7c11";
/// Of what was installed before.
const OLD_ARMING: &str = "5d1f2c4a-90b7-4a1c-9a3e-1c2b7f0d6e21";
/// Any CA: nobody speaks TLS here.
const CA: &str = include_str!("../../host/tests/support/ca.pem");
/// Until the guest has begun.
const BOOT: Duration = Duration::from_secs(120);

/// A layout for the guest, as `tests/guest/src/cases.rs` reads it.
#[derive(Clone, Debug)]
pub struct Case(Value);

impl Case {
    /// The storage section `storage` under this name, with a few files as its image.
    pub fn new(name: &str, storage: Value) -> Self {
        let nii = include_str!("../../imageinit/fixtures/disked.json");
        let mut nii: Value = serde_json::from_str(nii).unwrap_or_default();
        nii["storage"] = storage;
        nii["network"]["interfaces"] = json!([]);
        Self(json!({"name": name, "nii": nii, "arming": ARMING, "files": 20}))
    }

    /// The worker is killed at its first op, and at each op `step` further on.
    #[must_use]
    pub fn cut_at_ops(mut self, step: usize) -> Self {
        self.0["cuts"] = step.into();
        self
    }

    /// It was installed before, and is looked at only.
    #[must_use]
    pub fn installed(mut self) -> Self {
        self.0["installed"] = true.into();
        self
    }

    /// It is to be refused, with these words.
    #[must_use]
    pub fn refused(mut self, words: &str) -> Self {
        self.0["refused"] = words.into();
        self
    }

    /// Somebody has the disk with this serial number.
    #[must_use]
    pub fn held(mut self, serial: &str) -> Self {
        self.0["held"] = serial.into();
        self
    }

    /// So many files stand for the image.
    #[must_use]
    pub fn with_files(mut self, files: u32) -> Self {
        self.0["files"] = files.into();
        self
    }

    /// The disk with this serial number shows which op has begun.
    #[must_use]
    pub fn marked_on(mut self, serial: &str) -> Self {
        self.0["marks"] = serial.into();
        self
    }

    /// What is in `length` bytes from `start` on of the disk with this serial number stays.
    #[must_use]
    pub fn keeping(mut self, serial: &str, start: u64, length: u64) -> Self {
        self.0["kept"] = json!([{"serial": serial, "start": start, "length": length}]);
        self
    }

    /// What is on these devices stays, by their names in the NII: arrays, encrypted devices, `group/volume`. Their digests are
    /// said in this order, with `+` between them.
    #[must_use]
    pub fn keeping_devices(mut self, names: &[&str]) -> Self {
        self.0["kept"] = json!(names);
        self
    }

    /// It is the old system, that a later case keeps something of: once it is whole, that is filled with bytes that no file system
    /// knows of, before its digest is said.
    #[must_use]
    pub fn filled(mut self) -> Self {
        self.0["fill"] = true.into();
        self.0["arming"] = OLD_ARMING.into();
        self
    }

    /// The key of the encrypted device of this name.
    #[must_use]
    pub fn with_key(mut self, device: &str, key: &str) -> Self {
        self.0["nii"]["secrets"]["luks_keys"][device] = key.into();
        self
    }
}

/// The files that stand for an image, as `tests/guest/src/worker.rs` writes them: path and text.
pub fn files(count: u32) -> impl Iterator<Item = (String, String)> {
    (0..count).map(|n| (format!("srv/d{}/f{n}", n % 16), format!("file {n} of {}\n", n * 7)))
}

/// A machine with these disks that carries out `cases`; its initrd is made in `scratch`.
///
/// # Errors
/// When something is missing, or QEMU refuses.
pub fn start(net: &Net, scratch: &Path, logs: &Path, cases: &[Case], spec: Spec) -> Result<Vm> {
    let kernel = artefacts::kernel()?;
    let write = |name: &str, value: &Value| {
        let path = scratch.join(name);
        fs::write(&path, value.to_string()).with_context(|| format!("writing {}", path.display()))?;
        Ok::<PathBuf, anyhow::Error>(path)
    };
    let trust = json!({"root_keys": [], "image_keys": [], "ca_pem": CA, "time_floor": 0});
    let trust = write("trust.json", &trust)?;
    let mut manifest: Value = serde_json::from_str(include_str!("../../imageinit/fixtures/manifest.json"))?;
    (manifest["ram_bytes"], manifest["inodes"]) = (json!(1 << 20), json!(1000));
    let cases: Vec<&Value> = cases.iter().map(|Case(case)| case).collect();
    let cases = write("cases.json", &json!({"manifest": manifest, "cases": cases}))?;
    let initrd = scratch.join("initrd");
    artefacts::storage_initrd(&kernel, &trust, &cases, &initrd)?;
    let kernel = Some(Kernel { image: kernel.image, initrd });
    Vm::start(net, &Spec { kernel, ..spec }, logs)
}

/// Waits until all cases are done; what the machine said of them, without `storage: `. So many `cases` are not refused.
///
/// # Errors
/// When one failed, at the deadline, and when a case said nothing.
pub fn finish(vm: &mut Vm, cases: usize, within: Duration) -> Result<Vec<String>> {
    vm.console.expect("storage: ", BOOT)?;
    vm.console.expect("storage: all done", within)?;
    let text = vm.console.text();
    // Firmware ends no line before ours.
    let said = text.lines().filter_map(|line| Some(line.split_once("storage: ")?.1));
    let said: Vec<String> = said.filter(|line| *line != "all done").map(str::to_owned).collect();
    let whole = said.iter().filter(|line| line.contains(" whole, ")).count();
    ensure!(whole == cases, "{whole} of {cases} cases said that they are whole: {said:?}");
    Ok(said)
}
