//! The kickstart: golden files of NIIs × releases, each read back by pykickstart (`check.py`), and what is refused.
//!
//! `UPDATE_GOLDEN=1 cargo test -p plan --test kickstart` writes the golden files anew; look at the difference.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "test support")]
#![allow(clippy::disallowed_methods, reason = "a test writes its golden files, and runs pykickstart")]

mod cases;
mod completed;
mod pre;
mod refusals;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use plan::kickstart::{Inputs, render};
use plan::op::Act;
use serde_json::{Value, json};
use uuid::Uuid;

use cases::{Case, RELEASES, Release};

const ARMING: Uuid = Uuid::from_u128(0x11111111_1111_4111_8111_111111111111);

fn here(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kickstart").join(below)
}

/// The kickstart of a case for a release. A warning is one of those that the case expects.
fn kickstart(case: &Case, release: &Release) -> String {
    let nii = case.nii(release);
    let findings = nii.validate();
    assert!(!findings.iter().any(nii::Finding::is_error), "{}: {findings:?}", case.name);
    let inputs = Inputs { facts: &case.facts, nii: &nii, arming: ARMING };
    let rendered =
        render(&inputs, case.template).unwrap_or_else(|errors| panic!("{}: {errors:#?}", case.name));
    let warned: Vec<&str> = rendered.warnings.iter().map(|finding| finding.path.as_str()).collect();
    assert_eq!(warned, case.warnings(release), "{} for {}", case.name, release.name);
    rendered.text
}

/// Label of each partition -> the kernel's name of what `prepare` writes; name of each disk -> its own.
fn names(case: &Case, release: &Release) -> Value {
    let nii = case.nii(release);
    let inputs =
        plan::package::Inputs { facts: &case.facts, nii: &nii, arming: ARMING, attempt: ARMING, head: None };
    let prepared =
        plan::package::prepare(&inputs).unwrap_or_else(|errors| panic!("{}: {errors:#?}", case.name));
    let mut names = serde_json::Map::new();
    for op in prepared.ops("partition") {
        if let Act::WriteTable { disk, table, .. } = &op.act {
            let disk = disk.trim_start_matches("/dev/");
            let separator = if disk.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
            for entry in &table.partitions {
                names.insert(entry.label.clone(), json!(format!("{disk}{separator}{}", entry.number)));
            }
        }
    }
    Value::Object(names)
}

#[test]
fn golden() {
    let mut wrong = Vec::new();
    for case in cases::all() {
        for release in RELEASES {
            let text = kickstart(&case, release);
            let path = here(&format!("golden/{}/{}.ks", release.name, case.name));
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, &text).unwrap();
            } else if std::fs::read_to_string(&path).ok().as_deref() != Some(text.as_str()) {
                println!("--- {} is not what is made now:\n{text}", path.display());
                wrong.push(path);
            }
        }
    }
    assert!(wrong.is_empty(), "look at them, then UPDATE_GOLDEN=1: {wrong:#?}");
}

/// Every kickstart passes ksvalidator without a word, and what pykickstart reads equals the NII.
#[test]
fn read_back_by_pykickstart() {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    let python = target.join("pykickstart/bin/python3");
    assert!(python.exists(), "{} is missing: run `cargo xtask setup` first", python.display());
    let all = cases::all();
    let documents: Vec<Value> = RELEASES
        .iter()
        .flat_map(|release| all.iter().map(move |case| (case, release)))
        .map(|(case, release)| {
            json!({
                "case": case.name,
                "release": release.name,
                "firmware": case.facts.firmware,
                "kickstart": kickstart(case, release),
                "nii": case.nii(release).public(),
                "names": names(case, release),
                "nics": case.facts.nics,
                "disks": case.disks(),
                "by_hand": case.template.is_some(),
            })
        })
        .collect();
    let mut child = Command::new(python)
        .arg(here("check.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(json!(documents).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    // Passed on by println!, which the harness shows with --nocapture and after a failure.
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "check.py: {}", output.status);
}
