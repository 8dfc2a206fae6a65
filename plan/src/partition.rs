//! What becomes of the disks before there is a journal: the stage `partition` of every install but for its last op.
//!
//! What is in the way is let go ([`teardown`]); disks that erase themselves do so, and lose their old tables with it; the new
//! tables are written, in which the root says that it is not to be booted; then everything that is not kept is erased
//! where that was asked for. So a power cut leaves an old table or the new one, and kept partitions in either.

use nii::Finding;
use nii::v1::{Storage, Wipe};

use crate::disks::Planned;
use crate::facts::Facts;
use crate::op::{Act, Op};
use crate::table::Layout;
use crate::{teardown, wipe};

/// The ops, for the disks in the NII's order.
pub(crate) fn ops(
    facts: &Facts,
    storage: &Storage,
    disks: &[Planned<'_>],
    out: &mut Vec<Finding>,
) -> Vec<Op> {
    wipe::check(facts, storage, disks, out);
    let mut ops = teardown::ops(facts, disks, out);
    ops.extend(disks.iter().filter_map(|planned| erase(planned, true)));
    ops.extend(disks.iter().map(|planned| {
        let Layout { table, keep, .. } = planned.layout.clone();
        let act = Act::WriteTable { disk: planned.disk.path.clone(), table, keep };
        Op::new(act, format!("it is disk `{}` of the NII", planned.wanted.name))
    }));
    ops.extend(disks.iter().filter_map(|planned| erase(planned, false)));
    ops
}

/// The disk's erasure, if it has one that is this `secure`.
fn erase(planned: &Planned<'_>, secure: bool) -> Option<Op> {
    let how = planned.wanted.wipe.filter(|how| (*how == Wipe::Secure) == secure)?;
    let (disk, keep) = (planned.disk.path.clone(), planned.layout.keep.clone());
    let reason = format!("the NII says `wipe = \"{}\"` of disk `{}`", wipe::word(how), planned.wanted.name);
    Some(Op::new(Act::Erase { disk, how, keep }, reason))
}
