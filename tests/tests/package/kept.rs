//! What an install leaves as it is: a file system that the site keeps, and disks that are not the node's to install.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tests::disk::{self, Mounted};
use tests::group::NODE;
use tests::run::{cmd, output};
use tests::scenario::{self, Scenario};
use tests::vm::Vm;

use crate::group::{Setup, Stage};
use crate::install::ROOT;
use crate::{END, INSTALL, PXE, root, salvage};

/// The disk of [`salvage`], with its `/data` kept.
const KEPT: &str = r#"
[storage]
mode = "camphor"
[[storage.disks]]
name = "system"
select = { serial = "camphor0" }
partitions = [
    { label = "bios", type = "bios-boot", size_mib = 1 },
    { label = "swap", type = "swap", size_mib = 64 },
    { label = "root", type = "root" },
    { label = "data", preserve = true },
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
preserve = true
"#;

/// Puts into a file system what is easily lost: links, holes, owners, odd modes, old times, attributes of all namespaces.
const FILL: &str = r#"
cd "$1"
mkdir results
seq 200000 > results/run-1
ln results/run-1 results/same
ln -s run-1 results/link
truncate --size 64M results/holes
mkfifo results/fifo
echo kept > 'results/with a blank, and ü'
chown -R 1234:5678 results
chmod 2750 results
chmod 4711 results/holes
setfattr --name user.camphor --value own results/run-1
setfattr --name trusted.camphor --value own results/run-1
setfattr --name security.selinux --value system_u:object_r:var_t:s0 . results results/run-1
setcap cap_net_raw+ep results/holes
setfacl --modify user:4321:rw results/run-1
touch --no-dereference --date '2001-02-03 04:05:06.789 UTC' results/run-1 results/link results
"#;

/// All that can be seen of the files below a folder, but for the time of this look.
const LOOK: &str = r#"
cd "$1"
find . -printf '%p %i %y %m %U:%G %n %s %b %A@ %T@ %C@ %l\n' | sort
find . -type f -print0 | sort --zero-terminated | xargs --null sha256sum
getfattr --recursive --physical --no-dereference --dump --match=- --encoding=hex .
"#;

/// The power goes when the old root is gone and the new one not made: its host keys are with the head node only. The
/// second boot finishes the install. The node's `/data` and its other disk, with a newer system that has host keys too, are
/// what they were.
#[test]
fn package_preserves_data() -> Result<()> {
    scenario::run("package_preserves_data", |scenario| {
        let disk = salvage::disk(scenario.scratch().join("disk"))?;
        script(FILL, &Mounted::writable(&disk, "data")?)?;
        let data = script(LOOK, &Mounted::labelled(&disk, "data")?)?;
        let entry = disk::labelled(&disk, "data")?;
        let host_keys = root::host_keys(&Mounted::labelled(&disk, "root")?)?;
        let other = other_disk(scenario)?;
        let pattern = hash(&other)?;

        let setup = Setup { storage: KEPT, ..Setup::default() };
        let mut stage = Stage::start(scenario, &setup, vec![disk.clone(), other.clone()])?;
        stage.vm.console.expect("] salvage", PXE)?;
        stage.vm.console.expect("] partition", PXE)?;
        stage.vm.cut_power()?;
        ensure!(Mounted::labelled(&disk, "root").is_err(), "the old root is still there");
        stage.head.expect_state(NODE, "installing")?;
        stage.vm = Vm::start(&scenario.net, &stage.spec, &scenario.logs)?;
        stage.vm.console.expect("stock-initrd: parse_kickstart", PXE)?;
        stage.vm.console.expect(END, INSTALL)?;
        stage.head.expect_state(NODE, "installed")?;
        stage.vm.cut_power()?;

        ensure!(disk::labelled(&disk, "data")? == entry, "the partition of /data is another one");
        same(&data, &script(LOOK, &Mounted::labelled(&disk, "data")?)?)?;
        ensure!(hash(&other)? == pattern, "the disk that was not the node's to install was written to");
        ensure!(disk::labelled(&disk, "root")?["type"] == ROOT, "the root's type says that it is not whole");
        let root = Mounted::labelled(&disk, "root")?;
        ensure!(root::host_keys(&root)? == host_keys, "the host keys are others than before");
        root::check(&root, &stage.wanted)
    })
}

/// A disk full of a pattern, with a system whose host keys are newer than the node's, and which lost its power: whoever mounts it
/// as usual replays its log, and so writes to it.
fn other_disk(scenario: &Scenario) -> Result<PathBuf> {
    const PATTERN: &[u8; 16] = b"not the node's. ";
    /// ext4's incompatible features and "needs recovery" among them, in the superblock of a partition that begins at 1 MiB.
    const FEATURES: (u64, u8) = ((1 << 20) + 1024 + 0x60, 4);
    let live = scenario.scratch().join("live");
    fs::write(&live, PATTERN.repeat((48 << 20) / PATTERN.len())).context("filling a disk")?;
    let make = r#"
        echo 'label: gpt
              start=1MiB, size=40MiB, name=other' | sfdisk --quiet "$1"
        mkfs.ext4 -q -F -E offset=1048576 "$1" 40M"#;
    output(cmd("sh", ["-euc", make, "sh"]).arg(&live))?;
    let mounted = Mounted::writable(&live, "other")?;
    let keys = r#"
        mkdir -p "$1/etc/ssh"
        ssh-keygen -q -t ed25519 -N '' -f "$1/etc/ssh/ssh_host_ed25519_key"
        sync --file-system "$1""#;
    script(keys, &mounted)?;
    let cut = scenario.scratch().join("other");
    fs::copy(&live, &cut).context("copying a disk in use")?;
    let mut features = [0];
    File::open(&cut)?.read_exact_at(&mut features, FEATURES.0).context("reading a superblock")?;
    ensure!(features[0] & FEATURES.1 != 0, "the other disk's log has nothing to replay");
    Ok(cut)
}

/// Runs a shell script on the mounted file system, `$1`; returns what it says.
fn script(text: &str, mounted: &Mounted) -> Result<String> {
    output(cmd("sh", ["-euc", text, "sh"]).arg(mounted.path("/")).env("LC_ALL", "C.UTF-8"))
}

fn hash(disk: &Path) -> Result<String> {
    output(cmd("sha256sum", ["--"]).arg(disk))
}

/// Fails with the lines that differ.
fn same(before: &str, after: &str) -> Result<()> {
    let missing = |from: &str, lines: &str| -> Vec<String> {
        from.lines().filter(|line| !lines.lines().any(|other| other == *line)).map(str::to_owned).collect()
    };
    let (gone, new) = (missing(before, after), missing(after, before));
    ensure!(
        before == after,
        "what is kept changed. Before:\n{}\nAfter:\n{}",
        gone.join("\n"),
        new.join("\n")
    );
    Ok(())
}
