//! What becomes of the disks before there is a journal: the stage `partition` of every install but for its last op.
//!
//! What is in the way is let go ([`teardown`]), groups that are kept are looked into, and all disks are looked at once more. First the disk with the journal gets
//! its table, in which the root says that it is not to be booted, and the journal; then the other disks theirs. Disks that
//! erase themselves do so right before, and lose their old tables with it; everything else that is not kept is erased at the
//! end, where that was asked for. So a power cut leaves an old table or the new one, kept partitions in either, and no old
//! system that boots from the root's disk while others are gone. What is changed after an erasure is looked at again.

use nii::Finding;
use nii::v1::{Storage, Wipe};

use crate::disks::Planned;
use crate::facts::Facts;
use crate::op::{Act, DiskId, Op};
use crate::table::Layout;
use crate::{journal, teardown, wipe};

/// The ops; `looks` are into what is kept, and `journal` writes the record that says whose install this is.
pub(crate) fn ops(
    facts: &Facts,
    storage: &Storage,
    disks: &[Planned<'_>],
    (looks, journal): (Vec<Op>, Option<Op>),
    out: &mut Vec<Finding>,
) -> Vec<Op> {
    wipe::check(facts, storage, disks, out);
    let mut ops = teardown::ops(facts, storage, disks, out);
    ops.extend(looks);
    let ids = disks.iter().map(|planned| DiskId::from(planned.disk)).collect();
    ops.push(Op::new(Act::CheckDisks { disks: ids }, "from here on they are changed"));
    let (first, others): (Vec<&Planned<'_>>, Vec<&Planned<'_>>) =
        disks.iter().partition(|planned| planned.layout.entry(journal::LABEL).is_some());
    // A disk may take hours to erase itself.
    let (slow, quick): (Vec<&Planned<'_>>, Vec<&Planned<'_>>) =
        others.into_iter().partition(|planned| planned.wanted.wipe == Some(Wipe::Secure));
    let renewed = |planned: &Planned<'_>| erase(planned, true).into_iter().chain([table(planned)]);
    ops.extend(first.into_iter().flat_map(renewed));
    ops.extend(journal);
    ops.extend(quick.into_iter().chain(slow).flat_map(renewed));
    ops.extend(disks.iter().filter_map(|planned| erase(planned, false)));
    looked_at_again(ops, disks)
}

/// With a look at each disk that is changed after an erasure: hours later its path may be another one's.
fn looked_at_again(ops: Vec<Op>, disks: &[Planned<'_>]) -> Vec<Op> {
    let mut has_erased = false;
    let look = |op: Op| {
        let changed = match &op.act {
            Act::WriteTable { disk, .. } | Act::Erase { disk, .. } => Some(disk),
            _ => None,
        };
        let changed = changed.filter(|_| has_erased).into_iter();
        let ids = changed
            .flat_map(|path| disks.iter().map(|planned| planned.disk).filter(move |disk| disk.path == *path));
        let ids: Vec<DiskId> = ids.map(DiskId::from).collect();
        has_erased |= matches!(op.act, Act::Erase { .. });
        let check =
            (!ids.is_empty()).then(|| Op::new(Act::CheckDisks { disks: ids }, "an erasure came between"));
        check.into_iter().chain([op])
    };
    ops.into_iter().flat_map(look).collect()
}

fn table(planned: &Planned<'_>) -> Op {
    let Layout { table, keep, .. } = planned.layout.clone();
    let act = Act::WriteTable { disk: planned.disk.path.clone(), table, keep };
    Op::new(act, format!("it is disk `{}` of the NII", planned.wanted.name))
}

/// The disk's erasure, if it has one that is this `secure`. The others come behind the journal, whose place was zeroed with
/// the table, and leave it alone.
fn erase(planned: &Planned<'_>, secure: bool) -> Option<Op> {
    let how = planned.wanted.wipe.filter(|how| (*how == Wipe::Secure) == secure)?;
    let (disk, mut keep) = (planned.disk.path.clone(), planned.layout.keep.clone());
    if !secure {
        keep.extend(planned.layout.entry(journal::LABEL).map(|entry| entry.number));
    }
    let reason = format!("the NII says `wipe = \"{}\"` of disk `{}`", wipe::word(how), planned.wanted.name);
    Some(Op::new(Act::Erase { disk, how, keep }, reason))
}
