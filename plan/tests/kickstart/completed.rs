//! What the firmware needs and the document has not is in the kickstart too.

use plan::facts::Firmware;
use plan::kickstart::{Inputs, render};

use crate::ARMING;
use crate::cases::{Case, RELEASES, by_name};

/// The `part` and `bootloader` lines for the newest release.
fn lines(case: &Case) -> Vec<String> {
    let nii = case.nii(&RELEASES[1]);
    let inputs = Inputs { facts: &case.facts, nii: &nii, arming: ARMING };
    let text = render(&inputs, None).unwrap_or_else(|findings| panic!("{findings:#?}")).text;
    let of = |line: &&str| line.starts_with("part ") || line.starts_with("bootloader ");
    text.lines().filter(of).map(str::to_owned).collect()
}

fn on(name: &str, firmware: Firmware) -> Case {
    let mut case = by_name(name);
    case.facts.firmware = firmware;
    case
}

#[test]
fn where_camphor_partitions() {
    let esp = lines(&on("minimal_bios", Firmware::Efi));
    assert!(esp.contains(&"part /boot/efi --onpart=sda1 --fstype=efi".to_owned()), "{esp:#?}");
    assert!(esp.iter().any(|line| line.starts_with("part / --onpart=sda4")), "{esp:#?}");
    let bios = lines(&on("minimal_uefi", Firmware::Bios));
    assert!(bios.iter().any(|line| line.starts_with("part / --onpart=sda4")), "{bios:#?}");
    assert!(bios.iter().any(|line| line.ends_with("--boot-drive=sda")), "{bios:#?}");
    let mut mirrored = by_name("raid1_bios_lvm");
    let disks = &mut mirrored.document["storage"]["disks"];
    disks[1]["partitions"].as_array_mut().unwrap().remove(0);
    assert!(lines(&mirrored).contains(&"part raid.5 --onpart=sdb2".to_owned()), "behind what was added");
}

#[test]
fn where_anaconda_partitions() {
    let esp = lines(&on("anaconda_simple", Firmware::Efi));
    assert!(esp.contains(&"part /boot/efi --ondisk=sda --size=512 --fstype=efi".to_owned()), "{esp:#?}");
    let mut case = by_name("anaconda_simple");
    case.document["storage"]["disks"][0]["partitions"].as_array_mut().unwrap().remove(0);
    let bios = lines(&case);
    assert!(bios.contains(&"part biosboot --ondisk=sda --size=1 --fstype=biosboot".to_owned()), "{bios:#?}");
}
