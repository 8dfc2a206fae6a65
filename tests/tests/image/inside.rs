//! What a node must be like inside, once it runs.

use anyhow::{Result, ensure};
use tests::group::{ADDRESS, NODE, PASSWORD};
use tests::scenario::Scenario;
use tests::ssh::Key;
use tests::vm::Vm;

use crate::BOOT;

/// Answers `same` when the clock runs in that zone (by the tz database, whose link may be followed or copied).
const ZONE: &str = r#"[ "$(date +%F:%R%z)" = "$(TZ=Europe/Berlin date +%F:%R%z)" ] && echo same"#;

/// Logs in as root on the console, with the password.
pub fn log_in(vm: &mut Vm) -> Result<()> {
    vm.console.log_in(PASSWORD, BOOT)?;
    let name = vm.console.shell("hostname")?;
    ensure!(name.trim() == NODE, "the host name on the console is {name:?}");
    Ok(())
}

/// What the NII says of every node, checked over SSH with the planted key. `fstype` is the root's.
pub fn check(scenario: &Scenario, key: &Key, address: &str, fstype: &str) -> Result<()> {
    key.run_when_up(&scenario.net, address, "true", BOOT)?;
    for (what, command, wanted) in [
        ("the host name", "hostname", NODE),
        ("the full name", "hostname -f", "n001.cluster.example"),
        ("the clock's zone", ZONE, "same"),
        ("the root's file system", "findmnt -no FSTYPE /", fstype),
        ("the size of machine-id", "wc -c </etc/machine-id", "33"),
        ("root's account", "passwd -S root | cut -d' ' -f2", "P"),
        // Whatever camphor configured wrongly (a mount, a network file, a console), systemd would say so.
        ("what failed", "systemctl list-units --failed --plain --no-legend", ""),
    ] {
        let found = key.run(&scenario.net, address, command)?;
        ensure!(found.trim() == wanted, "{what} is {:?} and not {wanted:?} (`{command}`)", found.trim());
    }
    Ok(())
}

/// The installed system's own address, and its disk: fstab by UUID; on BIOS the swap space, on UEFI the ESP.
pub fn check_disk(scenario: &Scenario, key: &Key, uefi: bool) -> Result<()> {
    let ask =
        |command: &str| Ok::<_, anyhow::Error>(key.run(&scenario.net, ADDRESS, command)?.trim().to_owned());
    let addresses = ask("ip -4 -o address show scope global")?;
    ensure!(addresses.contains(&format!("inet {ADDRESS}/24 ")), "the addresses are {addresses:?}");
    let root = ask("findmnt -no UUID /")?;
    let source = ask("findmnt --fstab -no SOURCE /")?;
    ensure!(source == format!("UUID={root}"), "fstab mounts {source} at /, which is UUID {root}");
    let others = ask("grep -Ev '^(#|UUID=|$)' /etc/fstab; true")?;
    ensure!(others.is_empty(), "fstab names devices by something else than their UUID: {others:?}");
    let cmdline = ask("cat /proc/cmdline")?;
    // After a switch_root it is still the initrd's kernel that runs.
    let from_disk = cmdline.contains(&format!("root=UUID={root}"));
    ensure!(from_disk || cmdline.contains("camphor.head="), "the kernel's command line is {cmdline:?}");
    let swaps = ask("swapon --show --noheadings | wc -l")?;
    ensure!((swaps != "0") != uefi, "{swaps} swap devices are in use");
    let esp = ask("[ -d /sys/firmware/efi ] && findmnt --fstab -no SOURCE,FSTYPE,OPTIONS /boot/efi; true")?;
    let esp_is_right = esp.starts_with("UUID=") && esp.contains("vfat") && esp.contains("umask=0077");
    ensure!(esp_is_right == uefi, "the ESP's line in fstab, on a UEFI boot only, is {esp:?}");
    let mounted = ask("findmnt -no FSTYPE /boot/efi; true")?;
    ensure!((mounted == "vfat") == uefi, "what is mounted at /boot/efi is {mounted:?}");
    Ok(())
}
