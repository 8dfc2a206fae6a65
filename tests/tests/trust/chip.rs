//! Nodes whose installs are for their own TPM.

use anyhow::{Context as _, Result, ensure};
use tests::group::{BIOS_EXT4, Group, NODE};
use tests::head::Head;
use tests::scenario;
use tests::ssh::Key;
use tests::vm::{Spec, Vm, empty_disk};

use crate::PREFLIGHT;

/// The first chip is the node's: that boot has the NII, and comes as far as to see that its disk is too small. Another chip in
/// the same machine gets no session, and says why on its console.
#[test]
fn trust_secrets_are_for_one_chip() -> Result<()> {
    scenario::run("trust_secrets_are_for_one_chip", |scenario| {
        let key = Key::new(scenario.scratch())?;
        let mut head = Head::new(scenario)?;
        Group::disked(BIOS_EXT4).arm(&head, &key)?;
        head.cli(["--yes", "group", "set", "nodes", "tpm=first-use"])?;
        head.serve()?;
        let disk = empty_disk(scenario.scratch().join("disk"), 200)?;
        let boots =
            [("own", "FAILED at step preflight", "failed"), ("other", "FAILED at step session", "armed")];
        for (chip, end, state) in boots {
            head.cli(["boot", "install", NODE])?;
            let tpm = Some(scenario.scratch().join(chip));
            let spec = Spec { disks: vec![disk.clone()], tpm, ..Spec::default() };
            let mut vm = Vm::start(&scenario.net, &spec, &scenario.logs)?;
            vm.console.expect(&format!("camphor: {end}"), PREFLIGHT).context(chip)?;
            if chip == "other" {
                vm.console.expect("n001 has the TPM 000b", PREFLIGHT)?;
            }
            head.expect_state(NODE, state)?;
        }
        let events = head.events(NODE)?;
        let causes: Vec<&str> = events.iter().filter_map(|event| event["body"]["cause"].as_str()).collect();
        let security = |cause: &str| causes.iter().filter(|other| **other == cause).count();
        ensure!(
            security("tpm-accepted") == 1 && security("foreign-tpm") == 1,
            "the audit log has {causes:?}"
        );
        Ok(())
    })
}
