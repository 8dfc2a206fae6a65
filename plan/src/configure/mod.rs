//! What makes an unpacked image this node: every file that camphor writes into the root, except for the boot loader's.
//!
//! Debian-family and Red-Hat-family trees differ; what cannot be known before unpacking is decided by guards, which
//! the plan shows. One file here per subject; the order is in [`ops`].

pub(crate) mod accounts;
pub(crate) mod identity;
pub(crate) mod initramfs;
mod network;
pub(crate) mod selinux;
pub(crate) mod storage;

use nii::Finding;
use nii::v1::After;

use crate::filesystems::Placed;
use crate::ids::{self, Kind};
use crate::install::Inputs;
use crate::network::{Found, find};
use crate::op::{Act, Content, Op};
use crate::stack::Stack;

/// The programs that the hand-off tries as the root's init; it has the same list.
const INITS: &[&str] =
    &["sbin/init", "usr/lib/systemd/systemd", "lib/systemd/systemd", "etc/init", "bin/init"];

/// What the files are made from.
pub(crate) struct Context<'a> {
    pub inputs: &'a Inputs<'a>,
    /// The file systems; none for a root in RAM.
    pub placed: &'a [Placed<'a>],
    /// What they are on; none for a root in RAM.
    pub stack: Option<Stack<'a>>,
    /// The interfaces of the NII.
    pub nics: Vec<Found<'a>>,
}

impl<'a> Context<'a> {
    /// Of a node with disks.
    pub fn new(
        inputs: &'a Inputs<'a>,
        stack: Stack<'a>,
        placed: &'a [Placed<'a>],
        out: &mut Vec<Finding>,
    ) -> Self {
        Self { placed, stack: Some(stack), ..Self::in_ram(inputs, out) }
    }

    /// Of a node whose root is in RAM.
    pub fn in_ram(inputs: &'a Inputs<'a>, out: &mut Vec<Finding>) -> Self {
        Self { inputs, placed: &[], stack: None, nics: find(inputs.facts, inputs.nii, out) }
    }

    /// The machine's id, machine-id(5).
    pub fn machine_id(&self) -> String {
        ids::of(self.inputs.arming, Kind::Machine, &self.inputs.nii.node.name).simple().to_string()
    }

    pub fn is_disked(&self) -> bool {
        self.stack.is_some()
    }

    pub fn mounted_at(&self, path: &str) -> Option<&Placed<'a>> {
        self.placed.iter().find(|placed| placed.is_at(path))
    }
}

/// A public text file of root, mode 0644.
pub(crate) fn file(path: &str, text: impl Into<String>, reason: impl Into<String>) -> Op {
    file_with_mode(path, Content::Text(text.into()), 0o644, reason)
}

/// A file of root.
pub(crate) fn file_with_mode(path: &str, content: Content, mode: u32, reason: impl Into<String>) -> Op {
    Op::new(Act::WriteFile { path: path.into(), content, mode, uid: 0, gid: 0 }, reason)
}

/// A program in the new root.
pub(crate) fn run(argv: &[&str], reason: impl Into<String>) -> Op {
    Op::new(Act::Run { argv: argv.iter().map(ToString::to_string).collect() }, reason)
}

/// A switch into a root without an init could not be taken back, and comes after the commit.
fn init(context: &Context<'_>) -> Option<Op> {
    let switches = !context.is_disked() || context.inputs.nii.install.after == After::SwitchRoot;
    let act = Act::Require {
        any: INITS.iter().map(ToString::to_string).collect(),
        missing: "the image has no init; install systemd-sysv (Debian) or systemd (Red Hat) in it".into(),
    };
    switches.then(|| Op::new(act, "the hand-off starts it"))
}

/// All ops of the step `configure`.
pub(crate) fn ops(context: &Context<'_>, out: &mut Vec<Finding>) -> Vec<Op> {
    let mut ops: Vec<Op> = init(context).into_iter().collect();
    ops.push(Op::new(Act::MountKernelFs, "programs of the image need /dev, /proc and /sys"));
    ops.extend(identity::ops(context));
    ops.extend(storage::ops(context));
    ops.extend(network::ops(context));
    ops.extend(accounts::ops(context.inputs.nii, out));
    if context.is_disked() {
        ops.extend(initramfs::ops(context));
    } else {
        ops.extend(selinux::ops(context));
    }
    ops
}
