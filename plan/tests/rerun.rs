//! An install that ends after any of its ops is begun again, and ends as if nothing had been.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test support")]

mod support;

use plan::{Op, Plan};
use support::cases;
use support::model::{Model, Unsynced};

fn ops(plan: &Plan) -> Vec<&Op> {
    plan.stages.iter().flat_map(|stage| &stage.ops).collect()
}

/// The machine after the first ops of a plan.
fn after(start: &Model, ops: &[&Op]) -> Model {
    let mut model = start.clone();
    ops.iter().for_each(|op| model.apply(op));
    model
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
