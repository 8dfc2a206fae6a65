//! The head node goes away and comes back.

use std::time::Duration;

use anyhow::Result;
use tests::group::{ADDRESS, Group, NODE};
use tests::head::Head;
use tests::scenario;
use tests::ssh::Key;
use tests::vm::{Spec, Vm};

use crate::{PXE, inside};

/// The head node vanishes when the node has its kernel: no DHCP, no HTTP. The node says so, tries again with longer
/// and longer pauses, and goes on when there is one. It vanishes again in the middle of the image.
#[test]
fn image_head_absent_then_back() -> Result<()> {
    scenario::run("image_head_absent_then_back", |scenario| {
        let key = Key::new(scenario.scratch())?;
        let mut head = Head::new(scenario)?;
        Group::diskless().arm(&head, &key)?;
        head.serve()?;
        let spec = Spec { memory: 1280, ..Spec::default() };
        let mut vm = Vm::start(&scenario.net, &spec, &scenario.logs)?;
        vm.console.expect("Linux version", PXE)?;
        head.kill()?;
        vm.console.expect("no DHCP answer", PXE)?;
        vm.console.expect("no DHCP answer", Duration::from_secs(60))?;
        head.serve()?;
        vm.console.expect("unpack", PXE)?;
        head.kill()?;
        vm.console.expect("again in", Duration::from_secs(60))?;
        head.serve()?;
        inside::log_in(&mut vm)?;
        head.expect_state(NODE, "diskless-running")?;
        inside::check(scenario, &key, ADDRESS, "tmpfs")
    })
}
