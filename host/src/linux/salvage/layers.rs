//! The file systems of a machine's disks, also those within a RAID1 array, or a volume of LVM, or such a volume on such an array.
//! Nothing is put together by the kernel for that: each is a run of bytes of one device.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use uuid::Uuid;

use super::Candidate;
use crate::linux::disk::contents::lvm::group::{self, Group, Layout, Run, Volume};
use crate::linux::disk::contents::lvm::{Description, PhysicalVolume};
use crate::linux::disk::contents::{self, Contents, bytes::Extent, md};

const LEFT_BEHIND: &str = "a member of a RAID1 array (md) that was left behind by its others";
const ELSEWHERE: &str = " whose group is described on a disk that is not there, or not searched";

type Physical = (Candidate, PhysicalVolume);

/// What is below a place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Below {
    Disk,
    Array,
    Group,
}

/// What was found.
#[derive(Default)]
pub struct Layers {
    /// File systems that may hold a root, with their names for mount(2).
    pub filesystems: Vec<(Candidate, &'static str)>,
    /// What cannot be searched: whether the install writes it, and a sentence.
    pub unsearched: Vec<(bool, String)>,
    arrays: BTreeMap<Uuid, Vec<(Candidate, md::Member)>>,
    physical: Vec<Physical>,
}

/// Looks below the layers of all these devices.
pub fn within(devices: Vec<Candidate>) -> Layers {
    let mut layers = Layers::default();
    devices.into_iter().for_each(|device| layers.add(device, Below::Disk));
    layers.open_arrays();
    layers.open_groups();
    layers
}

impl Layers {
    fn add(&mut self, candidate: Candidate, below: Below) {
        let name = &candidate.name;
        let found = candidate.place.open().and_then(|mut bytes| contents::of(&mut bytes));
        let what = match found {
            Ok(Contents::Filesystem(format)) => return self.filesystems.push((candidate, format)),
            Ok(Contents::Raid(member)) if below < Below::Array => {
                return self.arrays.entry(member.array).or_default().push((candidate, member));
            }
            Ok(Contents::Lvm(volume)) if below < Below::Group => {
                return self.physical.push((candidate, volume));
            }
            Ok(Contents::Table) if below == Below::Disk => return,
            Ok(Contents::Other) => return,
            Ok(Contents::Raid(_)) => {
                format!("{name} is a member of a RAID array (md), which is not put together here")
            }
            Ok(Contents::Lvm(_)) => {
                format!("{name} is itself a physical volume of LVM, which is not looked into")
            }
            Ok(Contents::Encrypted) => format!("{name} is encrypted (LUKS), and not opened here"),
            Ok(Contents::Table) => format!("{name} has partitions, which are not looked into"),
            Err(error) => format!("looking at {name}: {error:#}"),
        };
        self.unsearched.push((candidate.lost, what));
    }

    /// A mirror is on each of its members; but one that was left behind has what was then.
    fn open_arrays(&mut self) {
        for members in std::mem::take(&mut self.arrays).into_values() {
            let newest = members.iter().map(|(_, member)| member.events).max();
            let current = members.iter().filter(|(_, member)| Some(member.events) == newest);
            let mut whole = current.filter_map(|(on, member)| {
                let (start, length) = member.mirror().ok()?;
                Some((on, on.place.part(start, length).ok()?))
            });
            if let Some((on, place)) = whole.next() {
                let name = format!("{} (RAID1)", on.name);
                self.add(Candidate::of(name, place, members.iter().map(|(on, _)| on)), Below::Array);
                continue;
            }
            for (on, member) in &members {
                let why = member.mirror().err();
                let why = why.map_or_else(|| LEFT_BEHIND.to_owned(), |error| error.to_string());
                self.unsearched.push((on.lost, format!("{} is {why}", on.name)));
            }
        }
    }

    fn open_groups(&mut self) {
        let mut physical = std::mem::take(&mut self.physical);
        // Of disks that are copies of each other, that which the install goes to.
        physical.sort_by_key(|(on, _)| !on.targeted);
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        let mut undescribed = Vec::new();
        for (on, volume) in &physical {
            match described(on, volume) {
                Ok(Some(found)) => found.into_iter().for_each(|group| newest(&mut groups, group)),
                Ok(None) => undescribed.push((on, volume, ELSEWHERE.to_owned())),
                Err(error) => undescribed.push((on, volume, format!(": {error:#}"))),
            }
        }
        for (on, volume, why) in undescribed {
            if !groups.values().any(|group| group.physical.contains(&volume.id)) {
                let what = format!("{} is a physical volume of LVM{why}", on.name);
                self.unsearched.push((on.lost, what));
            }
        }
        for group in groups.values() {
            for volume in &group.volumes {
                self.open_volume(group, volume, &physical);
            }
        }
    }

    fn open_volume(&mut self, group: &Group, volume: &Volume, physical: &[Physical]) {
        let name = format!("{}/{}", group.name, volume.name);
        let why = match place(&volume.layout, physical) {
            Ok(Place::Run(on, place)) => {
                let name = format!("{name} on {}", on.name);
                return self.add(Candidate::of(name, place, [on]), Below::Group);
            }
            // Its beginning tells whether it may hold a root.
            Ok(Place::Pieces(first, _)) if is_nothing(&first) => return,
            Ok(Place::Pieces(_, count)) => format!("in {count} pieces, which are not put together here"),
            Err(error) => format!("{error:#}"),
        };
        let lost = |(on, volume): &Physical| on.lost && group.physical.contains(&volume.id);
        self.unsearched.push((physical.iter().any(lost), format!("{name} is {why}")));
    }
}

/// The groups by the texts of one physical volume: one group, in as many states; `None` if others describe it.
fn described(on: &Candidate, volume: &PhysicalVolume) -> anyhow::Result<Option<Vec<Group>>> {
    match volume.description(&mut on.place.open()?)? {
        Description::Here(texts) => {
            texts.iter().map(|text| group::parse(text)).collect::<Result<_, _>>().map(Some)
        }
        Description::Elsewhere => Ok(None),
        Description::None => Ok(Some(Vec::new())),
    }
}

fn newest(groups: &mut BTreeMap<String, Group>, group: Group) {
    match groups.get(&group.id) {
        Some(known) if known.seqno >= group.seqno => {}
        _ => drop(groups.insert(group.id.clone(), group)),
    }
}

/// Where a volume is.
enum Place<'a> {
    /// There.
    Run(&'a Candidate, Extent),
    /// In so many pieces, of which this is the first.
    Pieces(Extent, usize),
}

/// Where a volume is; else why that cannot be said, in words that go on after "is".
fn place<'a>(layout: &Layout, physical: &'a [Physical]) -> anyhow::Result<Place<'a>> {
    let runs = match layout {
        Layout::Linear(runs) => runs,
        Layout::Other(why) => bail!("{why}"),
    };
    let Run { volume, start, length } = runs.first().context("a volume without segments")?;
    let on = physical.iter().find(|(_, known)| known.id == *volume);
    let (on, _) = on.context("on a physical volume that is not there, or not searched")?;
    let place = on.place.part(*start, *length).context("not where its group says")?;
    Ok(if runs.len() == 1 { Place::Run(on, place) } else { Place::Pieces(place, runs.len()) })
}

fn is_nothing(place: &Extent) -> bool {
    place.open().and_then(|mut bytes| contents::of(&mut bytes)).is_ok_and(|found| found == Contents::Other)
}
