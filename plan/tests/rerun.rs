//! An install that ends after any of its ops is begun again, and ends as if nothing had been.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test support")]

mod support;

use plan::{Act, Op, Plan};
use serde_json::json;
use support::model::{Model, Unsynced};
use support::{GIB, cases, disk};

fn ops(plan: &Plan) -> Vec<&Op> {
    plan.stages.iter().flat_map(|stage| &stage.ops).collect()
}

/// The machine after the first ops of a plan.
fn after(start: &Model, ops: &[&Op]) -> Model {
    let mut model = start.clone();
    ops.iter().for_each(|op| model.apply(op));
    model
}

/// Names of disks may be others after the power was gone.
#[test]
fn of_equal_disks_the_one_that_was_begun_is_taken_again() {
    for pick in ["first", "smallest", "largest"] {
        let mut case = support::bios();
        case.facts.disks = vec![disk("/dev/sda", 8 * GIB), disk("/dev/sdb", 8 * GIB)];
        case.nii["storage"]["disks"][0]["select"] = json!({"pick": pick});
        let written = |case: &support::Case| {
            let plan = case.disked().unwrap();
            plan.ops("partition").iter().find_map(|op| match &op.act {
                Act::WriteTable { disk, table, .. } => Some((disk.clone(), table.clone())),
                _ => None,
            })
        };
        let (first, table) = written(&case).unwrap();
        assert_eq!(first, "/dev/sda", "{pick}");
        case.facts.disks[1].table = Some(table);
        assert_eq!(written(&case).unwrap().0, "/dev/sdb", "{pick}");
    }
}

#[test]
fn after_a_cut_at_any_op_the_next_attempt_makes_the_same() {
    for (name, case) in cases::disked() {
        let plan = case.disked().unwrap();
        let (ops_once, start) = (ops(&plan), Model::new(case.facts.clone()));
        let whole = after(&start, &ops_once).after_cut(Unsynced::Lost);
        assert!(whole.looks_committed(), "{name}");
        for k in 0..=ops_once.len() {
            for unsynced in [Unsynced::Kept, Unsynced::Lost] {
                let cut = after(&start, &ops_once[..k]).after_cut(unsynced);
                let at = || {
                    format!(
                        "{name}, {unsynced:?} before op {k}: {:?}",
                        ops_once.get(k).map(ToString::to_string)
                    )
                };
                assert_eq!(cut.looks_committed(), k == ops_once.len(), "{}", at());
                assert!(!cut.looks_committed() || cut == whole, "{}", at());
                let again = case.again(&cut.facts()).unwrap_or_else(|why| panic!("{}: {why:?}", at()));
                assert_eq!(after(&cut, &ops(&again)).after_cut(Unsynced::Lost), whole, "{}", at());
            }
        }
    }
}
