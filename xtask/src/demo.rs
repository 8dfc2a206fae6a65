//! `cargo xtask demo`: one install to look at.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use harness::group::{ADDRESS, Group, NODE, PASSWORD, UEFI_XFS};
use harness::head::{Head, prepared};
use harness::scenario;
use harness::ssh::Key;
use harness::vm::{Firmware, Spec, Vm, empty_disk};
use serde_json::Value;

use crate::{build, setup};

const PATIENCE: Duration = Duration::from_secs(300);

/// UEFI PXE to an ESP and XFS, the machine's own reboot, and a login prompt with no head node left.
pub fn run() -> Result<()> {
    setup::run()?;
    build::run()?;
    println!("\npacking the Debian root and making our initrd (kept for the next time)");
    let initrd = std::fs::metadata(prepared()?.initrd).context("reading the initrd's size")?.len();
    scenario::run("demo", |scenario| {
        let key = Key::new(scenario.scratch())?;
        let mut head = Head::new(scenario)?;
        Group::disked(UEFI_XFS).arm(&head, &key)?;
        head.serve()?;
        println!("a head node, a network, an empty machine: power on\n");
        let mut times = Vec::new();
        let mut phase = Instant::now();
        let mut done = |what: &'static str| {
            times.push((what, phase.elapsed()));
            phase = Instant::now();
        };
        let disk = empty_disk(scenario.scratch().join("disk"), 2000)?;
        let spec = Spec { firmware: Firmware::Uefi, disks: vec![disk], ..Spec::default() };
        let mut vm = Vm::start(&scenario.net, &spec, &scenario.logs)?;
        vm.console.follow(relay);
        vm.console.expect("Run /init", PATIENCE)?;
        done("firmware, PXE, kernel");
        // With the network first and nobody there, UEFI asks it for minutes.
        vm.disk_first()?;
        vm.wait_reset(PATIENCE)?;
        done("install");
        head.kill()?;
        println!("\nthe head node is gone; the machine boots from its own disk\n");
        vm.console.log_in(PASSWORD, PATIENCE)?;
        done("firmware, disk, login");
        let system = key.run(&scenario.net, ADDRESS, "uname -sr; findmnt -no SOURCE,FSTYPE,SIZE /")?;
        println!("\n{NODE} says, over SSH:\n{system}");
        summary(&times, initrd, &head.events(NODE)?);
        Ok(())
    })
}

/// What a person wants to see of a console: not every line of the kernel (`[    2.674241] …`), but each step
/// (`[ 7/13] …`).
fn relay(line: &str) {
    let stamp = line.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(stamp, _)| stamp);
    if stamp.is_none_or(|stamp| stamp.contains('/')) && !line.trim().is_empty() {
        println!("  {NODE} | {line}");
    }
}

fn summary(times: &[(&str, Duration)], initrd: u64, events: &[Value]) {
    println!("initrd                  {initrd:>12} bytes");
    for (what, time) in times {
        println!("{what:<24}{:>12.1} s", time.as_secs_f64());
    }
    let mut unpack_ms = 0.0;
    for event in events.iter().filter(|event| event["kind"] == "step-finished") {
        let (step, ms) = (event["body"]["step"].as_str().unwrap_or("?"), event["body"]["ms"].as_f64());
        let ms = ms.unwrap_or_default();
        println!("  step {step:<17}{:>12.2} s", ms / 1000.0);
        if step == "unpack" {
            unpack_ms = ms;
        }
    }
    if let Some(installed) = events.iter().find(|event| event["kind"] == "installed") {
        let number = |name: &str| installed["body"][name].as_f64().unwrap_or_default();
        println!("image, as fetched       {:>12.1} MB", number("image_bytes") / 1e6);
        println!("image, fetched at       {:>12.1} MB/s", number("image_bytes") / 1e3 / unpack_ms);
        println!("imageinit, peak memory  {:>12.1} MiB", number("peak_kib") / 1024.0);
    }
}
