//! Labels of the files that camphor wrote (CONTRACTS: images).

use nii::v1::Format;

use super::{Context, file, run};
use crate::op::{Guard, Op};

/// The policy's labels, by path.
pub(crate) const CONTEXTS: &str = "etc/selinux/targeted/contexts/files/file_contexts";

/// setfiles(8) labels by the root's own policy, also where the running kernel has none; it does not cross into other
/// file systems, so each is named. Without it the first boot must relabel, which a root in RAM cannot: it would forget
/// that it did, and reboot for ever.
pub(crate) fn ops(context: &Context<'_>) -> Vec<Op> {
    let contexts = format!("/{CONTEXTS}");
    let mut argv = vec!["setfiles", "-F", &contexts, "/"];
    let unix = context.placed.iter().filter(|placed| placed.wanted.format != Format::Vfat);
    let mounts = unix.flat_map(|placed| placed.wanted.mounts()).map(|mount| mount.path);
    argv.extend(mounts.filter(|path| *path != "/"));
    let label = run(&argv, "files that were written need the policy's labels");
    let mut ops = vec![label.when(Guard::has(CONTEXTS).and("sbin/setfiles"))];
    if context.is_disked() {
        let mark = file(".autorelabel", "", "files that were written get their labels at the first boot");
        ops.push(mark.clone().when(Guard::has("etc/selinux/config").but_not(CONTEXTS)));
        ops.push(mark.when(Guard::has("etc/selinux/config").and(CONTEXTS).but_not("sbin/setfiles")));
    }
    ops
}
