//! Machines that cannot run iPXE: PXELINUX and GRUB, with the menus that our plugins write: their own disk, the rescue
//! system, an install.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tests::group::{ADDRESS, BIOS_EXT4, Group, MAC, NODE, UEFI_XFS};
use tests::head::{Head, IMAGE};
use tests::net::{BRIDGE, HEAD, SUBNET};
use tests::run::{cmd, output};
use tests::scenario::{self, Scenario};
use tests::service::Service;
use tests::ssh::Key;
use tests::vm::{Firmware, KERNEL_ARGUMENTS, Spec, Vm, empty_disk};

/// From a reset to what the menu says: firmware, DHCP, TFTP, and a kernel and initrd over HTTP.
const BOOT: Duration = Duration::from_secs(120);
/// Until `serve` has told the plugin.
const MENU: Duration = Duration::from_secs(30);

/// What the disk that is there already says, and what tells the rescue system's kernel from another.
const OWN_DISK: &str = "this is my own disk";
const RESCUE: &str = "a-rescue-it-is";

#[test]
fn headnode_menu_pxelinux() -> Result<()> {
    scenario::run("headnode_menu_pxelinux", |scenario| {
        let tftp = scenario.scratch().join("tftp");
        fs::create_dir_all(&tftp).context("making a folder for TFTP")?;
        for file in ["/usr/lib/PXELINUX/lpxelinux.0", "/usr/lib/syslinux/modules/bios/ldlinux.c32"] {
            output(cmd("cp", [file]).arg(&tftp))?;
        }
        let disk = bios_disk(scenario.scratch().join("disk"), OWN_DISK)?;
        let site = Site { plugin: "pxelinux", menus: tftp.join("pxelinux.cfg"), tftp, loader: "lpxelinux.0" };
        let _server = site.server(scenario)?;
        let mut head = site.head(scenario)?;
        let mut vm = site.own_disk(scenario, &mut head, (Firmware::Bios, BIOS_EXT4), disk)?;
        site.rescue(&head, &mut vm)?;
        site.install(&head, &mut vm)
    })
}

/// No rescue: at each start GRUB begins with the same TCP port, and for a minute the kernel here, to which the machine
/// before the reset is still there, does not answer that. The menu tries again, but a test would have to wait.
#[test]
fn headnode_menu_grub() -> Result<()> {
    scenario::run("headnode_menu_grub", |scenario| {
        let tftp = scenario.scratch().join("tftp");
        output(cmd("grub-mknetdir", ["--subdir", "grub", "--net-directory"]).arg(&tftp))?;
        let disk = efi_disk(scenario.scratch(), OWN_DISK)?;
        let loader = "grub/x86_64-efi/core.efi";
        let site = Site { plugin: "grub", menus: tftp.join("grub"), tftp, loader };
        let _server = site.server(scenario)?;
        let mut head = site.head(scenario)?;
        let mut vm = site.own_disk(scenario, &mut head, (Firmware::UefiPxe, UEFI_XFS), disk)?;
        site.install(&head, &mut vm)
    })
}

/// A site with a DHCP and TFTP server of its own.
struct Site {
    /// Our plugin.
    plugin: &'static str,
    /// Where it writes menus.
    menus: PathBuf,
    /// Root of TFTP.
    tftp: PathBuf,
    /// What firmware loads.
    loader: &'static str,
}

impl Site {
    /// A machine with this disk, whose node and menu say `local`, has booted it.
    fn own_disk(
        &self,
        scenario: &Scenario,
        head: &mut Head<'_>,
        (firmware, storage): (Firmware, &'static str),
        disk: PathBuf,
    ) -> Result<Vm> {
        let document = Group::disked(storage).document(head, &Key::new(scenario.scratch())?)?;
        let [console, norandmaps] = KERNEL_ARGUMENTS;
        let args = [console, norandmaps, RESCUE];
        head.group(&format!("{document}\n[rescue]\nnetboot = \"{IMAGE}\"\nargs = {args:?}\n"))?;
        head.cli(["node", "add", NODE, "--group", "nodes", "--mac", MAC, "--ip", ADDRESS])?;
        head.cli(["boot", "local", NODE])?;
        head.serve()?;
        self.wait_for_menu("its local disk")?;
        let spec = Spec { firmware, disks: vec![disk], ..Spec::default() };
        let mut vm = Vm::start(&scenario.net, &spec, &scenario.logs)?;
        vm.console.expect(OWN_DISK, BOOT)?;
        Ok(vm)
    }

    fn rescue(&self, head: &Head<'_>, vm: &mut Vm) -> Result<()> {
        head.cli(["boot", "rescue", NODE])?;
        self.wait_for_menu(RESCUE)?;
        vm.qmp.execute("system_reset", json!({}))?;
        vm.console.expect("Command line: ", BOOT)?;
        vm.console.expect(RESCUE, BOOT)?;
        head.expect_state(NODE, "rescue")
    }

    /// Up to where nothing is written yet: the token was traded, and the node has its NII.
    fn install(&self, head: &Head<'_>, vm: &mut Vm) -> Result<()> {
        head.cli(["boot", "install", NODE])?;
        self.wait_for_menu("/boot/token/of/")?;
        vm.qmp.execute("system_reset", json!({}))?;
        vm.console.expect("camphor: imageinit", BOOT)?;
        vm.console.expect(" preflight", BOOT)?;
        head.expect_state(NODE, "installing")
    }

    /// DHCP and TFTP as a site has them: the same file for whoever asks.
    fn server(&self, scenario: &Scenario) -> Result<Service> {
        let mut command = scenario.net.command("dnsmasq");
        command.args(["--no-daemon", "--conf-file=/dev/null", "--port=0", "--user=root", "--leasefile-ro"]);
        command.args([
            &format!("--interface={BRIDGE}"),
            "--bind-interfaces",
            "--no-ping",
            "--dhcp-authoritative",
        ]);
        command.args(["--dhcp-range=10.23.0.100,10.23.0.200", &format!("--dhcp-host={MAC},{ADDRESS}")]);
        command.args(["--enable-tftp", &format!("--tftp-root={}", self.tftp.display())]);
        command.arg(format!("--dhcp-boot={}", self.loader));
        // QEMU's PXE for BIOS is an iPXE, which else waits 13 s for an IPv6 router.
        command.args(["--enable-ra", "--dhcp-range=fd77::,ra-only", &format!("--ra-param={BRIDGE},60,0")]);
        Service::start(command, &scenario.logs.join("dnsmasq.log"), "TFTP root is")
    }

    /// A head node that leaves DHCP alone and has our plugin. GRUB before 2.12 knows port 80 only.
    fn head<'a>(&self, scenario: &'a Scenario) -> Result<Head<'a>> {
        let head = Head::new(scenario)?;
        head.cli(["init", "--http-port", "80"])?;
        head.cli(["network", "rm", "prov"])?;
        let network = ["--interface", BRIDGE, "--subnet", SUBNET, "--address", HEAD, "--dhcp", "external"];
        head.cli(["network", "add", "prov"].iter().chain(&network))?;
        head.cli(["plugin", "install", self.plugin])?;
        let script = head.data().join(format!("plugins.d/50-{}", self.plugin));
        let text = fs::read_to_string(&script).context("reading the plugin")?;
        let line =
            text.lines().find(|line| line.starts_with("target=")).context("the plugin has no target")?;
        let ours = text.replace(line, &format!("target={}", self.menus.display()));
        fs::write(&script, ours).context("writing the plugin")?;
        Ok(head)
    }

    /// Waits until the node's menu says `text`.
    fn wait_for_menu(&self, text: &str) -> Result<()> {
        let name = MAC.replace(':', "-");
        let prefix = if self.plugin == "grub" { "grub.cfg-01" } else { "01" };
        let path = self.menus.join(format!("{prefix}-{name}"));
        let deadline = Instant::now() + MENU;
        loop {
            let menu = fs::read_to_string(&path).unwrap_or_default();
            if menu.contains(text) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{} should say {text:?}, and says {menu:?}", path.display());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A disk whose boot sector says `text` on the first serial port, and halts.
fn bios_disk(path: PathBuf, text: &str) -> Result<PathBuf> {
    // cli: or what the firmware has not said yet comes between the letters.
    // xor ax, ax; mov ds, ax; cld; mov si, 0x7c18; mov dx, 0x3f8
    let mut sector = vec![0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0xfc, 0xbe, 0x18, 0x7c, 0xba, 0xf8, 0x03];
    // next: lodsb; or al, al; jz end; out dx, al; jmp next; end: hlt; jmp end
    sector.extend([0xac, 0x08, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8, 0xf4, 0xeb, 0xfd]);
    sector.resize(0x18, 0);
    sector.extend(text.bytes());
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    let path = empty_disk(path, 2000)?;
    let mut disk = fs::OpenOptions::new().write(true).open(&path).context("opening a disk")?;
    disk.write_all(&sector).context("writing a boot sector")?;
    Ok(path)
}

/// A disk with a loader for UEFI that says `text`, and waits.
fn efi_disk(folder: &Path, text: &str) -> Result<PathBuf> {
    let (config, loader) = (folder.join("own.cfg"), folder.join("own.efi"));
    fs::write(&config, format!("echo {text}\nsleep 600\n")).context("writing GRUB's configuration")?;
    let mut image = cmd("grub-mkimage", ["--format", "x86_64-efi", "--prefix", "/none", "--config"]);
    output(image.arg(&config).arg("--output").arg(&loader).args(["echo", "sleep"]))?;
    let path = empty_disk(folder.join("disk"), 2000)?;
    output(cmd("mkfs.vfat", ["-F", "32"]).arg(&path))?;
    output(cmd("mmd", ["-i"]).arg(&path).args(["::/EFI", "::/EFI/BOOT"]))?;
    output(cmd("mcopy", ["-i"]).arg(&path).arg(&loader).arg("::/EFI/BOOT/BOOTX64.EFI"))?;
    Ok(path)
}
