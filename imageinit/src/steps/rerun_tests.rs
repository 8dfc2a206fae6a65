//! The whole table on a machine whose power is cut at any op: the next boot runs the table again and ends as if nothing
//! had been, and reports an install that was done.

use plan::{Act, Op};

use super::tests::{DISKED, facts, recorder, run};
use crate::outcome::HandOff;

#[path = "../../../plan/tests/support/model.rs"]
mod model;

use model::{Model, Unsynced};

/// The machine after these ops.
fn after(start: &Model, ops: &[Op]) -> Model {
    let mut model = start.clone();
    ops.iter().for_each(|op| model.apply(op));
    model
}

#[test]
fn after_a_cut_at_any_op_the_next_boot_makes_the_same() {
    const EIO: i32 = 5;
    let start = Model::new(facts());
    let all = run(recorder(DISKED, facts())).ops;
    let whole = after(&start, &all).after_cut(Unsynced::Lost);
    let mut reported = 0;
    for k in 0..=all.len() {
        let ended = run(recorder(DISKED, facts()).failing_at(k, EIO));
        let done = &ended.ops[..k];
        for unsynced in [Unsynced::Kept, Unsynced::Lost] {
            let cut = after(&start, done).after_cut(unsynced);
            let next = run(recorder(DISKED, cut.facts()));
            let at = || format!("{unsynced:?} before op {k}: {:?}", all.get(k).map(ToString::to_string));
            assert_eq!(next.result.as_ref().ok(), Some(&HandOff::Reboot), "{}", at());
            assert_eq!(after(&cut, &next.ops).after_cut(Unsynced::Lost), whole, "{}", at());
            let writes =
                next.ops.iter().any(|op| matches!(op.act, Act::WriteTable { .. } | Act::Mkfs { .. }));
            assert_eq!(writes, !cut.looks_committed(), "{}", at());
            reported += usize::from(!writes);
        }
    }
    assert_eq!(reported, 2, "the last op is the commit, and what was committed is not done again");
}
