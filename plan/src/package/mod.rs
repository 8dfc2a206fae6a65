//! The plans of a package install: what is done before stock anaconda runs ([`prepare`]), and in the root that it made
//! ([`finish`]). The kickstart between the two is [`crate::kickstart`]'s.
//!
//! A package install is committed by its journal's record, not by the root's type: anaconda gives a partition that it
//! formats the type of its format, long before the install is whole.

mod finish;
mod scripts;

use nii::v1::{Device, InstallType, Storage, StorageMode};
use nii::{Finding, Nii};
use uuid::Uuid;

use crate::complete;
use crate::disks::{self, Planned};
use crate::facts::{Facts, JournalRecord};
use crate::install::{Plan, Stage};
use crate::op::{Act, Op};
use crate::stack::{self, Stack, below};
use crate::table::Marks;
use crate::{bootloader, filesystems, journal, partition, wipe};

pub use finish::finish;
pub use scripts::{SCRIPTS, script_path};

/// All that the plans are made from.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The machine: before it was partitioned for [`prepare`], as it is now for [`finish`].
    pub facts: &'a Facts,
    /// What it is to become; validated.
    pub nii: &'a Nii,
    /// The admin's act: GUIDs derive from it.
    pub arming: Uuid,
    /// This try.
    pub attempt: Uuid,
    /// URL of the head node, for the site's scripts; none if an old Kusu head node says it in the NII's attributes.
    pub head: Option<&'a str>,
}

/// What is done to the disks before anaconda runs, as the stage `partition`: their tables, then the journal. No ops where
/// anaconda partitions; the disks are looked for all the same.
///
/// # Errors
/// Every reason why it cannot be, warnings too; at least one is an error.
pub fn prepare(inputs: &Inputs<'_>) -> Result<Plan, Vec<Finding>> {
    let document = complete::document(inputs.facts, inputs.nii);
    let inputs = &Inputs { nii: &document, ..*inputs };
    let Inputs { facts, nii, arming, .. } = *inputs;
    let mut findings = Vec::new();
    let out = &mut findings;
    machine(inputs, out);
    kept(&nii.storage, out);
    let ours = nii.storage.mode == StorageMode::Camphor;
    let marks = if ours { marks(&nii.storage) } else { Marks::default() };
    if !ours {
        wipe::not_by_anaconda(&nii.storage, out);
    }
    let disks = disks::plan(facts, &nii.storage, arming, marks, out);
    if ours {
        let stack = Stack { storage: &nii.storage, disks: &disks, facts, arming };
        stack::check::kept(&stack, out);
        filesystems::check_kept(&stack, out);
        bootloader::check_kept(&disks, out);
    }
    let ops = if ours { partition(inputs, &disks, marks, out) } else { Vec::new() };
    if findings.iter().any(Finding::is_error) {
        return Err(findings);
    }
    Ok(Plan { stages: vec![Stage { step: "partition", ops }], warnings: findings })
}

/// The machine once the plan of [`prepare`] was carried out: what [`finish`] would see.
pub fn after(facts: &Facts, plan: &Plan) -> Facts {
    let mut facts = facts.clone();
    for op in plan.ops("partition") {
        match &op.act {
            Act::WriteTable { disk, table, .. } => {
                let written = facts.disks.iter_mut().filter(|found| found.path == *disk);
                written.for_each(|found| found.table = Some(table.clone()));
            }
            Act::WriteJournal { partition, record } => {
                let written = facts.disks.iter_mut().filter(|found| found.path == partition.disk);
                written.for_each(|found| found.journal = Some(record.clone()));
            }
            _ => {}
        }
    }
    facts
}

fn machine(inputs: &Inputs<'_>, out: &mut Vec<Finding>) {
    let Inputs { facts, nii, .. } = inputs;
    if nii.install.kind != InstallType::Package {
        out.push(Finding::error("install.type", "is not `package`; images are installed by our own initrd"));
    }
    match &nii.package {
        None => out.push(Finding::error("package", "is absent: a package install needs it")),
        Some(package) if package.os.arch != facts.arch => {
            let message = format!("is `{}`, this machine is {}", package.os.arch, facts.arch);
            out.push(Finding::error("package.os.arch", message));
        }
        Some(_) => {}
    }
}

/// Whoever keeps an array, a group, a volume or a file system keeps every partition below it.
fn kept(storage: &Storage, out: &mut Vec<Finding>) {
    let mut check = |path: String, what: &str, device: &str| {
        for label in below(storage, device) {
            if storage.partition(label).is_some_and(|(_, partition)| !partition.preserve) {
                let message = format!(
                    "{what} is to be kept, but partition `{label}` below it is not; set its `preserve`"
                );
                out.push(Finding::error(path.clone(), message));
            }
        }
    };
    for (i, raid) in storage.raid.iter().enumerate().filter(|(_, raid)| raid.preserve) {
        check(format!("storage.raid[{i}].preserve"), &format!("array `{}`", raid.name), &raid.name);
    }
    for (i, group) in storage.volume_groups.iter().enumerate().filter(|(_, group)| group.preserve) {
        for device in &group.devices {
            check(format!("storage.volume_groups[{i}].preserve"), &format!("group `{}`", group.name), device);
        }
    }
    for (i, filesystem) in storage.filesystems.iter().enumerate().filter(|(_, f)| f.preserve) {
        let what = format!("the file system on `{}`", filesystem.device);
        check(format!("storage.filesystems[{i}].preserve"), &what, &filesystem.device);
    }
}

/// The journal goes to the disk that the root begins on. A root that is a partition is marked, too.
pub(crate) fn marks(storage: &Storage) -> Marks<'_> {
    let Some(root) = storage.mounted_at("/").map(|root| root.device.as_str()) else {
        return Marks::default();
    };
    let in_progress = match storage.device(root) {
        Some(Device::Partition(_, partition)) => Some(partition.label.as_str()),
        _ => None,
    };
    Marks { journal: below(storage, root).first().copied(), in_progress }
}

/// The tables and the journal.
fn partition(
    inputs: &Inputs<'_>,
    disks: &[Planned<'_>],
    marks: Marks<'_>,
    out: &mut Vec<Finding>,
) -> Vec<Op> {
    let journal = disks.iter().find_map(|planned| {
        let (partition, _) = planned.partition(journal::LABEL)?;
        let (root, _) = planned.partition(marks.journal?)?;
        let record = JournalRecord {
            version: 1,
            node: inputs.nii.node.name.clone(),
            arming: inputs.arming,
            attempt: inputs.attempt,
            root: root.guid,
            image: None,
            committed: false,
        };
        Some(Act::WriteJournal { partition, record })
    });
    // A disk that was not found has a finding already.
    if journal.is_none() && !out.iter().any(Finding::is_error) {
        out.push(Finding::error("storage.filesystems", "a node needs a file system mounted at `/`"));
    }
    let journal = journal.map(|act| Op::new(act, "the next boot must know whose install this is"));
    partition::ops(inputs.facts, &inputs.nii.storage, disks, (Vec::new(), journal), out)
}
