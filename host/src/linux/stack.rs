//! Arrays, encrypted devices, volumes and subvolumes: the programs that make them, and what these need of the kernel.
//!
//! Each op looks first whether its device is there already, and then does nothing.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use plan::op::{BlockDevice, StackAct, VolumeKind, VolumeRef};
use plan::stack::tools;
use rustix::io::Errno;
use rustix::ioctl::{Setter, ioctl, opcode};
use rustix::mount::UnmountFlags;

use super::disk::contents::lvm::back;
use super::disk::{device, table};
use super::mounts::{self, Mount};
use super::processes;
use crate::machine::Watch;

/// The longest name of a subvolume: `BTRFS_VOL_NAME_MAX` of linux/btrfs.h.
const SUBVOLUME_MAX: usize = 255;
/// `BTRFS_IOC_SUBVOL_CREATE` of linux/btrfs.h.
const SUBVOLUME_CREATE: rustix::ioctl::Opcode = opcode::write::<VolumeArguments>(0x94, 14);

/// `struct btrfs_ioctl_vol_args` of linux/btrfs.h.
#[repr(C)]
struct VolumeArguments {
    descriptor: i64,
    name: [u8; 4088],
}

/// The kernel modules that an act needs; a kernel that has them built in is fine.
pub fn modules(act: &StackAct) -> &'static [&'static str] {
    use nii::v1::RaidLevel;
    match act {
        StackAct::MakeArray { level: RaidLevel::Raid0, .. } => &["raid0"],
        StackAct::MakeArray { level: RaidLevel::Raid1, .. } => &["raid1"],
        StackAct::MakeArray { level: RaidLevel::Raid5 | RaidLevel::Raid6, .. } => &["raid456"],
        StackAct::MakeArray { level: RaidLevel::Raid10, .. } => &["raid10"],
        StackAct::StartArray { .. } => &["raid0", "raid1", "raid10", "raid456"],
        // The kernel asks for ciphers by name, and nobody would answer.
        StackAct::MakeLuks { .. } | StackAct::OpenLuks { .. } | StackAct::CheckLuks { .. } => {
            &["dm_mod", "dm_crypt", "aes", "aesni_intel", "xts", "ecb", "sha256", "algif_skcipher"]
        }
        // Of what is removed only LVM knows whether it is thin; its pool must be told.
        StackAct::MakeVolume { kind: VolumeKind::ThinPool | VolumeKind::Thin(_), .. }
        | StackAct::RemoveVolume { .. } => &["dm_mod", "dm_thin_pool"],
        StackAct::MakeGroup { .. } | StackAct::CheckGroup { .. } | StackAct::MakeVolume { .. } => &["dm_mod"],
        _ => &[],
    }
}

/// Carries it out.
///
/// # Errors
/// When a program is missing or fails.
pub fn make(sys: &Path, act: &StackAct, watch: &mut dyn Watch) -> anyhow::Result<()> {
    if is_there(sys, act) {
        watch.log("it is there already");
        return Ok(());
    }
    if let StackAct::RemoveVolume { volume, devices } = act {
        is_alone(volume, devices)?;
    }
    // The programs get paths, and after a reset of its bus a disk may have the path of another.
    for device in touched(act) {
        device::find(sys, &device)?;
    }
    if let StackAct::CheckGroup { group, devices, undo: true, .. } = act {
        undo(group, devices, watch);
    }
    for command in tools::commands(act) {
        match command.input {
            Some(secret) => processes::run_with(&command.argv, secret.expose().as_bytes(), watch),
            None => processes::run(&command.argv, watch),
        }
        .with_context(|| way_out(act))?;
    }
    if let StackAct::CheckGroup { group, devices, volumes, .. } = act {
        has_volumes(group, devices, volumes)?;
    }
    if let StackAct::MakeVolume { devices, .. } | StackAct::RemoveVolume { devices, .. } = act {
        // LVM does not: after a power cut two changes might be lost, and only one can be undone.
        devices.iter().try_for_each(flush)?;
    }
    if let StackAct::MakeArray { array, .. } = act {
        // Members are wiped at their ends, and an array's own bytes begin behind that: an old array of the same shape would
        // come back with the group that was on it.
        table::wipe(Path::new(&array.node))?;
    }
    Ok(())
}

/// The devices that an act writes to.
fn touched(act: &StackAct) -> Vec<BlockDevice> {
    match act {
        StackAct::MakeArray { devices, .. } => devices.iter().cloned().map(BlockDevice::Partition).collect(),
        StackAct::MakeLuks { device, .. } => vec![device.clone()],
        StackAct::MakeGroup { devices, .. }
        | StackAct::CheckGroup { devices, .. }
        | StackAct::MakeVolume { devices, .. }
        | StackAct::RemoveVolume { devices, .. } => devices.clone(),
        _ => Vec::new(),
    }
}

/// What was being done, and what to do about it where the program does not say.
fn way_out(act: &StackAct) -> String {
    match act {
        StackAct::CheckLuks { name, device, .. } => format!(
            "opening {}, which is to be kept: it must be LUKS2, and `secrets.luks_keys.{name}` of the NII one of its \
             passphrases; nothing was written",
            device.path()
        ),
        act => act.to_string(),
    }
}

/// Whether an earlier go at it made the device, and it runs.
fn is_there(sys: &Path, act: &StackAct) -> bool {
    let found = match act {
        StackAct::MakeArray { array, .. } | StackAct::StartArray { array, .. } => {
            BlockDevice::Array(array.clone())
        }
        StackAct::MakeLuks { crypt, .. } | StackAct::OpenLuks { crypt, .. } => {
            BlockDevice::Crypt(crypt.clone())
        }
        StackAct::MakeVolume { volume, .. } => BlockDevice::Volume(volume.clone()),
        StackAct::MakeGroup { group, devices, .. } => return is_group(group, devices),
        StackAct::StopGroup { group, devices } => return !is_group(group, devices),
        StackAct::RemoveVolume { volume, devices } => {
            let named = format!("lv_name={}", volume.volume);
            return selected(&volume.group, devices, &named).is_ok_and(|found| found.is_empty());
        }
        _ => return false,
    };
    device::find(sys, &found).is_ok()
}

fn is_group(group: &str, devices: &[BlockDevice]) -> bool {
    processes::run(&tools::is_group(group, devices), &mut Silent).is_ok()
}

/// Undoes the change that a power cut left half of, if LVM cannot read the group. That it is whole then LVM says.
fn undo(group: &str, devices: &[BlockDevice], watch: &mut dyn Watch) {
    if is_group(group, devices) {
        return;
    }
    for device in devices.iter().map(BlockDevice::path) {
        match back::step(Path::new(&device), group) {
            Ok(0) => {}
            Ok(_) => watch.log(&format!("{device}: the last change of {group} was cut off, and is undone")),
            Err(error) => watch.log(&format!("{error:#}")),
        }
    }
}

/// What is to be kept must be there.
fn has_volumes(group: &str, devices: &[BlockDevice], volumes: &[String]) -> anyhow::Result<()> {
    let there = selected(group, devices, "lv_name!=\"\"")?;
    let gone: Vec<&str> =
        volumes.iter().map(String::as_str).filter(|name| !there.iter().any(|n| n == name)).collect();
    ensure!(
        gone.is_empty(),
        "the group {group} has no volume {} that could be kept; it has {}",
        gone.join(", "),
        there.join(", ")
    );
    Ok(())
}

fn flush(device: &BlockDevice) -> anyhow::Result<()> {
    let path = device.path();
    File::open(&path).and_then(|file| file.sync_all()).with_context(|| format!("flushing {path}"))
}

/// Thin volumes and snapshots would go with the volume that they take their blocks from.
fn is_alone(volume: &VolumeRef, devices: &[BlockDevice]) -> anyhow::Result<()> {
    let VolumeRef { group, volume } = volume;
    let others = selected(group, devices, &format!("origin={volume} || pool_lv={volume}"))?;
    ensure!(
        others.is_empty(),
        "removing {group}/{volume} would take {} along; remove them first, or keep it",
        others.join(", ")
    );
    Ok(())
}

/// Names of the group's volumes that a selection takes.
fn selected(group: &str, devices: &[BlockDevice], select: &str) -> anyhow::Result<Vec<String>> {
    let mut lines = Lines(Vec::new());
    processes::run(&tools::volumes(group, devices, select), &mut lines)?;
    // Warnings have blanks in them, and names have none.
    let words = lines.0.iter().map(|line| line.trim()).filter(|line| !line.is_empty() && !line.contains(' '));
    Ok(words.map(str::to_owned).collect())
}

/// Keeps what a program prints.
struct Lines(Vec<String>);

impl Watch for Lines {
    fn progress(&mut self, _done: u64, _total: u64) {}
    fn log(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }
}

/// For questions whose answer may be no.
struct Silent;

impl Watch for Silent {
    fn progress(&mut self, _done: u64, _total: u64) {}
    fn log(&mut self, _line: &str) {}
}

/// Makes subvolumes at the top of the btrfs on `node`, which is mounted beside `root` for it.
///
/// # Errors
/// When it cannot be mounted, or a name is none.
pub fn make_subvolumes(node: &Path, names: &[String], root: &Path) -> anyhow::Result<()> {
    let top = PathBuf::from(format!("{}.top", root.display()));
    fs::create_dir_all(&top).with_context(|| format!("making {}", top.display()))?;
    let directory: OwnedFd = File::open(&top).with_context(|| format!("opening {}", top.display()))?.into();
    let source = node.display().to_string();
    mounts::mount(&Mount { source: &source, format: "btrfs", options: &[] }, &directory, &top)?;
    drop(directory);
    let made = make_below(&top, names);
    rustix::mount::unmount(&top, UnmountFlags::NOFOLLOW)
        .with_context(|| format!("unmounting {}", top.display()))?;
    made
}

fn make_below(top: &Path, names: &[String]) -> anyhow::Result<()> {
    let directory = File::open(top).with_context(|| format!("opening {}", top.display()))?;
    for name in names {
        ensure!((1..=SUBVOLUME_MAX).contains(&name.len()), "`{name}` is too long for a subvolume");
        match create(directory.as_fd(), name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error).with_context(|| format!("making the subvolume {name}")),
        }
    }
    Ok(())
}

fn create(directory: impl AsFd, name: &str) -> Result<(), Errno> {
    let mut arguments = VolumeArguments { descriptor: 0, name: [0; 4088] };
    arguments.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: the opcode takes a pointer to a `btrfs_ioctl_vol_args`, which the kernel reads and does not keep; the name ends
    // with a zero, as it is shorter than its field.
    unsafe { ioctl(directory, Setter::<SUBVOLUME_CREATE, VolumeArguments>::new(arguments)) }
}
