//! Arrays, volume groups and logical volumes: always anaconda's to make, and kept by their names.

use nii::Finding;
use nii::v1::{LogicalVolume, Raid, RaidLevel, Storage, VolumeGroup};

use super::{Replaced, Site, format_at, is_in_use, made, mounted, place};
use crate::kickstart::words::Line;
use crate::stack::room::{EXTENT_MIB, extent_mib};

pub(super) fn lines(site: &Site<'_>, out: &mut Vec<Finding>) -> Vec<Line> {
    let storage = site.storage;
    let raid = storage.raid.iter().enumerate().filter_map(|(i, array)| raid(site, i, array, out));
    let mut all: Vec<Line> = raid.collect();
    all.extend(storage.volume_groups.iter().map(|group| volume_group(site, group)));
    let volumes = storage.logical_volumes.iter().enumerate();
    all.extend(volumes.filter_map(|(i, volume)| logical_volume(site, i, volume, out)));
    all
}

/// Volumes that are made anew in groups that are kept. Refuses groups on arrays: udev assembles none for anaconda (mdadm's
/// `64-md-raid-assembly.rules`), so when `%pre` runs such a group is not there.
pub(super) fn replaced(site: &Site<'_>, out: &mut Vec<Finding>) -> Vec<Replaced> {
    let Storage { volume_groups, logical_volumes, raid, .. } = site.storage;
    let mut all = Vec::new();
    for group in volume_groups.iter().filter(|group| group.preserve) {
        let made = |volume: &&LogicalVolume| volume.group == group.name && !volume.preserve;
        let volumes: Vec<String> =
            logical_volumes.iter().filter(made).map(|volume| volume.name.clone()).collect();
        if volumes.is_empty() {
            continue;
        }
        if let Some(array) = raid.iter().find(|array| group.devices.contains(&array.name)) {
            let message = format!(
                "no volume can be made anew in group `{}`, which is kept on the array `{}`: keep all its volumes, or none",
                group.name, array.name
            );
            out.push(Finding::error("storage.logical_volumes", message));
            continue;
        }
        let path = |label: &String| Some(site.disk_of(label)?.partition(label)?.0.path());
        let mut on: Vec<String> = group.devices.iter().filter_map(path).collect();
        on.sort_unstable();
        all.push(Replaced { group: group.name.clone(), on, volumes });
    }
    all
}

/// An array. A kept one needs a line only if something on it is mounted.
fn raid(site: &Site<'_>, index: usize, array: &Raid, out: &mut Vec<Finding>) -> Option<Line> {
    // Older pykickstart takes `md` away from the name, once.
    let drops = site.words.raid_drops_md && array.name.starts_with("md");
    let name = if drops { format!("md{}", array.name) } else { array.name.clone() };
    let on = |place: &str| Line::new("raid").word(place).option("device", &name);
    let filesystem = site.filesystem_on(&array.name);
    if array.preserve {
        let filesystem = filesystem.filter(|filesystem| is_in_use(filesystem))?;
        return Some(mounted(on(&place(filesystem, "")).flag("noformat"), filesystem));
    }
    let group = site.storage.volume_groups.iter().any(|group| group.devices.contains(&array.name));
    let line = match (filesystem, group) {
        (Some(filesystem), _) => made(on(&place(filesystem, "")), filesystem, format_at(filesystem)),
        (None, true) => on(&site.physical_volume(&array.name)?),
        (None, false) => {
            nothing_on_it(&format!("storage.raid[{index}]"), "array", out);
            return None;
        }
    };
    let spares = (array.spares > 0).then_some(array.spares);
    let line = line.option("level", level(array.level)).maybe("spares", spares);
    Some(
        array.devices.iter().filter_map(|label| site.member(label)).fold(line, |line, name| line.word(&name)),
    )
}

fn volume_group(site: &Site<'_>, group: &VolumeGroup) -> Line {
    let line = Line::new("volgroup").word(&group.name);
    if group.preserve {
        return line.flag("useexisting").flag("noformat");
    }
    let name = |device: &String| site.physical_volume(device).or_else(|| site.member(device));
    let line = line.maybe("pesize", group.extent_mib.map(|extent| u64::from(extent) * 1024));
    group.devices.iter().filter_map(name).fold(line, |line, name| line.word(&name))
}

/// A volume. A kept one needs a line only if it is mounted.
fn logical_volume(
    site: &Site<'_>,
    index: usize,
    volume: &LogicalVolume,
    out: &mut Vec<Finding>,
) -> Option<Line> {
    let filesystem = site.filesystem_on(&format!("{}/{}", volume.group, volume.name));
    let on = |place: &str| {
        Line::new("logvol").word(place).option("vgname", &volume.group).option("name", &volume.name)
    };
    if volume.preserve {
        let filesystem = filesystem.filter(|filesystem| is_in_use(filesystem))?;
        return Some(mounted(on(&place(filesystem, "")).flag("useexisting").flag("noformat"), filesystem));
    }
    let Some(filesystem) = filesystem else {
        nothing_on_it(&format!("storage.logical_volumes[{index}]"), "volume", out);
        return None;
    };
    let line = made(on(&place(filesystem, "")), filesystem, format_at(filesystem));
    let group = site.storage.volume_groups.iter().find(|group| group.name == volume.group);
    // What grows begins with one extent: anaconda refuses less, and blivet raises it to what the format needs.
    let size = volume.size_mib.unwrap_or(group.map_or(u64::from(EXTENT_MIB), extent_mib));
    Some(line.option("size", size).flag_if("grow", volume.size_mib.is_none()))
}

fn nothing_on_it(path: &str, what: &str, out: &mut Vec<Finding>) {
    let message = format!("has no file system: kickstart makes no {what} without one");
    out.push(Finding::error(path, message));
}

fn level(level: RaidLevel) -> &'static str {
    match level {
        RaidLevel::Raid0 => "RAID0",
        RaidLevel::Raid1 => "RAID1",
        RaidLevel::Raid5 => "RAID5",
        RaidLevel::Raid6 => "RAID6",
        RaidLevel::Raid10 => "RAID10",
    }
}
