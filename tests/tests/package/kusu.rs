//! The drop-in for Kusu: an old head node with its `nodeboot.cgi`, and no head node of ours.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tests::disk::Mounted;
use tests::group::{ADDRESS, MAC};
use tests::net::{BRIDGE, HEAD};
use tests::paths;
use tests::scenario::{self, Scenario};
use tests::service::Service;
use tests::stock::{segment, stock};
use tests::vm::{KERNEL_ARGUMENTS, Spec, Vm, empty_disk};

use crate::{END, INSTALL, PXE};

/// What Kusu knows of the node, unescaped as it is.
const NODEINFO: &str = r#"<nodeinfo name="compute-00-00" installers="10.23.0.1" repo="/repos/1000" ostype="rhel-9-x86_64" installtype="package" nodegrpid="2" ngtype="compute" repoid="1000" dbpasswd="dbsecret" cfmsecret="cfmsecret">
<nicinfo device="eth0" ip="10.23.0.11" subnet="255.255.255.0" network="10.23.0.0" suffix="" gateway="10.23.0.1" dhcp="1" options="" boot="1" mac="52:54:00:23:00:01"/>
<partition device="1" partition="1" mntpnt="" fstype="linux-swap" size="64" options="" preserve="0"/>
<partition device="1" partition="2" mntpnt="/" fstype="ext3" size="1000" options="fill" preserve="0"/>
<component>component-base-node</component>
<optscript>site.sh</optscript>
<appglobals name="Timezone_zone" value="Europe/Berlin"/>
<appglobals name="Site" value="Fish & Chips"/>
</nodeinfo>
"#;

/// The node reads its old head node's XML, installs from its tree, and says so in its way.
#[test]
fn package_kusu_drop_in() -> Result<()> {
    scenario::run("package_kusu_drop_in", |scenario| {
        let disk = empty_disk(scenario.scratch().join("disk"), 2000)?;
        let old = OldHead::start(scenario, Some(ADDRESS))?;
        let spec = Spec { memory: 1280, disks: vec![disk.clone()], ..Spec::default() };
        let mut vm = Vm::start(&scenario.net, &spec, &scenario.logs)?;
        vm.console.expect("stock-initrd: parse_kickstart", PXE)?;
        vm.console.expect(END, INSTALL)?;
        vm.cut_power()?;
        let asked = old.web.text();
        let installing = asked.find("nodeboot.cgi?dump=1&getindex=1&state=Installing&uid=");
        let installed = asked.find("nodeboot.cgi?state=Installed&boot=disk&uid=");
        ensure!(installing.is_some() && installing < installed, "the CGI was not told both states in order");
        // The BIOS boot partition, swap space, root.
        let root = Mounted::new(&disk, 2)?;
        let exported = root.read("/etc/profile.nii")?;
        for line in ["NII_HOSTNAME=", "compute-00-00", "NII_NICDEF0=", "Fish & Chips"] {
            ensure!(exported.contains(line), "/etc/profile.nii has no {line}: {exported}");
        }
        for secret in ["dbsecret", "cfmsecret"] {
            ensure!(!exported.contains(secret), "/etc/profile.nii has a password of Kusu's");
        }
        let first = root.read("/var/lib/camphor/scripts/first-boot/01-site.sh")?;
        ensure!(first.contains("echo site"), "the script of the site is {first:?}");
        ensure!(
            root.read("/root/.ssh/authorized_keys")? == "ssh-ed25519 AAAA admin\n",
            "the public keys are others"
        );
        Ok(())
    })
}

/// Kusu answers 200 without `<nodeinfo>`: an error with a sentence, and no loop.
#[test]
fn package_kusu_unknown_node() -> Result<()> {
    scenario::run("package_kusu_unknown_node", |scenario| {
        let old = OldHead::start(scenario, None)?;
        let mut vm = Vm::start(&scenario.net, &Spec { memory: 1280, ..Spec::default() }, &scenario.logs)?;
        vm.console.expect("camphor: FAILED at step", PXE)?;
        vm.console.wait_for("does not know this node", PXE)?;
        let asked = old.web.text().matches("nodeboot.cgi").count();
        ensure!(asked == 1, "the CGI was asked {asked} times");
        Ok(())
    })
}

/// The old head node: DHCP, and a web server.
struct OldHead {
    web: Service,
    _dhcp: Service,
}

impl OldHead {
    /// Starts it; it knows the node at the address `node`, if any.
    fn start(scenario: &Scenario, node: Option<&str>) -> Result<Self> {
        let folder = scenario.scratch().join("www");
        fill(&folder, scenario)?;
        let server = paths::workspace().join("tests/stock/kusu.py");
        let mut command = scenario.net.command("python3");
        command.arg("-u").arg(server).arg(HEAD).arg(&folder).args(node);
        let web = Service::start(command, &scenario.logs.join("kusu.log"), "Serving HTTP")?;
        let mut command = scenario.net.command("dnsmasq");
        command.args([
            "--keep-in-foreground",
            "--log-facility=-",
            "--conf-file=/dev/null",
            "--port=0",
            "--no-ping",
        ]);
        command.args([&format!("--interface={BRIDGE}"), "--bind-interfaces", "--dhcp-authoritative"]);
        command.args(["--user=root", "--group=root", "--dhcp-leasefile=/dev/null", "--enable-ra"]);
        command.args(["--dhcp-range=10.23.0.100,10.23.0.200", "--dhcp-range=fd77::,ra-only"]);
        command.arg(format!("--dhcp-host={MAC},{ADDRESS}"));
        command.arg(format!("--dhcp-boot=http://{HEAD}/boot.ipxe"));
        // iPXE is not to wait for a proxy's offer.
        command.args(["--dhcp-match=set:ipxe,175", "--dhcp-option-force=tag:ipxe,encap:175,176,1b"]);
        let dhcp = Service::start(command, &scenario.logs.join("dnsmasq.log"), "DHCP, IP range")?;
        Ok(Self { web, _dhcp: dhcp })
    }
}

/// What the web server has: the boot files with a segment that allows this head node, the install tree, a script, keys.
fn fill(folder: &Path, scenario: &Scenario) -> Result<()> {
    let stock = stock()?;
    fs::create_dir_all(folder.join("repos/custom_scripts")).context("making the web server's folder")?;
    let link =
        |from: &Path, name: &str| symlink(from, folder.join(name)).with_context(|| format!("linking {name}"));
    link(&stock.kernel, "vmlinuz")?;
    link(&stock.initrd, "initrd.img")?;
    link(&stock.tree, "repos/1000")?;
    link(&segment(scenario, &["--allow-kusu", HEAD])?, "segment.img")?;
    let write = |name: &str, text: &str| {
        fs::write(folder.join(name), text).with_context(|| format!("writing {name}"))
    };
    write("nodeinfo", NODEINFO)?;
    write("public_keys", "ssh-ed25519 AAAA admin\n")?;
    write("repos/custom_scripts/site.sh", "#!/bin/sh\necho site\n")?;
    let arguments = format!(
        "camphor.nii=kusu+http://{HEAD}/ BOOTIF=01-{} rd.neednet=1 ip=dhcp inst.stage2=http://{HEAD}/repos/1000 \
         inst.ks=http://{HEAD}/refuse.ks {}",
        MAC.replace(':', "-"),
        KERNEL_ARGUMENTS.join(" ")
    );
    write(
        "boot.ipxe",
        &format!("#!ipxe\nkernel vmlinuz {arguments}\ninitrd initrd.img\ninitrd segment.img\nboot\n"),
    )
}
