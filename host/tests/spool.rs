//! One spool and one sequence for several processes at once. This program starts itself as those processes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::path::Path;
use std::process::{Child, Command};

use host::net::events::Reporter;
use nii::event::Body;
use uuid::Uuid;

const FILE: &str = "CAMPHOR_TEST_SPOOL";
const EACH: u64 = 100;

fn warning(text: String) -> Body {
    Body::Warning { message: text }
}

/// What a process does that [`the_numbers_of_several_processes_are_one_sequence`] started; alone it does nothing.
#[test]
fn a_process_that_reports() {
    let Some(file) = std::env::var_os(FILE) else { return };
    let reporter = Reporter::shared(Uuid::nil(), Path::new(&file));
    for number in 0..EACH {
        reporter.report(warning(format!("{} {number}", std::process::id())));
    }
}

fn start(file: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_process_that_reports", "--quiet"]).env(FILE, file);
    command.spawn().unwrap()
}

#[test]
fn the_numbers_of_several_processes_are_one_sequence() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.json");
    let processes: Vec<Child> = (0..3).map(|_| start(&file)).collect();
    for mut process in processes {
        assert!(process.wait().unwrap().success());
    }
    let reporter = Reporter::shared(Uuid::nil(), &file);
    reporter.report(warning("last".into()));
    let events = reporter.waiting();
    let numbers: Vec<u64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=3 * EACH + 1).collect::<Vec<_>>(), "each number once, and none is lost");
    assert!(events.is_sorted_by_key(|event| event.mono_ms), "numbers and times go the same way");
}

/// A process that dies while it has the spool leaves a whole file and no lock.
#[test]
fn a_process_that_is_killed_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.json");
    for _ in 0..5 {
        let mut process = start(&file);
        // Somewhere in its work: as soon as it wrote something.
        while !file.exists() {
            std::thread::yield_now();
        }
        process.kill().unwrap();
        process.wait().unwrap();
        let reporter = Reporter::shared(Uuid::nil(), &file);
        let before = reporter.waiting().len();
        reporter.report(warning("after".into()));
        let numbers: Vec<u64> = reporter.waiting().iter().map(|event| event.seq).collect();
        assert!(numbers.len() > before && numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    }
}
