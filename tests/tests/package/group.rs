//! The group document of the scenarios, and the site's scripts that it names.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tests::group::{ADDRESS, MAC, NODE, PASSWORD};
use tests::head::Head;
use tests::scenario::Scenario;
use tests::ssh::Key;
use tests::stock::{Mirror, NETBOOT, OS, stock};
use tests::vm::{Firmware, KERNEL_ARGUMENTS, Spec, Vm};

use crate::root::Wanted;

/// Leaves a mark, with the NII's attributes as it sees them.
pub const POST: &str = "#!/bin/sh\nset -e\nenv | sort | grep ^NII_ > /root/post-ran\n";
/// The first-boot script does not run in these scenarios: nothing boots what they install.
const FIRST_BOOT: &str = "#!/bin/sh\necho first boot\n";

/// Partitioned by camphor, BIOS.
pub const CAMPHOR: &str = r#"
[storage]
mode = "camphor"
[[storage.disks]]
name = "system"
select = { serial = "camphor0" }
partitions = [
    { label = "bios", type = "bios-boot", size_mib = 1 },
    { label = "swap", type = "swap", size_mib = 64 },
    { label = "root", type = "root" },
]
[[storage.filesystems]]
device = "swap"
format = "swap"
[[storage.filesystems]]
device = "root"
format = "ext4"
mount = "/"
"#;

/// Partitioned by anaconda, UEFI.
pub const ANACONDA: &str = r#"
[storage]
mode = "anaconda"
[[storage.disks]]
name = "system"
select = { pick = "first" }
partitions = [
    { label = "esp", type = "esp", size_mib = 128 },
    { label = "root", type = "root" },
]
[[storage.filesystems]]
device = "esp"
format = "vfat"
mount = "/boot/efi"
[[storage.filesystems]]
device = "root"
format = "xfs"
mount = "/"
"#;

/// What a scenario varies.
pub struct Setup<'a> {
    /// The firmware.
    pub firmware: Firmware,
    /// The sections of storage.
    pub storage: &'a str,
    /// The site's script of `post`.
    pub post: &'a str,
    /// Where it comes from.
    pub from: Origin,
}

/// Where the packages come from, and what boots.
pub enum Origin {
    /// RHEL of this version, from a mirror elsewhere; kernel and initrd are added by hand.
    Mirror(&'static str),
    /// All from one ISO, by the head node.
    Iso,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self { firmware: Firmware::Bios, storage: CAMPHOR, post: POST, from: Origin::Mirror("9.6") }
    }
}

/// A scenario's machine and all that it talks to.
pub struct Stage<'a> {
    /// The head node.
    pub head: Head<'a>,
    /// The machine, switched on.
    pub vm: Vm,
    /// The machine as it is built, to switch it on again.
    pub spec: Spec,
    /// What must be on its disk in the end.
    pub wanted: Wanted,
    _mirror: Option<Mirror>,
}

impl<'a> Stage<'a> {
    /// Arms the node on a head node that serves, and switches the machine on with these disks.
    pub fn start(scenario: &'a Scenario, setup: &Setup<'_>, disks: Vec<PathBuf>) -> Result<Self> {
        let tree = stock()?.tree;
        Self::with_tree(scenario, setup, disks, &tree)
    }

    /// As [`Stage::start`], with another install tree.
    pub fn with_tree(
        scenario: &'a Scenario,
        setup: &Setup<'_>,
        disks: Vec<PathBuf>,
        tree: &Path,
    ) -> Result<Self> {
        let key = Key::new(scenario.scratch())?;
        let mut head = Head::new(scenario)?;
        let mirror = match setup.from {
            Origin::Mirror(_) => {
                stock()?.offer(&head, scenario)?;
                Some(Mirror::start(scenario, tree)?)
            }
            Origin::Iso => {
                stock()?.import(&head, scenario)?;
                None
            }
        };
        for (name, text) in [("site-post", setup.post), ("site-first", FIRST_BOOT)] {
            let file = scenario.scratch().join(name);
            fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
            head.cli(["script", "add", name, &file.to_string_lossy()])?;
        }
        let wanted = Wanted { hash: head.hash(PASSWORD)?, key: key.public()? };
        head.armed_node(NODE, MAC, ADDRESS, &document(setup, &wanted))?;
        head.serve()?;
        let spec = Spec { firmware: setup.firmware, memory: 1280, disks, ..Spec::default() };
        let vm = Vm::start(&scenario.net, &spec, &scenario.logs)?;
        Ok(Self { head, vm, spec, wanted, _mirror: mirror })
    }
}

fn document(setup: &Setup<'_>, wanted: &Wanted) -> String {
    let Wanted { hash, key } = wanted;
    let storage = setup.storage;
    let (what, source) = match setup.from {
        Origin::Iso => (format!("os = \"{OS}\""), String::new()),
        Origin::Mirror(version) => {
            let os = format!("os = {{ family = \"rhel\", version = \"{version}\", arch = \"x86_64\" }}");
            (format!("netboot = \"{NETBOOT}\""), format!("{os}\nsource = {{ url = \"{}\" }}", Mirror::URL))
        }
    };
    format!(
        r#"{what}
netboot_args = {KERNEL_ARGUMENTS:?}
[install]
type = "package"
[package]
{source}
packages = ["openssh-server"]
[[scripts]]
name = "site-post"
phase = "post"
[[scripts]]
name = "site-first"
phase = "first-boot"
[locale]
timezone = "Europe/Berlin"
[root]
password_hash = "{hash}"
authorized_keys = ["{key}"]
ssh_host_keys = "keep"
[network]
domain = "cluster.example"
[attributes]
rack = "it's 4"
{storage}
[boot]
kernel_args = ["console=ttyS0"]
"#
    )
}
