//! The head node goes away and comes back.

use std::time::Duration;

use anyhow::Result;
use tests::group::{ADDRESS, Group, NODE};
use tests::head::Head;
use tests::run::Process;
use tests::scenario;
use tests::ssh::Key;
use tests::vm::{Spec, Vm};

use crate::{PXE, inside};

/// The node waits for ever, with pauses of at most 15 s: it must say something within that and some slack.
const WORD: Duration = Duration::from_secs(60);

/// The head node vanishes as soon as the node has its kernel: no DHCP, no HTTP. The node says so and tries again; then
/// it has an address, but there is no head node at the other end; then there is one, and the node goes on. The head
/// node is restarted once more while the node fetches its image.
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
        vm.console.expect("no DHCP answer", WORD)?;
        let mut dhcp = scenario.net.command("dnsmasq");
        dhcp.arg("--keep-in-foreground").arg("-C").arg(head.data().join("run/dnsmasq.conf"));
        let mut dhcp = Process::start(&mut dhcp)?;
        vm.console.expect("trying again in", WORD)?;
        vm.console.expect("trying again in", WORD)?;
        dhcp.kill()?;
        head.serve()?;
        vm.console.expect("] preflight", PXE)?;
        vm.console.expect("unpack ", PXE)?;
        head.kill()?;
        head.serve()?;
        inside::log_in(&mut vm)?;
        head.expect_state(NODE, "diskless-running")?;
        inside::check(scenario, &key, ADDRESS, "tmpfs")
    })
}
