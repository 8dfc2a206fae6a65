//! The tables of contents: what the installer does before anaconda's own work and after it, in this order. One file a
//! step; those that only carry out their part of a plan are here.

mod clock;
mod inspect;
mod kickstart;
#[cfg(test)]
mod kusu_tests;
mod nii;
mod preflight;
mod report;
mod salvage;
mod scripts;
mod session;
#[cfg(test)]
mod tests;

use std::time::Duration;

use anyhow::Result;
use host::runner::Part;
use host::{Step, keep};

use crate::context::Ctx;

/// What `prepare` does, in the initrd.
pub const PREPARE: &[Step<Ctx>] = &[
    Step {
        name: "session",
        about: "ask the head node for the time, and trade the token for a session",
        deadline: Duration::MAX,
        run: session::run,
        when: always,
    },
    Step {
        name: "nii",
        about: "get the document that says what this node is to become",
        deadline: seconds(600),
        run: nii::run,
        when: always,
    },
    Step {
        name: "clock",
        about: "set the clock by the head node's signed time",
        deadline: seconds(30),
        run: clock::run,
        when: is_told_the_time,
    },
    Step {
        name: "preflight",
        about: "look at the machine, plan the disks, make the kickstart; nothing is touched",
        deadline: seconds(300),
        run: preflight::run,
        when: always,
    },
    Step {
        name: "salvage",
        about: "save the SSH host keys of the old system, and leave them with the head node",
        deadline: seconds(300),
        run: salvage::run,
        when: keeps,
    },
    Step {
        name: "scripts",
        about: "fetch the site's scripts and check them",
        deadline: seconds(600),
        run: scripts::run,
        when: to_do,
    },
    Step {
        name: "partition",
        about: "write the partition tables and the journal",
        deadline: seconds(180),
        run: partition,
        when: partitions,
    },
    Step {
        name: "kickstart",
        about: "write the kickstart",
        deadline: seconds(30),
        run: kickstart::run,
        when: to_do,
    },
    Step {
        name: "report",
        about: "tell the head node of an install that an earlier boot committed",
        deadline: seconds(180),
        run: report::run,
        when: committed,
    },
];

/// The step between the two tables, which is not ours; its default deadline.
pub const ANACONDA: (&str, Duration) = ("anaconda", seconds(3 * 3600));

/// What `finish` does, in the root that anaconda made.
pub const FINISH: &[Step<Ctx>] = &[
    Step {
        name: "inspect",
        about: "look at what anaconda made, and plan the rest",
        deadline: seconds(120),
        run: inspect::run,
        when: always,
    },
    Step {
        name: "configure",
        about: "make the root this node's own: keys, accounts, time",
        deadline: seconds(300),
        run: configure,
        when: always,
    },
    Step {
        name: "post-scripts",
        about: "run the site's scripts in the root",
        deadline: seconds(3600),
        run: post_scripts,
        when: always,
    },
    Step {
        name: "first-boot",
        about: "leave the scripts of the first boot",
        deadline: seconds(60),
        run: first_boot,
        when: always,
    },
    Step {
        name: "label",
        about: "label what anaconda does not (SELinux)",
        deadline: seconds(900),
        run: label,
        when: always,
    },
    Step {
        name: "commit",
        about: "write everything out and mark the install as done",
        deadline: seconds(600),
        run: commit,
        when: always,
    },
    Step {
        name: "report",
        about: "tell the head node",
        // Where a lost report is made up for it ends by itself, after a minute.
        deadline: Duration::MAX,
        run: report::run,
        when: always,
    },
];

/// The steps of a whole install.
const ALL: u32 = (PREPARE.len() + 1 + FINISH.len()) as u32;

/// The place of `prepare` in the install.
pub const PREPARE_PART: Part = Part { before: 0, of: ALL };
/// The place of anaconda.
pub const ANACONDA_PART: Part = Part { before: PREPARE.len() as u32, of: ALL };
/// The place of `finish`.
pub const FINISH_PART: Part = Part { before: PREPARE.len() as u32 + 1, of: ALL };

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn always(_: &Ctx) -> bool {
    true
}

/// An old Kusu head node signs none.
fn is_told_the_time(ctx: &Ctx) -> bool {
    ctx.session.is_some()
}

fn committed(ctx: &Ctx) -> bool {
    ctx.committed
}

fn to_do(ctx: &Ctx) -> bool {
    !ctx.committed
}

fn partitions(ctx: &Ctx) -> bool {
    to_do(ctx) && ctx.partitions()
}

fn keeps(ctx: &Ctx) -> bool {
    let keeps = |nii: &::nii::Nii| nii.root.ssh_host_keys == ::nii::v1::HostKeys::Keep;
    to_do(ctx) && ctx.nii.as_ref().is_some_and(keeps)
}

/// `partition`: the first destructive ops.
fn partition(ctx: &mut Ctx) -> Result<()> {
    ctx.carry_out("partition")
}

fn configure(ctx: &mut Ctx) -> Result<()> {
    ctx.carry_out("configure")?;
    keep::report(&mut *ctx.machine, &ctx.reporter, &ctx.tracker);
    Ok(())
}

fn post_scripts(ctx: &mut Ctx) -> Result<()> {
    ctx.carry_out("post-scripts")
}

fn first_boot(ctx: &mut Ctx) -> Result<()> {
    ctx.carry_out("first-boot")
}

fn label(ctx: &mut Ctx) -> Result<()> {
    ctx.carry_out("label")
}

/// `commit`: from here on the install counts.
fn commit(ctx: &mut Ctx) -> Result<()> {
    ctx.carry_out("commit")
}
