//! What the disks say about an install (CONTRACTS: disk order, journal, GUIDs), read from the facts.
//!
//! The record in the camphor partition says whose install it is; the type of its root partition says whether it was
//! committed. Writing both is [`plan::Act::WriteJournal`] and [`plan::Act::SetPartitionType`].

use plan::facts::{Disk, Facts, JournalRecord};
use plan::journal::is_committed;
use uuid::Uuid;

/// How far the install of one arming came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// No disk knows of it.
    None,
    /// It began; the root must not be booted.
    InProgress(JournalRecord),
    /// It was committed: the root is whole.
    Committed(JournalRecord),
}

/// The state of the install of `arming`. Earlier attempts may have gone to several disks: one whose own root is whole counts.
pub fn state(facts: &Facts, arming: Uuid) -> State {
    let known: Vec<&Disk> = facts
        .disks
        .iter()
        .filter(|disk| disk.journal.as_ref().is_some_and(|record| record.arming == arming))
        .collect();
    let record = |disk: &Disk| disk.journal.clone();
    if let Some(record) = known.iter().copied().find(|disk| is_committed(disk)).and_then(record) {
        return State::Committed(record);
    }
    known.first().copied().and_then(record).map_or(State::None, State::InProgress)
}

#[cfg(test)]
mod tests {
    use nii::digest::Digest;
    use nii::v1::PartitionType;
    use plan::facts::{Firmware, Table, TableEntry};
    use plan::journal::{IN_PROGRESS, PARTITION};

    use super::*;

    const ARMING: Uuid = Uuid::from_u128(1);
    const ROOT: Uuid = Uuid::from_u128(2);

    fn facts(root: Option<Uuid>) -> Facts {
        let record = JournalRecord {
            version: 1,
            node: "n001".into(),
            arming: ARMING,
            attempt: Uuid::from_u128(3),
            root: ROOT,
            image: Some(Digest::of(b"image")),
            committed: false,
        };
        let entry = |kind| TableEntry {
            number: 1,
            kind,
            guid: ROOT,
            first: 2048,
            last: 4095,
            label: "root".into(),
            attributes: 0,
        };
        let disk = Disk {
            path: "/dev/vda".into(),
            size: 1 << 30,
            sector: 512,
            model: None,
            serial: None,
            wwn: None,
            vendor: None,
            transport: None,
            by_path: None,
            rotational: false,
            removable: false,
            read_only: false,
            discard: false,
            in_use: Vec::new(),
            ata_security: None,
            firmware_raid: None,
            unreadable: None,
            contents: Vec::new(),
            table: Some(Table {
                guid: Uuid::from_u128(4),
                partitions: root.map(entry).into_iter().collect(),
            }),
            journal: Some(record),
        };
        Facts {
            firmware: Firmware::Bios,
            arch: "x86_64".into(),
            kernel: "6.1.0".into(),
            memory_total: 0,
            memory_available: 0,
            uuid: None,
            disks: vec![disk],
            nics: Vec::new(),
            tools: Vec::new(),
            stacked: Vec::new(),
            groups: Vec::new(),
            tool_versions: Default::default(),
        }
    }

    #[test]
    fn the_roots_type_decides() {
        let begun = facts(Some(IN_PROGRESS));
        let record = begun.disks[0].journal.clone().unwrap();
        assert_eq!(state(&begun, ARMING), State::InProgress(record.clone()));
        assert_eq!(state(&facts(Some(PartitionType::Root.guid())), ARMING), State::Committed(record.clone()));
        assert_eq!(state(&facts(None), ARMING), State::InProgress(record));
    }

    #[test]
    fn a_package_install_is_committed_by_its_record() {
        // As anaconda leaves it: the type is one of its own, the install is not whole.
        let mut facts = facts(Some(PartitionType::Linux.guid()));
        let record = facts.disks[0].journal.as_mut().unwrap();
        record.image = None;
        assert!(matches!(state(&facts, ARMING), State::InProgress(_)));
        facts.disks[0].journal.as_mut().unwrap().committed = true;
        assert!(matches!(state(&facts, ARMING), State::Committed(_)));
        facts.disks[0].table.as_mut().unwrap().partitions.clear();
        assert!(matches!(state(&facts, ARMING), State::InProgress(_)), "its root is gone");
    }

    #[test]
    fn a_root_on_kept_partitions_is_committed_by_its_record() {
        let mut facts = facts(Some(PARTITION));
        assert!(matches!(state(&facts, ARMING), State::InProgress(_)));
        facts.disks[0].journal.as_mut().unwrap().committed = true;
        assert!(matches!(state(&facts, ARMING), State::Committed(_)));
    }

    #[test]
    fn each_disk_speaks_for_itself() {
        let (begun, whole) = (facts(Some(IN_PROGRESS)), facts(Some(PartitionType::Root.guid())));
        // The first attempt was cut off, and the next one went to another disk.
        let mut both = begun.clone();
        both.disks.extend(whole.disks.clone());
        assert!(matches!(state(&both, ARMING), State::Committed(_)));
        // A root of that GUID on a disk without the record is not what the record is about.
        let mut apart = begun;
        apart.disks.insert(0, Disk { journal: None, ..whole.disks[0].clone() });
        assert!(matches!(state(&apart, ARMING), State::InProgress(_)));
    }

    #[test]
    fn another_arming_is_none() {
        assert_eq!(state(&facts(Some(IN_PROGRESS)), Uuid::from_u128(9)), State::None);
    }
}
