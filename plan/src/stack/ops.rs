//! Making arrays, encrypted devices and volumes, each after what it is made of.

use std::collections::BTreeSet;

use nii::Nii;
use nii::secret::Secret;
use nii::v1::{Device, Format, LogicalVolume, Luks, PartitionType, Raid, VolumeGroup};

use super::{Stack, group, volume_ref};
use crate::op::{Act, BlockDevice, Holder, Op, PartitionRef, StackAct, VolumeKind};

/// All ops. What is kept is started only if something is made on it; what is not there has a finding already, and is left
/// out.
pub(crate) fn ops(stack: &Stack<'_>, nii: &Nii) -> Vec<Op> {
    let mut maker = Maker::new(stack, nii, false);
    let storage = stack.storage;
    storage.raid.iter().filter(|raid| !raid.preserve).for_each(|raid| maker.need(&raid.name));
    storage.luks.iter().filter(|luks| !luks.preserve).for_each(|luks| maker.need(&luks.name));
    let changed = |group: &&VolumeGroup| {
        let anew = |volume: &LogicalVolume| volume.group == group.name && !volume.preserve;
        !group.preserve || storage.logical_volumes.iter().any(anew)
    };
    storage.volume_groups.iter().filter(changed).for_each(|group| {
        maker.group(group);
    });
    maker.ops
}

/// What is tried first of all: an encrypted device that is kept must open, also where nothing is made on it, or the new system
/// could not.
pub(crate) fn passphrases(stack: &Stack<'_>, nii: &Nii) -> Vec<Op> {
    let one = |luks: &Luks| {
        let (device, key) = (stack.device(&luks.device)?, key(nii, &luks.name)?.clone());
        let act = StackAct::CheckLuks { name: luks.name.clone(), device, key };
        Some(Op::new(act, "it is kept, and nothing was written yet"))
    };
    stack.storage.luks.iter().filter(|luks| luks.preserve).filter_map(one).collect()
}

/// A look into every array and group that is kept, before anything is written: they and what they lie on are started, read-only,
/// and stopped again.
/// After an install that was cut off it may have a change to undo, and is not read-only.
pub(crate) fn looks(stack: &Stack<'_>, nii: &Nii) -> Vec<Op> {
    let mut maker = Maker::new(stack, nii, !stack.was_cut_off());
    stack.storage.raid.iter().filter(|raid| raid.preserve).for_each(|raid| maker.need(&raid.name));
    for group in stack.storage.volume_groups.iter().filter(|group| group.preserve) {
        group.devices.iter().for_each(|name| maker.need(name));
        let devices = stack.members(group);
        maker.ops.extend(
            devices.map(|devices| maker.checked(group, devices, "it is kept, and nothing was written yet")),
        );
    }
    let mut ops = maker.ops;
    ops.extend(stop(&ops, "it was looked at"));
    ops
}

struct Maker<'a> {
    stack: &'a Stack<'a>,
    nii: &'a Nii,
    /// Whether what is started is not written to.
    read_only: bool,
    /// Names of devices, and of groups with a slash.
    done: BTreeSet<String>,
    ops: Vec<Op>,
}

impl<'a> Maker<'a> {
    fn new(stack: &'a Stack<'a>, nii: &'a Nii, read_only: bool) -> Self {
        Self { stack, nii, read_only, done: BTreeSet::new(), ops: Vec::new() }
    }

    /// Makes or starts the device, unless that is done.
    fn need(&mut self, name: &str) {
        match self.stack.storage.device(name) {
            Some(Device::Raid(raid)) if self.done.insert(name.to_owned()) => {
                let ops = self.array(raid);
                self.ops.extend(ops);
            }
            Some(Device::Luks(luks)) if self.done.insert(name.to_owned()) => {
                self.need(&luks.device);
                let ops = self.luks(luks).unwrap_or_default();
                self.ops.extend(ops);
            }
            Some(Device::LogicalVolume(volume)) => {
                if let Some(group) = group(self.stack.storage, volume) {
                    self.group(group);
                }
            }
            _ => {}
        }
    }

    fn array(&self, raid: &Raid) -> Option<Op> {
        let array = self.stack.array(raid)?;
        let devices: Option<Vec<PartitionRef>> =
            raid.devices.iter().map(|label| self.stack.partition(label)).collect();
        let devices = devices?;
        if raid.preserve {
            return Some(Op::new(
                StackAct::StartArray { array, devices, read_only: self.read_only },
                format!("array `{}` is kept", raid.name),
            ));
        }
        let act = StackAct::MakeArray {
            array,
            host: self.nii.network.hostname.clone(),
            level: raid.level,
            metadata: metadata(self.stack, raid),
            devices,
            spares: raid.spares,
        };
        Some(Op::new(act, format!("it is array `{}` of the NII", raid.name)))
    }

    fn luks(&self, luks: &Luks) -> Option<Vec<Op>> {
        let crypt = self.stack.crypt(luks)?;
        let device = self.stack.device(&luks.device)?;
        let key = key(self.nii, &luks.name)?.clone();
        let name = &luks.name;
        let open = StackAct::OpenLuks {
            crypt: crypt.clone(),
            device: device.clone(),
            key: key.clone(),
            read_only: self.read_only,
        };
        let open = Op::new(open, format!("what is on `{name}` needs it open"));
        let make = Op::new(
            StackAct::MakeLuks { crypt, device, key, random_key: luks.random_key },
            format!("it is the encrypted device `{name}` of the NII"),
        );
        Some(if luks.preserve { vec![open] } else { vec![make, open] })
    }

    /// The group and its volumes: those of a fixed size first, then the one that takes the rest, then thin ones, which need
    /// their pools.
    fn group(&mut self, group: &VolumeGroup) {
        if !self.done.insert(format!("{}/", group.name)) {
            return;
        }
        group.devices.iter().for_each(|name| self.need(name));
        let Some(devices) = self.stack.members(group) else { return };
        let start = match group.preserve {
            true => self.checked(group, devices.clone(), "volumes of it are made anew"),
            false => Op::new(
                StackAct::MakeGroup {
                    group: group.name.clone(),
                    devices: devices.clone(),
                    extent_mib: group.extent_mib,
                },
                "it is a volume group of the NII",
            ),
        };
        self.ops.push(start);
        let all = &self.stack.storage.logical_volumes;
        let mut volumes: Vec<&LogicalVolume> =
            all.iter().filter(|volume| volume.group == group.name && !volume.preserve).collect();
        if group.preserve {
            // Thin volumes before their pools.
            volumes.sort_by_key(|volume| volume.pool.is_none());
            self.ops.extend(volumes.iter().map(|volume| removed(volume, &devices)));
        }
        volumes.sort_by_key(|volume| (volume.pool.is_some(), volume.size_mib.is_none()));
        self.ops.extend(volumes.iter().map(|volume| made(volume, &devices)));
    }

    /// A look into a group that is kept.
    fn checked(&self, group: &VolumeGroup, devices: Vec<BlockDevice>, reason: &str) -> Op {
        let volumes = self.stack.storage.logical_volumes.iter();
        let kept = volumes.filter(|volume| volume.group == group.name && volume.preserve);
        let act = StackAct::CheckGroup {
            group: group.name.clone(),
            devices,
            volumes: kept.map(|volume| volume.name.clone()).collect(),
            undo: self.stack.was_cut_off(),
        };
        Op::new(act, reason)
    }
}

fn removed(volume: &LogicalVolume, devices: &[BlockDevice]) -> Op {
    let act = StackAct::RemoveVolume { volume: volume_ref(volume), devices: devices.to_vec() };
    Op::new(act, "it is made anew in a group that is kept")
}

fn made(volume: &LogicalVolume, devices: &[BlockDevice]) -> Op {
    let kind = match (&volume.pool, volume.thin_pool) {
        (Some(pool), _) => VolumeKind::Thin(pool.clone()),
        (None, true) => VolumeKind::ThinPool,
        (None, false) => VolumeKind::Linear,
    };
    let act = StackAct::MakeVolume {
        volume: volume_ref(volume),
        devices: devices.to_vec(),
        kind,
        size_mib: volume.size_mib,
    };
    Op::new(act, format!("it is volume `{}/{}` of the NII", volume.group, volume.name))
}

/// Firmware and loaders that do not know arrays read a member as if it were the file system itself: its superblock must
/// be at the end.
fn metadata(stack: &Stack<'_>, raid: &Raid) -> &'static str {
    let esp = stack.below(&raid.name).iter().any(|(_, partition)| partition.kind == PartitionType::Esp);
    let fat = |filesystem: &nii::v1::Filesystem| {
        filesystem.device == raid.name && filesystem.format == Format::Vfat
    };
    if esp || stack.storage.filesystems.iter().any(fat) { "1.0" } else { "1.2" }
}

/// Stops what these ops started, the last first: arrays that are stopped are clean at the next boot.
pub(crate) fn stop(started: &[Op], reason: &str) -> Vec<Op> {
    let stop = |op: &Op| {
        let Act::Stack(act) = &op.act else { return None };
        let act = match act {
            StackAct::MakeArray { array, .. } | StackAct::StartArray { array, .. } => {
                Act::Release { holder: Holder::Array { node: array.node.clone() } }
            }
            StackAct::OpenLuks { crypt, .. } => {
                Act::Release { holder: Holder::Mapped { name: crypt.crypt.clone(), uuid: None } }
            }
            StackAct::MakeGroup { group, devices, .. } | StackAct::CheckGroup { group, devices, .. } => {
                let (group, devices) = (group.clone(), devices.clone());
                Act::Stack(StackAct::StopGroup { group, devices })
            }
            _ => return None,
        };
        Some(Op::new(act, reason))
    };
    started.iter().rev().filter_map(stop).collect()
}

/// The passphrase of an encrypted device.
pub(crate) fn key<'a>(nii: &'a Nii, name: &str) -> Option<&'a Secret> {
    nii.secrets.as_ref()?.luks_keys.get(name)
}
