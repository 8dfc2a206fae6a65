//! What is done in the root that anaconda made, and the commit.

use std::collections::BTreeSet;

use nii::Finding;
use nii::v1::{Device, Format, Storage, StorageMode};

use super::{Inputs, scripts};
use crate::configure::{accounts, file_with_mode, identity, run, selinux};
use crate::facts::{self, JournalRecord};
use crate::install::{Plan, Stage};
use crate::journal;
use crate::op::{Act, Content, Guard, Op, PartitionRef};
use crate::profile::{PATH, profile};

/// Nobody else's, also on a file system that is kept.
const OWN: &str = "/var/lib/camphor";

/// The plan of what follows anaconda's own work: `configure`, `post-scripts`, `first-boot`, `label`, `commit`.
///
/// # Errors
/// Every reason why it cannot be, warnings too; at least one is an error.
pub fn finish(inputs: &Inputs<'_>) -> Result<Plan, Vec<Finding>> {
    let mut findings = Vec::new();
    let out = &mut findings;
    let scripts = &inputs.nii.scripts;
    let mut stages = vec![
        Stage { step: "configure", ops: configure(inputs, out) },
        Stage { step: "post-scripts", ops: scripts::post(scripts) },
        Stage { step: "first-boot", ops: scripts::first_boot(scripts) },
    ];
    let label = label(inputs, &stages);
    stages.push(Stage { step: "label", ops: label });
    stages.push(Stage { step: "commit", ops: commit(inputs, out) });
    if findings.iter().any(Finding::is_error) {
        return Err(findings);
    }
    Ok(Plan { stages, warnings: findings })
}

fn configure(inputs: &Inputs<'_>, out: &mut Vec<Finding>) -> Vec<Op> {
    let nii = inputs.nii;
    let text = Content::Text(profile(nii, inputs.head));
    let mut ops =
        vec![file_with_mode(PATH, text, 0o644, "the site's scripts read the NII's attributes there")];
    ops.extend(accounts::ops(nii, out));
    let hashes = nii.secrets.as_ref().map(|secrets| &secrets.user_password_hashes);
    for user in nii.package.iter().flat_map(|package| &package.users) {
        let hash = hashes.and_then(|hashes| hashes.get(&user.name)).cloned();
        let reason = if hash.is_some() { "the NII's password" } else { "the NII has no password for it" };
        ops.push(Op::new(Act::SetPassword { user: user.name.clone(), hash }, reason));
    }
    ops.extend(identity::time(&nii.locale, false));
    ops
}

/// What anaconda's own relabelling (post-scripts/80-setfilecons) leaves out, and what `written` put there after it. On a
/// file system that is kept only the latter: its labels are the site's, and walking it may take hours.
fn label(inputs: &Inputs<'_>, written: &[Stage]) -> Vec<Op> {
    let storage = &inputs.nii.storage;
    let mut paths = ["/etc", "/root", "/home", "/opt", "/srv", OWN].map(str::to_owned).to_vec();
    // Mount points of the site's own: anaconda knows of none.
    let known = ["/", "/boot", "/usr", "/var", "/tmp"];
    let unix = storage.filesystems.iter().filter(|f| ![Format::Vfat, Format::Swap].contains(&f.format));
    for mount in unix.filter_map(|f| f.mount.as_ref()) {
        let is_known = |top: &&str| mount == *top || (*top != "/" && is_below(mount, top));
        if !known.iter().any(is_known) && !paths.contains(mount) {
            paths.push(mount.clone());
        }
    }
    paths.retain(|path| path == OWN || !is_kept(storage, path));
    let written = written.iter().flat_map(|stage| &stage.ops).filter_map(|op| target(&op.act));
    let written: BTreeSet<String> = written.map(|path| format!("/{path}")).collect();
    paths.extend(written.into_iter().filter(|path| is_kept(storage, path) && !is_below(path, OWN)));
    let contexts = format!("/{}", selinux::CONTEXTS);
    let one = |path: &String| {
        let op =
            run(&["setfiles", "-F", &contexts, path], "files that were written need the policy's labels");
        op.when(Guard::has(selinux::CONTEXTS).and("sbin/setfiles").and(path.trim_start_matches('/')))
    };
    paths.iter().map(one).collect()
}

/// Whether a path is on a file system that is kept: that of the longest mount point above it. setfiles(8) does not cross
/// into others.
fn is_kept(storage: &Storage, path: &str) -> bool {
    let mounted = storage.filesystems.iter().filter_map(|f| Some((f.mount.as_deref()?, f.preserve)));
    let above = mounted.filter(|(mount, _)| path == *mount || is_below(path, mount));
    above.max_by_key(|(mount, _)| mount.len()).is_some_and(|(_, preserve)| preserve)
}

/// Whether an absolute path is below a folder.
fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/') && rest != "/")
}

/// The file or folder that an act makes in the root.
fn target(act: &Act) -> Option<&str> {
    match act {
        Act::WriteFile { path, .. } | Act::Mkdir { path, .. } | Act::Symlink { path, .. } => Some(path),
        Act::Deliver { to, .. } | Act::CopyFile { to, .. } => Some(to),
        _ => None,
    }
}

/// Everything is on the disk before anything says so; the record comes last, and is what counts.
fn commit(inputs: &Inputs<'_>, out: &mut Vec<Finding>) -> Vec<Op> {
    let mut ops = vec![Op::new(Act::Sync, "what is committed must be on the disk")];
    if inputs.nii.storage.mode == StorageMode::Anaconda {
        return ops;
    }
    let Some((disk, record)) = own_disk(inputs) else {
        let message =
            "no disk has the journal of this install any more: something else partitioned the disks";
        out.push(Finding::error("storage", message));
        return ops;
    };
    let entries = disk.table.iter().flat_map(|table| &table.partitions);
    let reference = |entry: &facts::TableEntry| PartitionRef {
        disk: disk.path.clone(),
        number: entry.number,
        guid: entry.guid,
    };
    let root = entries.clone().find(|entry| entry.guid == record.root).map(reference);
    let journal = entries.clone().find(|entry| entry.kind == journal::PARTITION).map(reference);
    let (Some(root), Some(journal)) = (root, journal) else {
        out.push(Finding::error("storage", format!("the root partition is not on {} any more", disk.path)));
        return ops;
    };
    let storage = &inputs.nii.storage;
    let device = storage.mounted_at("/").and_then(|root| storage.device(&root.device));
    if let Some(Device::Partition(_, partition)) = device {
        let act = Act::SetPartitionType { partition: root, kind: partition.kind.guid() };
        ops.push(Op::new(act, "the root is whole, and of the type that the NII says"));
    }
    let record = JournalRecord { attempt: inputs.attempt, committed: true, ..record.clone() };
    ops.push(Op::new(Act::WriteJournal { partition: journal, record }, "the install is whole"));
    ops
}

/// The disk whose journal is of this arming.
fn own_disk<'a>(inputs: &Inputs<'a>) -> Option<(&'a facts::Disk, &'a JournalRecord)> {
    let own = |disk: &'a facts::Disk| {
        let record = disk.journal.as_ref().filter(|record| record.arming == inputs.arming)?;
        Some((disk, record))
    };
    inputs.facts.disks.iter().find_map(own)
}
