//! One layout: installed, booted, looked at.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::console::LOST_DOORBELL;
use tests::group::{ADDRESS, Group, NODE};
use tests::head::Head;
use tests::run::{cmd, output};
use tests::scenario::{self, Scenario};
use tests::ssh::Key;
use tests::vm::{Firmware, Spec, Vm, empty_disk};

use super::{History, Layout};
use crate::{BOOT, PXE, inside};

/// From the first line of our /init to the committed disk: an initramfs is made on the way.
const INSTALL: Duration = Duration::from_secs(1200);
/// How what an older install leaves is found again.
const FIND: &str = "sha256sum --check --quiet /home/sums && echo same";

/// PXE, install, reboot; then there is no head node any more, and what is mounted is on what it should be. Once more if QEMU lost
/// the disk on the way: that says nothing of us.
pub fn boots_alone(layout: &Layout) -> Result<()> {
    match boots_alone_once(layout) {
        Err(error) if !layout.nvme.is_empty() && format!("{error:#}").contains(LOST_DOORBELL) => {
            eprintln!("{error:#}: once more");
            boots_alone_once(layout)
        }
        outcome => outcome,
    }
}

fn boots_alone_once(layout: &Layout) -> Result<()> {
    scenario::run(&format!("image_layout_{}", layout.name), |scenario| {
        let key = Key::new(scenario.scratch())?;
        let mut head = Head::new(scenario)?;
        Group::disked(layout.storage).boot(layout.boot).stacked().arm(&head, &key)?;
        head.serve()?;
        let spec = machine(scenario, layout)?;
        let mut vm = Vm::start(&scenario.net, &spec, &scenario.logs)?;
        vm.console.expect("camphor: imageinit", PXE)?;
        if layout.firmware == Firmware::Uefi {
            vm.disk_first()?;
        }
        installed(&mut vm)?;
        if let History::Again(storage) = layout.history {
            key.run_when_up(&scenario.net, ADDRESS, &leave(layout), BOOT)?;
            let group = Group::disked(storage).boot(layout.boot).stacked();
            head.change_group(&group.document(&head, &key)?)?;
            head.cli(["boot", "install", NODE])?;
            inside::log_in(&mut vm)?;
            vm.console.type_line("reboot")?;
            vm.wait_reset(BOOT)?;
            vm.console.expect("camphor: imageinit", PXE)?;
            installed(&mut vm)?;
        }
        head.kill()?;
        head.expect_state(NODE, "installed")?;
        let inside = Inside { scenario, key: &key };
        inside.check(&mut vm, layout)?;
        if matches!(layout.history, History::Again(_)) {
            inside.says(FIND, "same")?;
        }
        if layout.history == History::LosesDisk {
            inside.ask("sync")?;
            vm.cut_power()?;
            let spec = Spec { disks: spec.disks[1..].to_vec(), disk_first: true, ..spec };
            let mut vm = Vm::start(&scenario.net, &spec, &scenario.logs)?;
            inside.check_without_a_disk(&mut vm, layout)?;
        }
        Ok(())
    })
}

/// A file in each place that stays, which is all but the root and `/boot`; their sums are in `/home`.
fn leave(layout: &Layout) -> String {
    let places = layout.mounted.iter().map(|(place, _)| *place);
    let files =
        places.filter(|place| *place != "/" && *place != "/boot").map(|place| format!("{place}/file"));
    let files = files.collect::<Vec<_>>().join(" ");
    format!("seq 100000 | tee {files} >/dev/null && sha256sum {files} >/home/sums && sync")
}

/// From power-on, or a reset, to the reset after the install.
fn installed(vm: &mut Vm) -> Result<()> {
    vm.console.expect("camphor: rebooting", INSTALL)?;
    vm.wait_reset(BOOT)
}

fn machine(scenario: &Scenario, layout: &Layout) -> Result<Spec> {
    let mut paths = (0..).map(|index| scenario.scratch().join(format!("disk{index}")));
    let mut make = |sizes: &[u64]| -> Result<Vec<PathBuf>> {
        sizes.iter().zip(&mut paths).map(|(mib, path)| empty_disk(path, *mib)).collect()
    };
    let (disks, nvme) = (make(layout.disks)?, make(layout.nvme)?);
    if layout.history == History::OldSystem {
        let work = scenario.scratch().join("old-system");
        fs::create_dir(&work).with_context(|| format!("making {}", work.display()))?;
        output(cmd("sh", ["-ec", include_str!("old-system.sh"), "sh"]).arg(&disks[0]).arg(&work))?;
    }
    Ok(Spec { firmware: layout.firmware, disks, nvme, ..Spec::default() })
}

/// The booted system.
struct Inside<'a> {
    scenario: &'a Scenario,
    key: &'a Key,
}

impl Inside<'_> {
    fn ask(&self, command: &str) -> Result<String> {
        Ok(self.key.run(&self.scenario.net, ADDRESS, command)?.trim().to_owned())
    }

    fn says(&self, command: &str, wanted: &str) -> Result<()> {
        let found = self.ask(command)?;
        ensure!(found == wanted, "`{command}` says {found:?}, and not {wanted:?}");
        Ok(())
    }

    fn check(&self, vm: &mut Vm, layout: &Layout) -> Result<()> {
        self.is_up(vm, layout)?;
        layout.says.iter().try_for_each(|(command, wanted)| self.says(command, wanted))?;
        let arrays = self.ask("cat /proc/mdstat")?;
        let degraded = degraded(&arrays);
        ensure!(degraded.is_empty(), "{degraded:?} lack a member: {arrays}");
        Ok(())
    }

    fn check_without_a_disk(&self, vm: &mut Vm, layout: &Layout) -> Result<()> {
        self.is_up(vm, layout)?;
        let arrays = self.ask("cat /proc/mdstat")?;
        ensure!(degraded(&arrays).len() == stanzas(&arrays).count(), "no disk is missing: {arrays}");
        Ok(())
    }

    /// It is mounted, and nothing failed.
    fn is_up(&self, vm: &mut Vm, layout: &Layout) -> Result<()> {
        inside::log_in(vm)?;
        self.key.run_when_up(&self.scenario.net, ADDRESS, "true", BOOT)?;
        for (place, wanted) in layout.mounted {
            let found = self.ask(&format!("findmnt -no SOURCE,FSTYPE {place} | tr -s ' '"))?;
            let (source, rest) = found.split_once(' ').unwrap_or((&found, ""));
            // Arrays have kernel names of their own at each boot.
            let named = match wanted.starts_with("/dev/md/") {
                true => self.ask(&format!(
                    "echo /dev/md/$(mdadm --detail --export {source} | sed -n 's/^MD_NAME=.*://p')"
                ))?,
                false => source.to_owned(),
            };
            ensure!(
                format!("{named} {rest}") == *wanted,
                "{place} is {named} {rest} ({source}), and not {wanted}"
            );
        }
        let failed = self.ask("systemctl list-units --failed --plain --no-legend")?;
        ensure!(failed.is_empty(), "failed: {failed}\n{}", self.ask("journalctl -b --no-pager -p notice")?);
        Ok(())
    }
}

/// The arrays of /proc/mdstat, each with its lines.
fn stanzas(mdstat: &str) -> impl Iterator<Item = &str> {
    let starts = mdstat.match_indices("\nmd").map(|(at, _)| at + 1);
    let rest = starts.map(|at| &mdstat[at..]);
    rest.map(|rest| rest.split_once("\nmd").map_or(rest, |(stanza, _)| stanza))
}

/// The arrays that lack a member. A new raid5 computes its last one, and goes on with that after a reboot.
fn degraded(mdstat: &str) -> Vec<&str> {
    let lacks = |stanza: &&str| {
        let mut states = stanza.split(['[', ']']).filter(|text| text.starts_with(['U', '_']));
        let is_new = stanza.contains(" raid5 ")
            && ["recovery", "resync", "DELAYED"].iter().any(|word| stanza.contains(word));
        states.any(|state| state.contains('_')) && !is_new
    };
    stanzas(mdstat).filter(lacks).filter_map(|stanza| stanza.split(' ').next()).collect()
}

#[test]
fn image_degraded_arrays_are_told_from_new_ones() {
    let mdstat = "Personalities : [raid1] [raid5]
md125 : active raid1 vda1[0]
      1000 blocks super 1.2 [2/1] [U_]

md126 : active raid5 vda2[0] vdb2[1] vdc2[3]
      1000 blocks super 1.2 level 5, 512k chunk, algorithm 2 [3/2] [UU_]
      [==>..................]  recovery = 12.6% (37043392/292945152) finish=127.5min speed=33440K/sec

md127 : active raid1 vda3[0] vdb3[1]
      1000 blocks super 1.2 [2/2] [UU]

unused devices: <none>";
    assert_eq!(degraded(mdstat), ["md125"]);
    assert_eq!(stanzas(mdstat).count(), 3);
    assert_eq!(degraded(&mdstat.replace("recovery", "check")), ["md125", "md126"]);
}
