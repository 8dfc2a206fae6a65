//! Which disk of the machine is which disk of the NII. A wrong disk wiped cannot be unwiped: whatever is not certain
//! is refused, with the list of what was found.

use std::cmp::Reverse;

use nii::Finding;
use nii::v1::{self, DiskPick, DiskSelect, Excluded, Hint};
use uuid::Uuid;

use crate::facts::{self, Facts};
use crate::names;
use crate::op::PartitionRef;
use crate::parts;
use crate::table::{self, Layout, Marks, TableError};
use crate::units::{MIB, human};
use crate::wipe;

/// A disk of the NII, the disk of the machine that it is, and its new table.
#[derive(Debug)]
pub(crate) struct Planned<'a> {
    pub wanted: &'a v1::Disk,
    pub disk: &'a facts::Disk,
    pub layout: Layout,
}

impl Planned<'_> {
    /// The partition that the NII labels so, and its bytes.
    pub fn partition(&self, label: &str) -> Option<(PartitionRef, u64)> {
        let entry = self.layout.entry(label)?;
        let bytes = (entry.last - entry.first + 1) * u64::from(self.disk.sector);
        Some((PartitionRef { disk: self.disk.path.clone(), number: entry.number, guid: entry.guid }, bytes))
    }
}

/// Finds every disk of the NII and lays out its table, in the NII's order. A disk that was not found has a finding.
/// Those named by serial number, WWN, path or number are found first, the others among what remains.
pub(crate) fn plan<'a>(
    facts: &'a Facts,
    storage: &'a v1::Storage,
    arming: Uuid,
    marks: Marks<'_>,
    out: &mut Vec<Finding>,
) -> Vec<Planned<'a>> {
    let mut planned: Vec<(usize, Planned<'_>)> = Vec::new();
    let order =
        |named: bool| storage.disks.iter().enumerate().filter(move |(_, d)| is_named(&d.select) == named);
    for (index, wanted) in order(true).chain(order(false)) {
        let taken: Vec<&str> = planned.iter().map(|(_, p)| p.disk.path.as_str()).collect();
        let lay_out = |disk: &facts::Disk| table::lay_out(wanted, disk, arming, marks);
        match choose(facts, wanted, &taken, &lay_out) {
            Ok((disk, layout)) => planned.push((index, Planned { wanted, disk, layout })),
            Err(message) => {
                let message = format!("disk `{}`: {message}", wanted.name);
                out.push(Finding::error(format!("storage.disks[{index}].select"), message));
            }
        }
    }
    planned.sort_by_key(|(index, _)| *index);
    fixed_guids(facts, &planned, out);
    let planned: Vec<Planned<'_>> = planned.into_iter().map(|(_, planned)| planned).collect();
    if planned.len() == storage.disks.len() {
        names::taken(facts, storage, &planned, out);
        parts::check(facts, &planned, out);
    }
    planned
}

/// A GUID that the NII fixes may be no other partition's: neither that of one that stays, nor one's on a disk that is not
/// touched.
fn fixed_guids(facts: &Facts, planned: &[(usize, Planned<'_>)], out: &mut Vec<Finding>) {
    let stays = |disk: &facts::Disk, number: u32| match planned.iter().find(|(_, p)| p.disk.path == disk.path)
    {
        Some((_, planned)) => planned.layout.keep.contains(&number),
        None => true,
    };
    for (i, Planned { wanted, .. }) in planned {
        for partition in wanted.partitions.iter().filter(|partition| partition.guid.is_some()) {
            let taken = |disk: &facts::Disk| {
                let mut entries = disk.table.iter().flat_map(|table| &table.partitions);
                let is_it = |entry: &&facts::TableEntry| partition.guid == Some(entry.guid);
                let entry = entries.find(|entry| is_it(entry) && stays(disk, entry.number))?;
                Some(format!("{} `{}` of {}", entry.number, entry.label, disk.path))
            };
            if let Some(other) = facts.disks.iter().find_map(taken) {
                let message = format!(
                    "the GUID of `{}` is that of partition {other}, which stays as it is; take another",
                    partition.label
                );
                out.push(Finding::error(format!("storage.disks[{i}].partitions"), message));
            }
        }
    }
}

/// Whether the selector names one disk rather than a kind of disk.
fn is_named(select: &DiskSelect) -> bool {
    select.identifies() || select.number.is_some()
}

type LayOut<'f> = &'f dyn Fn(&facts::Disk) -> Result<Layout, TableError>;

/// The disk that `wanted` selects, with its table; or why there is none, for a person.
fn choose<'a>(
    facts: &'a Facts,
    wanted: &v1::Disk,
    taken: &[&str],
    lay_out: LayOut<'_>,
) -> Result<(&'a facts::Disk, Layout), String> {
    let select = &wanted.select;
    let refused = |disk: &facts::Disk| {
        if taken.contains(&disk.path.as_str()) {
            return Some("is another disk of the NII".to_owned());
        }
        refusal(select, disk, facts)
    };
    let matching: Vec<&facts::Disk> = facts.disks.iter().filter(|disk| refused(disk).is_none()).collect();
    if let Some(why) = matching.iter().find_map(|disk| unreadable(disk)) {
        return Err(why);
    }
    let (disk, layout) = match (matching.as_slice(), select.pick) {
        ([], _) => return Err(nothing_matches(facts, &refused)),
        ([disk], _) => (*disk, lay_out(disk).map_err(|error| error.to_string())?),
        (disks, None) => {
            return Err(format!(
                "{} disks match: {}; name one by `serial`, `wwn` or `path`, or say which with `pick`",
                disks.len(),
                list(disks)
            ));
        }
        (disks, Some(pick)) => pick_one(disks, pick, lay_out)?,
    };
    if let Some(why) = not_alone(facts, disk) {
        return Err(why);
    }
    if disk.read_only {
        return Err(format!("{} is read-only", describe(disk)));
    }
    if !disk.in_use.is_empty() {
        return Err(format!(
            "{} is in use by {}, which the install does not let go; unmount it, take it apart, or name another disk",
            describe(disk),
            disk.in_use.join(", ")
        ));
    }
    Ok((disk, layout))
}

/// Why it cannot be known whether a disk that matches is the one that is meant: the next one may hold somebody's data.
fn unreadable(disk: &facts::Disk) -> Option<String> {
    let why = disk.unreadable.as_ref()?;
    let way_out = wipe::way_out(&disk.path).filter(|_| wipe::is_ata(disk));
    let way_out = way_out.map(|way| format!("; {way}")).unwrap_or_default();
    Some(format!(
        "{} may be the one, and cannot be read: {why}{way_out}; or name another disk",
        describe(disk)
    ))
}

/// Why the disk is not one that may be written by itself: a member of firmware RAID, or one path of several to the same
/// disk (multipath). Writing to one behind the other's back would destroy both.
fn not_alone(facts: &Facts, disk: &facts::Disk) -> Option<String> {
    if let Some(raid) = &disk.firmware_raid {
        return Some(format!(
            "{} is a member of a firmware RAID ({raid}); take it out of the array in the firmware's setup, and wipe its end",
            describe(disk)
        ));
    }
    // A virtual disk may have no WWN: then the serial number says it, with all else that would be the same.
    let is_same = |other: &&facts::Disk| match (&disk.wwn, &other.wwn) {
        (Some(wwn), Some(other)) => wwn.eq_ignore_ascii_case(other),
        (None, None) => {
            let what = |disk: &facts::Disk| (disk.serial.clone(), disk.size, disk.model.clone());
            disk.serial.is_some() && what(other) == what(disk)
        }
        _ => false,
    };
    let paths: Vec<&str> = facts.disks.iter().filter(is_same).map(|other| other.path.as_str()).collect();
    let id = match (&disk.wwn, &disk.serial) {
        (Some(wwn), _) => format!("wwn {wwn}"),
        (None, serial) => format!("serial {}", serial.as_deref().unwrap_or_default()),
    };
    (paths.len() > 1).then(|| {
        format!(
            "{} are one disk by their {id} (multipath), which is not supported; leave one path",
            paths.join(" and ")
        )
    })
}

/// Why the disk is not what the selector asks for; `None` if it is.
fn refusal(select: &DiskSelect, disk: &facts::Disk, facts: &Facts) -> Option<String> {
    if let Some(why) = select.texts().find_map(|(name, wanted)| misses(name, wanted, disk)) {
        return Some(why);
    }
    if let Some(number) = select.number.filter(|number| number_of(disk, facts) != Some(*number)) {
        return Some(format!("is not the machine's disk {number}"));
    }
    if let Some(least) = select.min_size_mib.filter(|least| disk.size / MIB < *least) {
        return Some(format!("has less than {}", human(least.saturating_mul(MIB))));
    }
    if let Some(most) = select.max_size_mib.filter(|most| disk.size > most.saturating_mul(MIB)) {
        return Some(format!("has more than {}", human(most.saturating_mul(MIB))));
    }
    match select.rotational {
        Some(true) if !disk.rotational => return Some("does not spin".into()),
        Some(false) if disk.rotational => return Some("spins".into()),
        _ => {}
    }
    excluded(select, disk)
}

/// Why a text of the disk is not what the selector says.
fn misses(name: &str, wanted: &str, disk: &facts::Disk) -> Option<String> {
    let found = match name {
        "path" => Some(&disk.path),
        "by_path" => disk.by_path.as_ref(),
        "serial" => disk.serial.as_ref(),
        "wwn" => disk.wwn.as_ref(),
        "model" => disk.model.as_ref(),
        "vendor" => disk.vendor.as_ref(),
        _ => disk.transport.as_ref(),
    };
    let hint = match Hint::parse(wanted) {
        Ok(hint) => hint,
        Err(why) => return Some(format!("cannot be compared: `{name}` {why}")),
    };
    match (found, &hint) {
        (Some(found), hint) if hint.matches(found) => None,
        (_, Hint::Is(text)) => Some(format!("its {name} is not `{text}`")),
        (Some(found), _) => Some(format!("its {name} `{found}` is not as in `{wanted}`")),
        (None, _) => Some(format!("has no {name} to compare with `{wanted}`")),
    }
}

/// Why disks of its kind are passed over.
fn excluded(select: &DiskSelect, disk: &facts::Disk) -> Option<String> {
    let why = |kind, is: bool, text: &str| (is && select.excludes(kind)).then(|| text.to_owned());
    let is_san = disk.transport.as_deref().is_some_and(|transport| DiskSelect::SAN.contains(&transport));
    why(Excluded::Removable, disk.removable, "is removable, and not named by serial, wwn or by_path")
        .or_else(|| why(Excluded::ReadOnly, disk.read_only, "is read-only"))
        .or_else(|| {
            why(Excluded::Usb, disk.transport.as_deref() == Some("usb"), "is on USB, which was not asked for")
        })
        .or_else(|| why(Excluded::San, is_san, "is in a storage network, which was not asked for"))
        .or_else(|| {
            let users = format!("is in use by {}", disk.in_use.join(", "));
            why(Excluded::InUse, !disk.in_use.is_empty(), &users)
        })
}

/// Which one it is, from 1, of the disks that stay in the machine; `None` for a removable one. All others count,
/// whatever they are: else a disk that is too small, or broken, would give its number to the next.
fn number_of(disk: &facts::Disk, facts: &Facts) -> Option<u32> {
    let fixed = facts.disks.iter().filter(|disk| !disk.removable);
    (1..).zip(fixed).find(|(_, counted)| counted.path == disk.path).map(|(number, _)| number)
}

/// Of several that match, the one that `pick` says among those that the partitions fit on.
fn pick_one<'a>(
    disks: &[&'a facts::Disk],
    pick: DiskPick,
    lay_out: LayOut<'_>,
) -> Result<(&'a facts::Disk, Layout), String> {
    let laid_out: Vec<_> = disks.iter().map(|disk| (*disk, lay_out(disk))).collect();
    let problems: Vec<String> =
        laid_out.iter().filter_map(|(_, table)| Some(table.as_ref().err()?.to_string())).collect();
    let fitting: Vec<_> =
        laid_out.into_iter().filter_map(|(disk, layout)| Some((disk, layout.ok()?))).collect();
    if fitting.len() > 1 && fitting.iter().any(|(_, layout)| !layout.keep.is_empty()) {
        let disks: Vec<_> = fitting.iter().map(|(disk, _)| *disk).collect();
        return Err(format!(
            "{} disks have the partitions that are to be kept: {}; name one by `serial`, `wwn` or `path`",
            disks.len(),
            list(&disks)
        ));
    }
    // Of equal disks the one that an attempt before this one began to write, and else the first by kernel name.
    let fresh = |disk: &facts::Disk, layout: &Layout| !is_begun(disk, layout);
    let fitting = fitting.into_iter();
    let picked = match pick {
        DiskPick::First => fitting.min_by_key(|(disk, layout)| fresh(disk, layout)),
        DiskPick::Smallest => fitting.min_by_key(|(disk, layout)| (disk.size, fresh(disk, layout))),
        DiskPick::Largest => fitting.min_by_key(|(disk, layout)| (Reverse(disk.size), fresh(disk, layout))),
    };
    picked.ok_or_else(|| format!("{} disks match, none fits: {}", disks.len(), problems.join("; ")))
}

/// Whether it has a partition of the new table, by its GUID. Names of disks may be others in each boot.
fn is_begun(disk: &facts::Disk, layout: &Layout) -> bool {
    let made = |guid: Uuid| {
        let entries = &layout.table.partitions;
        entries.iter().any(|entry| entry.guid == guid && !layout.keep.contains(&entry.number))
    };
    disk.table.iter().flat_map(|table| &table.partitions).any(|entry| made(entry.guid))
}

fn nothing_matches(facts: &Facts, refused: &dyn Fn(&facts::Disk) -> Option<String>) -> String {
    if facts.disks.is_empty() {
        return "the machine has no disk that the kernel sees; is its driver in the initrd?".into();
    }
    let found =
        facts.disks.iter().map(|disk| format!("{} {}", describe(disk), refused(disk).unwrap_or_default()));
    format!("no disk matches: {}", found.collect::<Vec<_>>().join("; "))
}

fn list(disks: &[&facts::Disk]) -> String {
    disks.iter().map(|disk| describe(disk)).collect::<Vec<_>>().join("; ")
}

/// `/dev/sda (931.5 GiB, model X, serial Y, wwn Z)`.
pub(crate) fn describe(disk: &facts::Disk) -> String {
    let mut text = format!("{} ({}", disk.path, human(disk.size));
    let named =
        [("vendor", &disk.vendor), ("model", &disk.model), ("serial", &disk.serial), ("wwn", &disk.wwn)];
    for (name, value) in named {
        if let Some(value) = value {
            text.push_str(&format!(", {name} {value}"));
        }
    }
    if let Some(transport) = &disk.transport {
        text.push_str(&format!(", {transport}"));
    }
    text + ")"
}
