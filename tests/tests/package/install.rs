//! Installs that end well.

use anyhow::{Result, ensure};
use tests::disk::{self, Mounted};
use tests::group::NODE;
use tests::scenario;
use tests::vm::{Firmware, empty_disk};

use crate::group::{ANACONDA, Origin, Setup, Stage};
use crate::{END, INSTALL, PXE, root, salvage};

/// `type = "root"` on x86-64, and `linux`.
pub const ROOT: &str = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709";

/// BIOS; camphor partitions; the host keys are those of the system on the disk, which is a volume of LVM. The head node
/// vanishes before it hears of the end. When it is back, the node's next boot makes up for the report, and installs nothing.
#[test]
fn package_keeps_host_keys() -> Result<()> {
    scenario::run("package_keeps_host_keys", |scenario| {
        let plain = salvage::disk(scenario.scratch().join("plain"))?;
        let before = root::host_keys(&Mounted::labelled(&plain, "root")?)?;
        let disk = salvage::disk_with_lvm(&plain, scenario.scratch().join("disk"))?;
        let mut stage = Stage::start(scenario, &Setup::default(), vec![disk.clone()])?;
        stage.vm.console.expect("stock-initrd: parse_kickstart", PXE)?;
        stage.vm.console.expect("] first-boot", INSTALL)?;
        stage.head.kill()?;
        stage.vm.console.expect("] commit", INSTALL)?;
        stage.vm.console.expect("the head node could not be told", INSTALL)?;
        stage.vm.console.expect(END, INSTALL)?;
        stage.head.expect_state(NODE, "installing")?;
        stage.head.serve()?;
        stage.vm.console.expect("an earlier boot installed this node", PXE)?;
        stage.vm.console.expect("n001 boots its local disk", PXE)?;
        stage.head.expect_state(NODE, "installed")?;
        let said = stage.vm.console.text();
        for once in ["] partition", "stock-initrd: parse_kickstart", "anaconda: packages"] {
            ensure!(
                said.matches(once).count() == 1,
                "{once:?} was not said once: the node was installed twice"
            );
        }
        ensure!(!said.contains(&stage.wanted.hash), "the console has the password's hash");
        stage.vm.cut_power()?;
        let entry = disk::labelled(&disk, "root")?;
        ensure!(entry["type"] == ROOT, "the root partition's type is {}", entry["type"]);
        let root = Mounted::labelled(&disk, "root")?;
        ensure!(root::host_keys(&root)? == before, "the host keys are others than before");
        root::check(&root, &stage.wanted)
    })
}

/// UEFI; anaconda partitions; there was nothing on the disk, so the host keys are new. Everything comes from an ISO that
/// the head node imported.
#[test]
fn package_uefi_anaconda_storage() -> Result<()> {
    scenario::run("package_uefi_anaconda_storage", |scenario| {
        let disk = empty_disk(scenario.scratch().join("disk"), 2000)?;
        let setup =
            Setup { firmware: Firmware::Uefi, storage: ANACONDA, from: Origin::Iso, ..Setup::default() };
        let mut stage = Stage::start(scenario, &setup, vec![disk.clone()])?;
        stage.vm.console.expect("stock-initrd: parse_kickstart", PXE)?;
        stage.vm.console.expect(END, INSTALL)?;
        stage.head.expect_state(NODE, "installed")?;
        stage.vm.cut_power()?;
        let table = disk::partitions(&disk)?;
        ensure!(table.len() == 2, "the table is {table:?}");
        let root = Mounted::new(&disk, 1)?;
        root::host_keys(&root)?;
        root::check(&root, &stage.wanted)
    })
}
