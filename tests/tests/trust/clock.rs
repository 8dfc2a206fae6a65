//! Nodes whose clocks are wrong.

use anyhow::{Context as _, Result, ensure};
use tests::group::{BIOS_EXT4, Group, NODE};
use tests::head::Head;
use tests::scenario;
use tests::ssh::Key;
use tests::vm::{Spec, Vm, empty_disk};

use crate::PREFLIGHT;

/// Before any certificate was made, and after all of them have ended.
const CLOCKS: [&str; 2] = ["1970-01-01T00:00:00", "2100-01-01T00:00:00"];

/// TLS works, for the NII and for the report, by the head node's signed time: the node comes as far as to see that its
/// disk is too small, and the head node is told.
#[test]
fn trust_clocks_of_1970_and_2100() -> Result<()> {
    scenario::run("trust_clocks_of_1970_and_2100", |scenario| {
        let key = Key::new(scenario.scratch())?;
        let mut head = Head::new(scenario)?;
        Group::disked(BIOS_EXT4).arm(&head, &key)?;
        head.serve()?;
        for (run, clock) in CLOCKS.into_iter().enumerate() {
            if run > 0 {
                head.cli(["boot", "install", NODE])?;
            }
            let disk = empty_disk(scenario.scratch().join("disk"), 200)?;
            let spec = Spec { disks: vec![disk], clock: Some(clock), ..Spec::default() };
            let mut vm = Vm::start(&scenario.net, &spec, &scenario.logs)?;
            vm.console.expect("camphor: FAILED at step preflight", PREFLIGHT).context(clock)?;
            head.expect_state(NODE, "failed")?;
            let events = head.events(NODE)?;
            let failed = events.iter().filter(|event| event["kind"] == "failed").count();
            ensure!(failed == run + 1, "{clock}: {failed} failures were reported");
        }
        Ok(())
    })
}
