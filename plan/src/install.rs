//! The complete plan of an image install, made before anything is destroyed.
//!
//! [`disked`] and [`diskless`] look at everything that can be known and return all findings at once; a plan they
//! return has no choice left in it but the guards that its ops show.

use nii::manifest::Manifest;
use nii::v1::After;
use nii::{Finding, Nii};
use serde::Serialize;
use uuid::Uuid;

use crate::configure::{self, Context};
use crate::disks::{self, Planned};
use crate::facts::{Facts, JournalRecord};
use crate::filesystems;
use crate::op::{Act, Op, PartitionRef};
use crate::preflight::{self, RamRoot};
use crate::stack::room::Sizes;
use crate::stack::{self, Stack};
use crate::table::Marks;
use crate::{bootloader, complete, journal, partition};

/// All that a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The machine.
    pub facts: &'a Facts,
    /// What it is to become; validated.
    pub nii: &'a Nii,
    /// The image that [`Nii::image`] pins; its signature was checked.
    pub manifest: &'a Manifest,
    /// The admin's act: GUIDs and UUIDs derive from it, so that every attempt makes the same.
    pub arming: Uuid,
    /// This try.
    pub attempt: Uuid,
}

/// A plan: the stages in their order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// One for each step of the program that changes the machine.
    pub stages: Vec<Stage>,
    /// What is worth a look and stops nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Finding>,
}

/// The ops of one step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stage {
    /// Name of the step: `partition`, `format`, `unpack`, `configure`, `bootloader`, `commit`.
    pub step: &'static str,
    /// What it does, in order.
    pub ops: Vec<Op>,
}

impl Plan {
    /// The ops of a step; none if the plan has no such stage.
    pub fn ops(&self, step: &str) -> &[Op] {
        self.stages.iter().find(|stage| stage.step == step).map_or(&[], |stage| &stage.ops)
    }
}

/// The plan of a node that runs from its own disks: `partition`, `format`, `unpack`, `configure`, `bootloader`,
/// `commit`.
///
/// # Errors
/// Every reason why it cannot be, warnings too; at least one is an error.
pub fn disked(inputs: &Inputs<'_>) -> Result<Plan, Vec<Finding>> {
    let nii = complete::document(inputs.facts, inputs.nii);
    let inputs = &Inputs { nii: &nii, ..*inputs };
    let mut findings = Vec::new();
    let out = &mut findings;
    preflight::common(inputs, out);
    preflight::disked(inputs, out);
    let Inputs { facts, nii, arming, .. } = *inputs;
    let storage = &nii.storage;
    let below_root =
        storage.mounted_at("/").map_or_else(Vec::new, |root| stack::below(storage, &root.device));
    let marks = Marks::of_root(below_root.first().copied());
    let disks = disks::plan(facts, storage, arming, marks, out);
    let stack = Stack { storage, disks: &disks, facts, arming };
    Sizes { storage, disks: &disks }.check(out);
    let mut format = stack::ops::ops(&stack, nii);
    let tried = stack::ops::passphrases(&stack, nii);
    let looks = stack::ops::looks(&stack, nii);
    stack::check::check(&stack, nii, [&tried, &looks, &format], out);
    let placed = filesystems::place(inputs, &stack);
    filesystems::check_kept(&stack, out);
    filesystems::check(inputs, &placed, out);
    bootloader::check(inputs, &stack, &placed, out);
    let context = Context::new(inputs, stack, &placed, out);
    let configure = configure::ops(&context, out);
    let Some(root) = root(&context) else {
        // Validation asks for one: without it, its disk was not found.
        return Err(findings);
    };
    format.extend(filesystems::ops(inputs, &stack, &placed));
    let mut partition = partition(inputs, &disks, &root, looks, out);
    partition.splice(0..0, tried);
    let commit = commit(&context, &disks, root, &format);
    let stages = vec![
        Stage { step: "partition", ops: partition },
        Stage { step: "format", ops: format },
        Stage { step: "unpack", ops: unpack(inputs) },
        Stage { step: "configure", ops: configure },
        Stage { step: "bootloader", ops: bootloader::ops(&context, &stack) },
        Stage { step: "commit", ops: commit },
    ];
    finish(stages, findings)
}

/// The plan of a node that runs from RAM: `format`, `unpack`, `configure`.
///
/// # Errors
/// Every reason why it cannot be, warnings too; at least one is an error.
pub fn diskless(inputs: &Inputs<'_>) -> Result<Plan, Vec<Finding>> {
    let mut findings = Vec::new();
    let out = &mut findings;
    preflight::common(inputs, out);
    let RamRoot { size, inodes } = preflight::diskless(inputs, out);
    let context = Context::in_ram(inputs, out);
    let tmpfs = Op::new(Act::MountTmpfs { size, inodes }, "the node runs from RAM");
    let stages = vec![
        Stage { step: "format", ops: vec![tmpfs] },
        Stage { step: "unpack", ops: unpack(inputs) },
        Stage { step: "configure", ops: configure::ops(&context, out) },
    ];
    finish(stages, findings)
}

fn finish(stages: Vec<Stage>, findings: Vec<Finding>) -> Result<Plan, Vec<Finding>> {
    if findings.iter().any(Finding::is_error) {
        Err(findings)
    } else {
        Ok(Plan { stages, warnings: findings })
    }
}

/// The partition that says how far the install is, and its type at the end: the root, or the first of those that it is made
/// of. Where that one is kept, and stays as it is, the journal's record says it: without a type.
struct Root {
    partition: PartitionRef,
    kind: Option<Uuid>,
}

fn root(context: &Context<'_>) -> Option<Root> {
    let stack = context.stack.as_ref()?;
    let device = &context.mounted_at("/")?.wanted.device;
    let (planned, partition) = stack.below(device).into_iter().next()?;
    if partition.preserve {
        let partition = stack.partition(journal::LABEL)?;
        return Some(Root { partition, kind: None });
    }
    let (reference, _) = planned.partition(&partition.label)?;
    Some(Root { partition: reference, kind: Some(partition.kind.guid()) })
}

/// The journal's record and its place.
fn record(inputs: &Inputs<'_>, disks: &[Planned<'_>], root: &Root, committed: bool) -> Option<Act> {
    let (partition, _) = disks.iter().find_map(|planned| planned.partition(journal::LABEL))?;
    let record = JournalRecord {
        version: 1,
        node: inputs.nii.node.name.clone(),
        arming: inputs.arming,
        attempt: inputs.attempt,
        root: root.partition.guid,
        image: Some(inputs.nii.image.as_ref()?.manifest),
        committed,
    };
    Some(Act::WriteJournal { partition, record })
}

/// The tables and the journal: from then on the root's type says that it is not to be booted.
fn partition(
    inputs: &Inputs<'_>,
    disks: &[Planned<'_>],
    root: &Root,
    looks: Vec<Op>,
    out: &mut Vec<Finding>,
) -> Vec<Op> {
    let journal = record(inputs, disks, root, false);
    let journal = journal.map(|act| Op::new(act, "the next boot must know whose install this is"));
    partition::ops(inputs.facts, &inputs.nii.storage, disks, (looks, journal), out)
}

fn unpack(inputs: &Inputs<'_>) -> Vec<Op> {
    let one = |image: &nii::v1::Image| {
        let act = Act::Unpack { manifest: image.manifest, sources: image.sources.clone() };
        Op::new(act, format!("the node is to be image `{}`", image.name))
    };
    inputs.nii.image.iter().map(one).collect()
}

/// Everything is on the disk before the root's type says so. The root stays mounted only for a switch into it: GRUB on
/// BIOS cannot replay the logs that a mounted file system leaves behind.
fn commit(context: &Context<'_>, disks: &[Planned<'_>], root: Root, made: &[Op]) -> Vec<Op> {
    let after = context.inputs.nii.install.after;
    let mut ops = Vec::new();
    if after == After::Kexec {
        ops.extend(bootloader::load_kernel(context));
    }
    ops.push(Op::new(Act::Sync, "what is committed must be on the disk"));
    if after != After::SwitchRoot {
        ops.push(Op::new(Act::Unmount, "boot loaders cannot replay file system logs"));
        ops.extend(stack::ops::stop(made, "nothing of it is left to be written"));
    }
    let act = match root.kind {
        Some(kind) => Some(Act::SetPartitionType { partition: root.partition, kind }),
        None => record(context.inputs, disks, &root, true),
    };
    ops.extend(act.map(|act| Op::new(act, "the install is whole")));
    ops
}
