//! What is to stay as it is: found by its place or its name, opened, filled, and its bytes' digest.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use host::Machine;
use host::linux::disk::block::{Block as _, Device as Opened};
use host::linux::disk::device;
use nii::digest::Digest;
use nii::v1::{Device, LogicalVolume, Luks, Raid};
use plan::facts::{Content, Disk, Facts};
use plan::op::{ArrayRef, BlockDevice, CryptRef, PartitionRef, StackAct, VolumeRef};
use plan::{Act, Op, Plan};
use uuid::Uuid;

use crate::cases::{Case, Kept};
use crate::check;
use crate::worker::{self, Tell};

/// What is filled, and how much of it: one block in so many.
const BLOCK: usize = 4096;
const FILLED: usize = 64;

/// Opens what a case keeps. What the plan makes or starts runs already.
pub struct Keeper<'a> {
    pub case: &'a Case,
    pub facts: &'a Facts,
    pub plan: &'a Plan,
    pub machine: &'a mut dyn Machine,
}

impl Keeper<'_> {
    /// Of all that is kept, in order, with `+` between them; filled before, if the case says so.
    pub fn digests(&mut self) -> Result<String> {
        let digests =
            self.case.entry.kept.iter().map(|kept| self.digest(kept)).collect::<Result<Vec<_>>>()?;
        Ok(digests.join("+"))
    }

    fn digest(&mut self, kept: &Kept) -> Result<String> {
        let (path, start, length) = match kept {
            Kept::Place { serial, start, length } => {
                (PathBuf::from(worker::disk(self.facts, serial)?), *start, *length)
            }
            Kept::Named(name) => {
                let device = self.device(name).with_context(|| format!("opening `{name}`"))?;
                let path = device::find(Path::new("/sys"), &device)?;
                if self.case.entry.fill {
                    fill(&path).with_context(|| format!("filling `{name}`"))?;
                }
                let length = Opened::read_only(&path)?.size();
                (path, 0, length)
            }
        };
        let bytes = Opened::read_only(&path)?.read(start, usize::try_from(length)?);
        Ok(Digest::of(&bytes.context("reading what is kept")?).to_string())
    }

    fn device(&mut self, name: &str) -> Result<BlockDevice> {
        match self.case.nii.storage.device(name).context("the NII has no such device")? {
            Device::Partition(_, partition) => Ok(self.partition(&partition.label)?.0.into()),
            Device::Raid(raid) => self.array(raid).map(BlockDevice::Array),
            Device::Luks(luks) => self.crypt(luks).map(BlockDevice::Crypt),
            Device::LogicalVolume(volume) => self.volume(volume).map(BlockDevice::Volume),
        }
    }

    /// The partition of this label, and what lies on it.
    fn partition(&self, label: &str) -> Result<(PartitionRef, Option<&Content>)> {
        let one = |disk: &Disk| {
            let entry = disk.table.iter().flat_map(|table| &table.partitions).find(|e| e.label == label)?;
            Some(PartitionRef { disk: disk.path.clone(), number: entry.number, guid: entry.guid })
        };
        let found = self.facts.disks.iter().find_map(|disk| Some((disk, one(disk)?)));
        let (disk, partition) = found.with_context(|| format!("there is no partition `{label}`"))?;
        let content = disk.contents.iter().find(|content| content.partition == Some(partition.number));
        Ok((partition, content))
    }

    /// The UUID in the superblock of a partition.
    fn uuid(&self, label: &str) -> Result<Uuid> {
        let uuid = self.partition(label)?.1.and_then(|content| content.uuid.as_deref());
        let uuid = uuid.with_context(|| format!("`{label}` holds nothing with a UUID"))?;
        uuid.parse().with_context(|| format!("the UUID of `{label}`"))
    }

    fn array(&mut self, raid: &Raid) -> Result<ArrayRef> {
        let runs = self.started(|act| match act {
            StackAct::MakeArray { array, .. } | StackAct::StartArray { array, .. } => {
                (array.array == raid.name).then(|| array.clone())
            }
            _ => None,
        });
        if let Some(array) = runs {
            return Ok(array);
        }
        let devices = raid.devices.iter().map(|label| Ok(self.partition(label)?.0)).collect::<Result<_>>()?;
        let first = raid.devices.first().context("an array without members")?;
        // Plans count from 127 down.
        let number = self.case.nii.storage.raid.iter().take_while(|other| other.name != raid.name).count();
        let array =
            ArrayRef { array: raid.name.clone(), node: format!("/dev/md{number}"), uuid: self.uuid(first)? };
        self.start(StackAct::StartArray { array: array.clone(), devices, read_only: false })?;
        Ok(array)
    }

    fn crypt(&mut self, luks: &Luks) -> Result<CryptRef> {
        let runs = self.started(|act| match act {
            StackAct::OpenLuks { crypt, .. } => (crypt.crypt == luks.name).then(|| crypt.clone()),
            _ => None,
        });
        if let Some(crypt) = runs {
            return Ok(crypt);
        }
        let device = self.device(&luks.device)?;
        let crypt = CryptRef { crypt: luks.name.clone(), uuid: self.uuid(&luks.device)? };
        let keys = self.case.nii.secrets.as_ref().map(|secrets| &secrets.luks_keys);
        let key = keys.and_then(|keys| keys.get(&luks.name)).context("no passphrase")?.clone();
        self.start(StackAct::OpenLuks { crypt: crypt.clone(), device, key, read_only: false })?;
        Ok(crypt)
    }

    fn volume(&mut self, volume: &LogicalVolume) -> Result<VolumeRef> {
        let group = self.case.nii.storage.volume_groups.iter().find(|group| group.name == volume.group);
        let group = group.context("a volume without a group")?;
        let devices = group.devices.iter().map(|name| self.device(name)).collect::<Result<Vec<_>>>()?;
        check::activate(&group.name, &devices, self.machine)?;
        Ok(VolumeRef { group: volume.group.clone(), volume: volume.name.clone() })
    }

    /// What `pick` takes of the acts that made or started something.
    fn started<T>(&self, pick: impl Fn(&StackAct) -> Option<T>) -> Option<T> {
        self.plan.ops("format").iter().find_map(|op| match &op.act {
            Act::Stack(act) => pick(act),
            _ => None,
        })
    }

    fn start(&mut self, act: StackAct) -> Result<()> {
        self.machine.apply(&Op::new(Act::Stack(act), "to look at what is kept"), &mut Tell)?;
        Ok(())
    }
}

/// Writes blocks that no file system knows of: only a copy of every byte keeps them.
fn fill(path: &Path) -> Result<()> {
    let mut device = Opened::writable(path)?;
    let bytes = device.read(0, usize::try_from(device.size())?).context("reading it")?;
    for (n, block) in bytes.chunks_exact(BLOCK).enumerate().filter(|(n, _)| n % FILLED == FILLED - 1) {
        if block.iter().all(|byte| *byte == 0) {
            device.write((n * BLOCK) as u64, &[(n / FILLED) as u8 | 1; BLOCK]).context("writing a block")?;
        }
    }
    device.flush().context("flushing it")
}
