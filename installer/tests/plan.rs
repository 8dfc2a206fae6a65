//! `installer plan` on the machine that runs the tests, which is none that its document means: refused, for people and
//! for programs.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "a test runs the program")]

use std::process::{Command, Output};

use serde_json::Value;

fn installer(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_installer")).args(args).output().unwrap()
}

#[test]
fn a_refused_plan_is_json_where_that_was_asked_for() {
    let scratch = tempfile::tempdir().unwrap();
    let facts = scratch.path().join("facts.json");
    let told = installer(&["facts"]);
    assert!(told.status.success(), "{told:?}");
    std::fs::write(&facts, told.stdout).unwrap();
    let nii = concat!(env!("CARGO_MANIFEST_DIR"), "/../nii/fixtures/v1/package.json");
    let plan = ["plan", "--nii", nii, "--facts", facts.to_str().unwrap()];
    let people = installer(&plan);
    assert!(!people.status.success() && people.stdout.is_empty(), "{people:?}");
    let said = String::from_utf8(people.stderr).unwrap();
    let programs = installer(&[&plan[..], &["--output", "json"]].concat());
    assert!(!programs.status.success(), "{programs:?}");
    let value: Value = serde_json::from_slice(&programs.stdout).unwrap();
    let findings = value["findings"].as_array().unwrap();
    assert!(!findings.is_empty(), "{value}");
    for finding in findings {
        assert!(said.contains(finding["message"].as_str().unwrap()), "{finding} is not in {said}");
    }
    assert!(value["summary"]["disks"].as_array().is_some(), "{value}");
}
