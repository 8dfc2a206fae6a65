//! A machine in a few maps: ops change it as they would change a real one, and the power may be cut between them.
//!
//! It knows tables, journals, what file systems hold, what of that is on the disk already, and what is mounted. It panics
//! at an op that a real machine could not carry out.

#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::expect_used, reason = "test support")]

use std::collections::BTreeMap;

use nii::v1::Wipe;
use plan::facts::{Content, Disk, Facts, Table};
use plan::op::{Act, BlockDevice, Holder, PartitionRef, StackAct, VolumeKind, VolumeRef};
use plan::{Op, journal};
use uuid::Uuid;

/// Whether firmware may start the disk once this was done.
pub fn is_loader(op: &Op) -> bool {
    match &op.act {
        Act::Run { argv } => argv[0] == "grub-install" || argv[0] == "grub2-install",
        Act::CopyFile { to, .. } => to.ends_with("/EFI/BOOT/BOOTX64.EFI"),
        _ => false,
    }
}

/// What becomes of writes that no sync followed, when the power is cut.
#[derive(Clone, Copy, Debug)]
pub enum Unsynced {
    Kept,
    Lost,
}

/// A file system or swap space: what made it, and everything that was done to it since.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FileSystem {
    made: String,
    kind: String,
    uuid: String,
    written: Vec<String>,
    /// How many of them survive a power cut.
    synced: usize,
}

/// An array, an encrypted device, a group or a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stacked {
    made: String,
    /// Paths of devices, or the name of the group.
    on: Vec<String>,
    runs: bool,
}

/// A machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    facts: Facts,
    /// By the path of the device.
    filesystems: BTreeMap<String, FileSystem>,
    /// By the path of the device; groups by name.
    stacked: BTreeMap<String, Stacked>,
    /// Paths of devices, by mount point.
    mounts: BTreeMap<String, String>,
}

impl Model {
    /// With what lies on its disks.
    pub fn new(facts: Facts) -> Self {
        let mut filesystems = BTreeMap::new();
        for disk in &facts.disks {
            for entry in disk.table.iter().flat_map(|table| &table.partitions) {
                let is_on = |content: &&Content| content.partition == Some(entry.number);
                let Some(Content { kind, uuid: Some(uuid), .. }) = disk.contents.iter().find(is_on) else {
                    continue;
                };
                let (made, kind, uuid) = ("before".into(), kind.clone(), uuid.clone());
                let found = FileSystem { made, kind, uuid, written: vec![], synced: 0 };
                filesystems.insert(reference(&disk.path, entry.number, entry.guid).path(), found);
            }
        }
        Self { facts, filesystems, stacked: BTreeMap::new(), mounts: BTreeMap::new() }
    }

    /// What the next boot finds.
    pub fn facts(&self) -> Facts {
        let mut facts = self.facts.clone();
        for disk in &mut facts.disks {
            disk.contents = self.contents(disk);
        }
        facts
    }

    fn contents(&self, disk: &Disk) -> Vec<Content> {
        let entries = disk.table.iter().flat_map(|table| &table.partitions);
        let content = |entry: &plan::facts::TableEntry| {
            let found = self.filesystems.get(&reference(&disk.path, entry.number, entry.guid).path())?;
            let uuid = Some(found.uuid.clone());
            let before = disk.contents.iter().find(|content| content.uuid == uuid);
            Some(Content {
                partition: Some(entry.number),
                kind: found.kind.clone(),
                label: before.and_then(|content| content.label.clone()),
                uuid,
                size: (entry.last - entry.first + 1) * u64::from(disk.sector),
                used: None,
                members: None,
            })
        };
        entries.filter_map(content).collect()
    }

    /// Whether the next boot takes the install for done: its root has a real type.
    pub fn looks_committed(&self) -> bool {
        let is_whole = |disk: &Disk| {
            let root = disk.journal.as_ref().map(|record| record.root);
            let entries = disk.table.iter().flat_map(|table| &table.partitions);
            let by_record = disk.journal.as_ref().is_some_and(|record| record.committed);
            entries.clone().filter(|entry| Some(entry.guid) == root).any(|entry| match entry.kind {
                journal::PARTITION => by_record,
                kind => kind != journal::IN_PROGRESS,
            })
        };
        self.facts.disks.iter().any(is_whole)
    }

    /// The power goes. Attempts tell each other apart by nothing but the record, which is blanked here, so that what two
    /// of them made can be compared.
    #[must_use]
    pub fn after_cut(mut self, unsynced: Unsynced) -> Self {
        self.mounts.clear();
        self.stacked.values_mut().for_each(|device| device.runs = false);
        for made in self.filesystems.values_mut() {
            match unsynced {
                Unsynced::Kept => made.synced = made.written.len(),
                Unsynced::Lost => made.written.truncate(made.synced),
            }
        }
        for record in self.facts.disks.iter_mut().filter_map(|disk| disk.journal.as_mut()) {
            record.attempt = Uuid::nil();
        }
        self
    }

    /// Carries the op out.
    pub fn apply(&mut self, op: &Op) {
        if is_loader(op) {
            self.assert_synced(op);
        }
        match &op.act {
            Act::WriteTable { disk, table, keep } => self.write_table(disk, table, keep),
            Act::WriteJournal { partition, record } => {
                self.entry(partition);
                self.disk(&partition.disk).journal = Some(record.clone());
            }
            Act::SetPartitionType { partition, kind } => *self.entry(partition) = *kind,
            Act::Erase { disk, how, keep } => self.erase(disk, *how, keep),
            Act::Mkfs { device, format, uuid, .. } => {
                assert!(!self.mounts.values().any(|mounted| *mounted == device.path()), "mounted: {op}");
                self.assert_runs(device, op);
                let (made, kind) = (op.to_string(), format.name().into());
                let uuid = plan::filesystem_text(*format, *uuid);
                let made = FileSystem { made, kind, uuid, written: vec![], synced: 0 };
                self.filesystems.insert(device.path(), made);
            }
            Act::Mount { device, format, path, .. } => {
                assert!(path == "/" || self.mounts.contains_key("/"), "there is no root: {op}");
                assert_eq!(self.filesystems[&device.path()].kind, format.name(), "{op}");
                self.mounts.insert(path.clone(), device.path());
            }
            Act::Stack(act) => self.stack(act, op),
            Act::MakeSubvolumes { device, .. } => {
                let made = self.filesystems.get_mut(&device.path()).expect("there is a file system");
                made.written.push(op.to_string());
            }
            Act::Release { holder: Holder::Array { node } } => self.stop(node),
            Act::Release { holder: Holder::Mapped { name, .. } } => self.stop(&format!("/dev/mapper/{name}")),
            Act::Sync => self.sync(),
            Act::Unmount => {
                self.sync();
                self.mounts.clear();
            }
            Act::MountKernelFs | Act::LoadKernel { .. } | Act::Require { .. } => {
                assert!(self.mounts.contains_key("/"), "there is no root: {op}");
            }
            Act::WriteFile { path, .. }
            | Act::Mkdir { path, .. }
            | Act::Symlink { path, .. }
            | Act::Remove { path }
            | Act::Deliver { to: path, .. }
            | Act::CopyFile { to: path, .. } => self.write(path, op),
            Act::Unpack { .. } | Act::SetPassword { .. } | Act::Run { .. } => self.write("", op),
            _ => {}
        }
    }

    fn disk(&mut self, path: &str) -> &mut Disk {
        self.facts.disks.iter_mut().find(|disk| disk.path == path).expect("the disk is there")
    }

    /// The type of a partition, which must be in the table.
    fn entry(&mut self, partition: &PartitionRef) -> &mut Uuid {
        let table = self.disk(&partition.disk).table.as_mut().expect("the disk has a table");
        let is_it = |entry: &&mut plan::facts::TableEntry| {
            entry.guid == partition.guid && entry.number == partition.number
        };
        &mut table.partitions.iter_mut().find(is_it).expect("the partition is there").kind
    }

    /// What is not kept is wiped.
    fn write_table(&mut self, path: &str, table: &Table, keep: &[u32]) {
        let disk = self.disk(path);
        let old = disk.table.replace(table.clone());
        let old = old.map(|table| table.partitions).unwrap_or_default();
        for number in keep {
            let kept = |entries: &[plan::facts::TableEntry]| {
                entries.iter().find(|entry| entry.number == *number).cloned().expect("what is kept is there")
            };
            assert_eq!(kept(&old), kept(&table.partitions), "{path}");
        }
        disk.journal = None;
        for entry in old.iter().chain(&table.partitions).filter(|entry| !keep.contains(&entry.number)) {
            let node = reference(path, entry.number, entry.guid).path();
            assert!(!self.mounts.values().any(|mounted| *mounted == node), "{node} is mounted");
            self.filesystems.remove(&node);
            self.remove_above(&node);
        }
    }

    /// What is not kept is gone; where the disk does it itself, its table too.
    fn erase(&mut self, path: &str, how: Wipe, keep: &[u32]) {
        let disk = self.disk(path);
        let entries = disk.table.iter().flat_map(|table| &table.partitions);
        let lost: Vec<_> = entries.filter(|entry| !keep.contains(&entry.number)).cloned().collect();
        if lost.iter().any(|entry| entry.kind == journal::PARTITION) {
            disk.journal = None;
        }
        if how == Wipe::Secure {
            (disk.table, disk.journal) = (None, None);
        }
        for entry in lost {
            let node = reference(path, entry.number, entry.guid).path();
            self.filesystems.remove(&node);
            self.remove_above(&node);
        }
    }

    /// Whatever lies on a device goes with it.
    fn remove_above(&mut self, below: &str) {
        let above = |(path, device): (&String, &Stacked)| {
            device.on.iter().any(|on| on == below).then(|| (path.clone(), device.runs))
        };
        for (path, runs) in self.stacked.iter().filter_map(above).collect::<Vec<_>>() {
            assert!(!runs, "{path} runs on {below}");
            self.stacked.remove(&path);
            self.filesystems.remove(&path);
            self.remove_above(&path);
        }
    }

    fn stack(&mut self, act: &StackAct, op: &Op) {
        let paths = |devices: &[BlockDevice]| devices.iter().map(BlockDevice::path).collect::<Vec<_>>();
        let members = |devices: &[PartitionRef]| devices.iter().map(PartitionRef::path).collect();
        match act {
            StackAct::MakeArray { array, devices, .. } | StackAct::StartArray { array, devices, .. } => {
                self.start(array.node.clone(), members(devices), op);
            }
            // It is there when it is open.
            StackAct::MakeLuks { device, .. } => self.assert_runs(device, op),
            StackAct::OpenLuks { crypt, device, .. } => {
                self.assert_runs(device, op);
                self.start(format!("/dev/mapper/{}", crypt.crypt), vec![device.path()], op);
            }
            StackAct::CheckLuks { device, .. } => self.assert_runs(device, op),
            StackAct::MakeGroup { group, devices, .. } | StackAct::CheckGroup { group, devices, .. } => {
                devices.iter().for_each(|device| self.assert_runs(device, op));
                // The same group, whether or not an attempt before was cut off.
                let mut act = act.clone();
                if let StackAct::CheckGroup { undo, .. } = &mut act {
                    *undo = false;
                }
                self.start(group.clone(), paths(devices), &Op::new(act, op.reason.clone()));
            }
            StackAct::MakeVolume { volume, .. } => {
                let on = match act {
                    StackAct::MakeVolume { kind: VolumeKind::Thin(pool), .. } => {
                        BlockDevice::Volume(VolumeRef { volume: pool.clone(), ..volume.clone() }).path()
                    }
                    _ => volume.group.clone(),
                };
                assert!(self.stacked.get(&on).is_some_and(|below| below.runs), "no {on}: {op}");
                self.start(BlockDevice::Volume(volume.clone()).path(), vec![on], op);
            }
            StackAct::RemoveVolume { volume, .. } => {
                let path = BlockDevice::Volume(volume.clone()).path();
                self.stacked.remove(&path);
                self.filesystems.remove(&path);
            }
            StackAct::StopGroup { group, .. } => self.stop(group),
        }
    }

    fn start(&mut self, path: String, on: Vec<String>, op: &Op) {
        self.stacked.insert(path, Stacked { made: op.to_string(), on, runs: true });
    }

    /// With what is above it, which for volumes is their group's to stop.
    fn stop(&mut self, path: &str) {
        assert!(!self.mounts.values().any(|mounted| mounted == path), "{path} is mounted");
        let Some(device) = self.stacked.get_mut(path) else { return };
        device.runs = false;
        let above = |(name, device): (&String, &Stacked)| {
            (device.runs && device.on.iter().any(|on| on == path)).then(|| name.clone())
        };
        for name in self.stacked.iter().filter_map(above).collect::<Vec<_>>() {
            assert!(!path.starts_with("/dev/md"), "{name} runs on {path}");
            self.stop(&name);
        }
    }

    fn assert_runs(&self, device: &BlockDevice, op: &Op) {
        let is_partition = matches!(device, BlockDevice::Partition(_));
        let runs = self.stacked.get(&device.path()).is_some_and(|stacked| stacked.runs);
        assert!(is_partition || runs, "{} does not run: {op}", device.path());
    }

    /// Into the file system that the path is on.
    fn write(&mut self, path: &str, op: &Op) {
        let path = format!("/{}", path.trim_start_matches('/'));
        let holds = |point: &&String| {
            path.strip_prefix(*point).is_some_and(|rest| *point == "/" || rest.starts_with('/'))
        };
        let point = self.mounts.keys().filter(holds).max_by_key(|point| point.len());
        let device = &self.mounts[point.unwrap_or_else(|| panic!("there is no root: {op}"))];
        let made = self.filesystems.get_mut(device).expect("what is mounted was made");
        made.written.push(op.to_string());
    }

    fn sync(&mut self) {
        for device in self.mounts.values() {
            let made = self.filesystems.get_mut(device).expect("what is mounted was made");
            made.synced = made.written.len();
        }
    }

    /// What the loader starts is on the disk before the loader is.
    fn assert_synced(&self, op: &Op) {
        for (device, made) in &self.filesystems {
            let left = &made.written[made.synced..];
            let others = left.iter().find(|written| !is_of_loader(written));
            assert_eq!(others, None, "on {device} only, and not on its disk, before {op}");
        }
    }
}

/// Several programs may make up the loader.
fn is_of_loader(written: &str) -> bool {
    written.contains("grub-install") || written.contains("grub2-install") || written.contains("EFI/BOOT/")
}

fn reference(disk: &str, number: u32, guid: Uuid) -> PartitionRef {
    PartitionRef { disk: disk.into(), number, guid }
}
