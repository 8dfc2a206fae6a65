//! A site of 5,000 nodes with a history, made by the head node's own import; events are written into its store.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use harness::net::{BRIDGE, HEAD, Net};
use harness::run::output;

/// How many nodes there are: `n0000` and so on, in four groups.
pub const NODES: usize = 5000;
/// How many of them are armed; the others boot their own disks.
pub const ARMED: usize = 2500;
/// How many events they have reported.
pub const EVENTS: usize = 100_000;

/// As a site's groups are: disks, accounts, attributes, commands.
const GROUP: &str = r#"
netboot = "tiny"
netboot_args = ["console=ttyS0,115200"]

[commands]
before_reinstall = ["/bin/true", "{node}"]
power = ["/usr/local/sbin/bmc", "{bmc}", "{action}"]

[attributes]
queue = "batch"
slurm = "CPUs=64 RealMemory=256000"

[addhost]
names = "compute-#RR-#NN"

[install]
type = "disked"

[locale]
timezone = "Europe/Berlin"
ntp = ["10.23.0.1"]

[root]
authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5l9YcXbXfXz2QmQm5gq3Jr7w8XkqfVbWn1Qm0m0m0m admin@head"]
ssh_host_keys = "keep"

[network]
addressing = "static"
search = ["cluster.example"]

[image]
name = "tiny"

[[storage.disks]]
name = "system"
select = { min_size_mib = 20000, pick = "first" }
partitions = [
    { label = "esp", type = "esp", size_mib = 600 },
    { label = "swap", type = "swap", size_mib = 4096 },
    { label = "root", type = "root" },
]

[[storage.filesystems]]
device = "esp"
format = "vfat"
mount = "/boot/efi"

[[storage.filesystems]]
device = "swap"
format = "swap"

[[storage.filesystems]]
device = "root"
format = "ext4"
mount = "/"
"#;

/// A head node's data folder.
pub struct Site<'a> {
    pub net: &'a Net,
    pub folder: &'a Path,
    program: PathBuf,
}

impl<'a> Site<'a> {
    /// Makes the site in `folder`.
    pub fn new(net: &'a Net, folder: &'a Path, program: PathBuf) -> Result<Self> {
        let site = Self { net, folder, program };
        site.cli(["init"])?;
        let network = ["--subnet", "10.0.0.0/8", "--dhcp", "external", "--mac-proof", "none"];
        site.cli(
            ["network", "add", "prov", "--interface", BRIDGE, "--address", HEAD].iter().chain(&network),
        )?;
        fs::create_dir_all(folder.join("root/etc")).context("making a root")?;
        site.file("root/etc/os-release", "ID=tiny\nPRETTY_NAME=tiny\n")?;
        site.cli(["image", "import", "tiny", &folder.join("root").to_string_lossy()])?;
        let kernel = site.file("kernel", "kernel")?;
        site.cli(["netboot", "add", "tiny", "--kernel", &kernel, "--initrd", &kernel])?;
        let group = site.file("group.toml", GROUP)?;
        for name in ["g0", "g1", "g2", "g3"] {
            site.cli(["group", "add", name, "--file", &group])?;
        }
        site.cli(["import", &site.file("nodes.yaml", &nodes()?)?])?;
        site.cli(["boot", "install", &format!("n[0000-{:04}]", ARMED - 1)])?;
        site.cli(["boot", "local", &format!("n[{ARMED:04}-{:04}]", NODES - 1)])?;
        super::sqlite(&site.database(), &history())?;
        Ok(site)
    }

    /// Runs a command of `headnode`.
    pub fn cli<S: AsRef<str>>(&self, args: impl IntoIterator<Item = S>) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.arg("--data-dir").arg(self.data());
        for arg in args {
            command.arg(arg.as_ref());
        }
        output(&mut command)
    }

    /// `headnode serve`, to be started.
    pub fn serve(&self) -> Command {
        let mut command = self.net.command(&self.program);
        command.arg("--data-dir").arg(self.data()).arg("serve");
        command
    }

    /// The store.
    pub fn database(&self) -> PathBuf {
        self.data().join("camphor.db")
    }

    /// Writes a file, and says where it is.
    pub fn file(&self, name: &str, text: &str) -> Result<String> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path.to_string_lossy().into_owned())
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
}

/// The MAC address of a node.
pub fn mac(node: usize) -> String {
    format!("52:54:00:00:{:02x}:{:02x}", node / 250, node % 250)
}

/// A fifth of the nodes say something themselves.
fn nodes() -> Result<String> {
    let mut nodes = "camphor: 1\nnodes:\n".to_owned();
    for i in 0..NODES {
        let own = if i % 5 == 0 { "locale.timezone = \"Europe/Paris\"" } else { "" };
        let (group, mac, high, low) = (i % 4, mac(i), i / 250, i % 250 + 1);
        writeln!(
            nodes,
            "- {{name: n{i:04}, group_name: g{group}, network: prov, mac: '{mac}', address: 10.1.{high}.{low}, \
             overrides: '{own}'}}"
        )?;
    }
    Ok(nodes)
}

/// What the nodes reported in their last boots, and what an audit log keeps of it.
fn history() -> String {
    format!(
        "BEGIN;
         WITH RECURSIVE number (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n + 1 < {EVENTS})
         INSERT INTO events (node, attempt, boot_id, seq, mono_ms, received_at, kind, body)
         SELECT nodes.id, 'attempt', 'boot-' || nodes.id, n / {NODES}, n, 1700000000000 + n, 'step-finished',
             '{{\"event\":\"step-finished\",\"step\":\"partition\",\"ms\":310}}'
         FROM number JOIN nodes ON nodes.id = (SELECT min(id) FROM nodes) + n % {NODES};
         WITH RECURSIVE number (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n + 1 < {EVENTS} / 4)
         INSERT INTO audit (at, kind, node, actor, cause, from_state, to_state, detail)
         SELECT 1700000000000 + n, 'state', printf('n%04d', n % {NODES}), 'node', 'begin', 'armed', 'installing',
             'attempt 1' FROM number;
         COMMIT;"
    )
}
