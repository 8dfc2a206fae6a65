//! A disk with a system on it, whose host keys are worth keeping: made by the image flow, once for these programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tests::cache;
use tests::disk::labelled;
use tests::group::Group;
use tests::head::{Head, prepared};
use tests::run::{cmd, output};
use tests::scenario;
use tests::ssh::Key;
use tests::vm::{Spec, Vm, empty_disk};

/// As the site's system had it: with a `/data`.
const STORAGE: &str = r#"
[[storage.disks]]
name = "system"
select = { pick = "first" }
partitions = [
    { label = "bios", type = "bios-boot", size_mib = 1 },
    { label = "swap", type = "swap", size_mib = 64 },
    { label = "root", type = "root" },
    { label = "data", size_mib = 200 },
]
[[storage.filesystems]]
device = "swap"
format = "swap"
[[storage.filesystems]]
device = "root"
format = "ext4"
mount = "/"
[[storage.filesystems]]
device = "data"
format = "ext4"
mount = "/data"
"#;

/// Puts a copy of the disk at `path`.
pub fn disk(path: PathBuf) -> Result<PathBuf> {
    let made = cache::entry("old-disk", &format!("2 {}", prepared()?.data.display()), install)?;
    output(cmd("cp", ["--sparse=always", "--reflink=auto"]).arg(made).arg(&path))?;
    Ok(path)
}

/// Makes a disk of the same size at `$2`, whose one volume group has swap and the file system of `$3` sectors that begins at
/// sector `$4` of the disk `$1`. LVM sees no other device, and no kernel part of it is asked.
const MOVE: &str = r#"
truncate --reference "$1" "$2"
echo 'label: gpt
      size=1MiB, type=21686148-6449-6E6F-744E-656564454649
      name=pv, type=E6D6D379-F507-44C2-A23C-238F2A3DF928' | sfdisk --quiet "$2"
pv=$(losetup --find --show --offset 2MiB --sizelimit "$(($(stat --format %s "$2") - 3145728))" "$2")
export LVM_SYSTEM_DIR="$2.lvm" LVM_SUPPRESS_FD_WARNINGS=1
trap 'losetup --detach "$pv"; rm -r "$2.lvm"' EXIT
mkdir "$2.lvm"
cat > "$2.lvm/lvm.conf" <<-END
	devices { use_devicesfile = 0 filter = [ "a|^$pv$|", "r|.*|" ] obtain_device_list_from_udev = 0 }
	global { locking_dir = "$2.lvm/locks" activation = 0 }
	backup { backup = 0 archive = 0 }
END
lvm vgcreate -q rhel "$pv"
new() { lvm lvcreate -q --activate n --zero n --wipesignatures n "$@" rhel; }
new --name swap --size 64M
new --name root --size "$3s"
first=$(lvm lvs --noheadings -o seg_pe_ranges rhel/root | sed 's/.*:\([0-9]*\)-.*/\1/')
start=$((1048576 + first * 4194304))
dd if="$1" of="$pv" bs=1M iflag=skip_bytes,count_bytes,fullblock oflag=seek_bytes conv=notrunc,sparse,fsync status=none     skip="$(($4 * 512))" count="$(($3 * 512))" seek="$start"
"#;

/// Puts a disk with the system of the disk `plain` at `path`, whose root is a volume of LVM, as Red Hat's installer makes it.
pub fn disk_with_lvm(plain: &Path, path: PathBuf) -> Result<PathBuf> {
    let root = labelled(plain, "root")?;
    let mut command = cmd("sh", ["-euc", MOVE, "sh"]);
    command.arg(plain).arg(&path).args([root["size"].to_string(), root["start"].to_string()]);
    output(&mut command)?;
    Ok(path)
}

/// The image flow's own install, from PXE to the reboot.
fn install(path: &Path) -> Result<()> {
    const LONG: Duration = Duration::from_secs(420);
    scenario::run("package_old_disk", |scenario| {
        let key = Key::new(scenario.scratch())?;
        let mut head = Head::new(scenario)?;
        Group::disked(STORAGE).arm(&head, &key)?;
        head.serve()?;
        let disk = empty_disk(scenario.scratch().join("disk"), 2000)?;
        let spec = Spec { disks: vec![disk.clone()], ..Spec::default() };
        let mut vm = Vm::start(&scenario.net, &spec, &scenario.logs)?;
        vm.console.expect("camphor: rebooting", LONG)?;
        vm.wait_reset(LONG)?;
        vm.cut_power()?;
        output(cmd("cp", ["--sparse=always"]).arg(&disk).arg(path))?;
        fs::metadata(path).context("looking for the copied disk").map(drop)
    })
}
