//! Whether an install is whole, by what is on the disks.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use host::Machine;
use host::journal::{self, State};
use host::linux::processes;
use nii::v1::Format;
use plan::facts::Facts;
use plan::op::{BlockDevice, StackAct};
use plan::stack::tools;
use plan::{Act, Op, Plan};
use uuid::Uuid;

use crate::cases::Case;
use crate::kept::Keeper;
use crate::worker::{self, Tell};

/// Where the installed file systems are mounted for a look.
const ROOT: &str = "/check";

/// Looks at everything; says `kept DIGEST` of what was to be kept.
pub fn run(case: &Case, arming: Uuid) -> Result<()> {
    let mut machine = worker::machine(ROOT)?;
    let facts = machine.facts(&mut Tell)?;
    let state = journal::state(&facts, arming);
    ensure!(matches!(state, State::Committed(_)), "the disks say {state:?}");
    let plan = worker::plan(case, &facts, arming, Uuid::nil())?;
    plan.ops("format").iter().try_for_each(|op| start(op, &mut machine))?;
    for op in plan.ops("format") {
        filesystem(op, &facts)?;
    }
    for op in read_only(&plan) {
        machine.apply(&op, &mut Tell)?;
    }
    let whole = files_are_there(case);
    machine.apply(&Op::new(Act::Unmount, "it was looked at"), &mut Tell)?;
    whole?;
    if !case.entry.kept.is_empty() {
        println!("kept {}", Keeper { case, facts: &facts, plan: &plan, machine: &mut machine }.digests()?);
    }
    Ok(())
}

/// Starts what the op makes or needs below the file systems.
fn start(op: &Op, machine: &mut dyn Machine) -> Result<()> {
    let Act::Stack(act) = &op.act else { return Ok(()) };
    let act = match act.clone() {
        StackAct::MakeArray { array, devices, .. } => {
            StackAct::StartArray { array, devices, read_only: false }
        }
        StackAct::MakeGroup { group, devices, .. } | StackAct::CheckGroup { group, devices, .. } => {
            return activate(&group, &devices, machine);
        }
        start @ (StackAct::StartArray { .. } | StackAct::OpenLuks { .. }) => start,
        _ => return Ok(()),
    };
    machine.apply(&Op::new(Act::Stack(act), "to look at what is on it"), &mut Tell)?;
    Ok(())
}

/// Starts a group, with the same view of the devices as in an install, which itself starts none.
pub fn activate(group: &str, devices: &[BlockDevice], machine: &mut dyn Machine) -> Result<()> {
    // No modprobe is here that LVM could ask.
    let thin = Act::LoadModule { name: "dm_thin_pool".into(), options: String::new() };
    machine.apply(&Op::new(thin, "the group may have thin volumes"), &mut Tell)?;
    let mut argv = tools::is_group(group, devices);
    argv.splice(1..3, ["vgchange".to_owned(), "--activate=y".to_owned()]);
    processes::run(&argv, &mut Quiet)
}

/// The plan's mounts, from which nothing is changed.
fn read_only(plan: &Plan) -> Vec<Op> {
    let mount = |op: &Op| match &op.act {
        Act::Mount { device, format, path, options } => {
            let (device, format, path, mut options) =
                (device.clone(), *format, path.clone(), options.clone());
            options.push("ro".into());
            Some(Op::new(Act::Mount { device, format, path, options }, "to look at it"))
        }
        _ => None,
    };
    plan.ops("format").iter().filter_map(mount).collect()
}

/// What was to be made is there with its ids, and its checker finds nothing wrong.
fn filesystem(op: &Op, facts: &Facts) -> Result<()> {
    let Act::Mkfs { device, format, uuid, .. } = &op.act else { return Ok(()) };
    if let BlockDevice::Partition(partition) = device {
        let disk = facts.disks.iter().find(|disk| disk.path == partition.disk).context("the disk is gone")?;
        let found = disk.contents.iter().find(|content| content.partition == Some(partition.number));
        let found = found.with_context(|| format!("{} holds nothing", partition.path()))?;
        let (wanted, uuid) = (format.name(), plan::filesystem_text(*format, *uuid));
        ensure!(
            found.kind == wanted && found.uuid.as_ref() == Some(&uuid),
            "{} holds {found:?}, not {wanted} {uuid}",
            partition.path()
        );
    }
    let checker: &[&str] = match format {
        Format::Ext4 => &["fsck.ext4", "-n", "-f"],
        Format::Xfs => &["xfs_repair", "-n"],
        Format::Btrfs => &["btrfs", "check", "--readonly"],
        Format::Vfat => &["fsck.vfat", "-n"],
        Format::Swap | Format::Tmpfs => return Ok(()),
    };
    let mut argv: Vec<String> = checker.iter().map(ToString::to_string).collect();
    argv.push(device.path());
    processes::run(&argv, &mut Quiet)
}

fn files_are_there(case: &Case) -> Result<()> {
    for (path, text) in worker::files(case) {
        let path = Path::new(ROOT).join(path);
        let found = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        ensure!(found == text, "{} holds {found:?}", path.display());
    }
    Ok(())
}

/// Checkers say much when all is well; their last lines are in the error when it is not.
struct Quiet;

impl host::Watch for Quiet {
    fn progress(&mut self, _: u64, _: u64) {}
    fn log(&mut self, _: &str) {}
}
