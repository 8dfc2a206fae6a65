//! Groups, arrays and file systems that lie on several devices, of which an install takes some: whether or not they are active,
//! since what is on the disks is gone either way.

use nii::Finding;
use uuid::Uuid;

use crate::disks::{self, Planned};
use crate::facts::{Content, Disk, Facts};
use crate::names::own;
use crate::op::PartitionRef;

/// A part of something, and where it is.
#[derive(Clone)]
struct Part<'a> {
    /// The whole, for a person; one name for one whole.
    whole: String,
    disk: &'a Disk,
    number: Option<u32>,
}

impl Part<'_> {
    fn path(&self) -> String {
        let disk = self.disk.path.clone();
        match self.number {
            Some(number) => PartitionRef { disk, number, guid: Uuid::nil() }.path(),
            None => disk,
        }
    }
}

/// What becomes of a part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Its disk is not selected.
    Elsewhere,
    Kept,
    Lost,
}

/// An error for what is kept and loses another part of itself: it would be worth nothing, or less than before. A warning for
/// what loses one, and has another on a disk that the install does not touch.
pub(crate) fn check(facts: &Facts, planned: &[Planned<'_>], out: &mut Vec<Finding>) {
    let parts: Vec<Part<'_>> = facts.disks.iter().flat_map(parts).collect();
    let fate = |part: &Part<'_>| match planned.iter().find(|p| p.disk.path == part.disk.path) {
        None => Fate::Elsewhere,
        Some(planned) if part.number.is_some_and(|number| planned.layout.keep.contains(&number)) => {
            Fate::Kept
        }
        Some(_) => Fate::Lost,
    };
    let lost: Vec<&Part<'_>> = parts.iter().filter(|part| fate(part) == Fate::Lost).collect();
    for part in &parts {
        let Some(lost) = lost.iter().find(|lost| lost.whole == part.whole) else { continue };
        let whole = &part.whole;
        match fate(part) {
            Fate::Lost => {}
            Fate::Kept => {
                let message = format!(
                    "{whole} is on {}, which is kept, and on {}, which is not: keep both, or neither",
                    part.path(),
                    lost.path()
                );
                out.push(Finding::error("storage.disks", message));
            }
            Fate::Elsewhere => {
                let message = format!(
                    "{whole} has a part on {}, which the NII does not select, and loses the part on {}",
                    disks::describe(part.disk),
                    lost.disk.path
                );
                out.push(Finding::warning("storage.disks", message));
            }
        }
    }
}

fn parts(disk: &Disk) -> impl Iterator<Item = Part<'_>> {
    disk.contents
        .iter()
        .filter_map(|content| Some(Part { whole: whole(content)?, disk, number: content.partition }))
}

fn whole(content: &Content) -> Option<String> {
    match content.kind.as_str() {
        "LVM2_member" => Some(format!("volume group `{}`", content.label.as_ref()?)),
        "linux_raid_member" => {
            let name = content.label.as_deref().map(own).unwrap_or_default();
            Some(format!("array `{name}` ({})", content.uuid.as_ref()?))
        }
        "btrfs" if content.members? > 1 => Some(format!("btrfs {}", content.uuid.as_ref()?)),
        _ => None,
    }
}
