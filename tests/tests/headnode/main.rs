//! The head node's own scenarios: machines that nobody told it of.
//!
//! To add one: a function named `headnode_…` that calls [`tests::scenario::run`] with its own name.

mod menus;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::group::{BIOS_EXT4, Group, MAC, PASSWORD};
use tests::head::Head;
use tests::net::BRIDGE;
use tests::scenario;
use tests::ssh::Key;
use tests::vm::{Spec, Vm, empty_disk};

/// From power-on to the first request.
const PXE: Duration = Duration::from_secs(120);
/// From approval to the committed disk: the machine asks every 10 s.
const INSTALL: Duration = Duration::from_secs(360);
/// From a reset to a login prompt.
const BOOT: Duration = Duration::from_secs(240);
/// The name and the address that addhost is to find.
const NAME: &str = "rack-03-07";
const FOUND: &str = "10.23.0.30";

const ADDHOST: &str = "[addhost]\nnames = \"rack-#RR-#NN\"\naddresses = \"10.23.0.30-10.23.0.39\"\n";

/// A machine that nobody registered is switched on, waits with an address of the discovery pool, is approved, installs
/// and boots: it is switched on once, and one `y` is typed.
#[test]
fn headnode_discovers_node() -> Result<()> {
    scenario::run("headnode_discovers_node", |scenario| {
        let key = Key::new(scenario.scratch())?;
        let mut head = Head::new(scenario)?;
        let document = Group::disked(BIOS_EXT4).document(&head, &key)?;
        head.group(&format!("{document}\n{ADDHOST}"))?;
        head.serve()?;
        let disk = empty_disk(scenario.scratch().join("disk"), 2000)?;
        let mut vm =
            Vm::start(&scenario.net, &Spec { disks: vec![disk], ..Spec::default() }, &scenario.logs)?;
        vm.console.expect("this machine is no node yet", PXE)?;
        approve(&head)?;
        vm.console.expect("camphor: imageinit", INSTALL)?;
        vm.console.expect("camphor: rebooting", INSTALL)?;
        vm.wait_reset(BOOT)?;
        vm.console.log_in(PASSWORD, BOOT)?;
        let name = vm.console.shell("hostname")?;
        ensure!(name.trim() == NAME, "the host name is {name:?}");
        head.expect_state(NAME, "installed")?;
        let address = key.run_when_up(&scenario.net, FOUND, "ip -4 -o address show scope global", BOOT)?;
        ensure!(address.contains(&format!("inet {FOUND}/24 ")), "the addresses are {address:?}");
        Ok(())
    })
}

/// Starts addhost, says `y` to the machine, and waits for its end.
fn approve(head: &Head<'_>) -> Result<()> {
    let words =
        ["addhost", "--group", "nodes", "--interface", BRIDGE, "--rack", "3", "--rank", "7", "--count", "1"];
    let mut command = head.command(words)?;
    let mut addhost =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("starting addhost")?;
    let mut stdin = addhost.stdin.take().context("addhost has no stdin")?;
    let out = BufReader::new(addhost.stdout.take().context("addhost has no stdout")?);
    let mut said = Vec::new();
    for line in out.lines() {
        let line = line.context("reading what addhost says")?;
        if line.starts_with(&format!("heard {MAC}")) {
            writeln!(stdin, "y").context("answering addhost")?;
        }
        said.push(line);
    }
    ensure!(addhost.wait().context("waiting for addhost")?.success(), "addhost failed: {said:#?}");
    ensure!(said.contains(&format!("added {NAME} {MAC} {FOUND}")), "addhost said {said:#?}");
    Ok(())
}
