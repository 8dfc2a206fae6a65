//! `cargo xtask setup`: everything the other commands need, installed where that can be done.
//!
//! To add a tool, add a line to [`TOOLS`].

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use harness::run::{cmd, output, show};
use harness::{artefacts, paths, stock};

/// Something that must be on the machine.
struct Tool {
    /// A command, or the absolute path of a file: what tells whether it is there.
    probe: &'static str,
    /// The Debian package.
    debian: &'static str,
    /// The Fedora or RHEL package (RHEL: some are in EPEL).
    fedora: &'static str,
}

const fn tool(probe: &'static str, debian: &'static str, fedora: &'static str) -> Tool {
    Tool { probe, debian, fedora }
}

const TOOLS: &[Tool] = &[
    // to compile
    tool("cc", "build-essential", "gcc"),
    tool("make", "build-essential", "make"),
    tool("readelf", "binutils", "binutils"),
    // machines
    tool("qemu-system-x86_64", "qemu-system-x86", "qemu-system-x86-core"),
    tool("qemu-img", "qemu-utils", "qemu-img"),
    tool("/usr/share/OVMF/OVMF_CODE_4M.fd", "ovmf", "edk2-ovmf"),
    tool("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "ovmf", "edk2-ovmf"),
    tool("/usr/lib/ipxe/qemu/efi-virtio.rom", "ipxe-qemu", "ipxe-roms-qemu"),
    tool("/usr/lib/ipxe/undionly.kpxe", "ipxe", "ipxe-bootimgs-x86"),
    tool("swtpm", "swtpm", "swtpm"),
    // what Secure Boot checks
    tool("openssl", "openssl", "openssl"),
    tool("sbsign", "sbsigntool", "sbsigntools"),
    tool("/usr/lib/systemd/boot/efi/linuxx64.efi.stub", "systemd-boot-efi", "systemd-boot-unsigned"),
    tool("ip", "iproute2", "iproute"),
    tool("dnsmasq", "dnsmasq-base", "dnsmasq"),
    tool("ssh", "openssh-client", "openssh-clients"),
    tool("setpriv", "util-linux", "util-linux"),
    // the head node's helper for a local boot
    tool("grub-mkimage", "grub-common", "grub2-tools"),
    tool("/usr/lib/grub/x86_64-efi/modinfo.sh", "grub-efi-amd64-bin", "grub2-efi-x64-modules"),
    // the root and what goes into initrds
    tool("mmdebstrap", "mmdebstrap", "mmdebstrap"),
    tool("mkfs.ext4", "e2fsprogs", "e2fsprogs"),
    tool("mkfs.xfs", "xfsprogs", "xfsprogs"),
    tool("mkfs.vfat", "dosfstools", "dosfstools"),
    tool("sfdisk", "fdisk", "util-linux"),
    tool("losetup", "mount", "util-linux-core"),
    tool("lvm", "lvm2", "lvm2"),
    tool("mkfs.btrfs", "btrfs-progs", "btrfs-progs"),
    tool("mdadm", "mdadm", "mdadm"),
    tool("cryptsetup", "cryptsetup-bin", "cryptsetup"),
    tool("nvme", "nvme-cli", "nvme-cli"),
    tool("busybox", "busybox-static", "busybox"),
    tool("depmod", "kmod", "kmod"),
    // what tests and the bench compare with
    tool("/usr/lib/dracut/modules.d/40network", "dracut-network", "dracut-network"),
    tool("dracut", "dracut-core", "dracut"),
    tool("cpio", "cpio", "cpio"),
    tool("shellcheck", "shellcheck", "ShellCheck"),
    tool("dash", "dash", "dash"),
    tool("mksquashfs", "squashfs-tools", "squashfs-tools"),
    tool("sqlite3", "sqlite3", "sqlite"),
    tool("/usr/bin/time", "time", "time"),
    tool("curl", "curl", "curl"),
    tool("zstd", "zstd", "zstd"),
    tool("bzip2", "bzip2", "bzip2"),
    tool("xz", "xz-utils", "xz"),
    tool("mtype", "mtools", "mtools"),
    tool("setfattr", "attr", "attr"),
    tool("setfacl", "acl", "acl"),
    tool("setcap", "libcap2-bin", "libcap"),
    tool("minisign", "minisign", "minisign"),
    tool("bsdtar", "libarchive-tools", "bsdtar"),
    // what doctor asks for firewall rules
    tool("nft", "nftables", "nftables"),
    // what reads the files of the head node's plugins
    tool("dhcpd", "isc-dhcp-server", "dhcp-server"),
    tool("kea-dhcp4", "kea-dhcp4-server", "kea"),
    tool("nodeattr", "genders", "genders"),
    tool("ansible-inventory", "ansible-core", "ansible-core"),
    tool("slurmd", "slurmd", "slurm-slurmd"),
    tool("grub-script-check", "grub-common", "grub2-tools"),
    // machines that boot by those menus
    tool("grub-mknetdir", "grub-common", "grub2-tools"),
    tool("/usr/lib/PXELINUX/lpxelinux.0", "pxelinux", "syslinux"),
    tool("/usr/lib/syslinux/modules/bios/ldlinux.c32", "syslinux-common", "syslinux"),
    tool("ssh-keygen", "openssh-client", "openssh"),
    // a distribution's DVD and its repositories, and what reads them
    tool("xorriso", "xorriso", "xorriso"),
    tool("createrepo_c", "createrepo-c", "createrepo_c"),
    tool("rpmbuild", "rpm", "rpm-build"),
    tool("dnf", "dnf", "dnf"),
    // pykickstart and virt-firmware, each in a Python environment of its own
    tool("python3", "python3", "python3"),
    tool("/usr/share/python-wheels", "python3-venv", "python3"),
];

/// Installs what is missing. Quick when nothing is.
pub fn run() -> Result<()> {
    let started = Instant::now();
    packages()?;
    output(&mut cmd("bash", [musl_script()])).context("setting up the static toolchain")?;
    cargo_deny()?;
    python("pykickstart", "tests/stock").context("setting up what reads our kickstarts back")?;
    python("virt-firmware", "tests/firmware").context("setting up what puts keys into firmware")?;
    artefacts::kernel().context("making the root that tests install")?;
    stock::stock().context("making the stock side of package installs")?;
    println!("setup: all there ({:.1} s)", started.elapsed().as_secs_f64());
    Ok(())
}

/// The script that makes the musl target usable, and prints the environment it needs.
pub fn musl_script() -> PathBuf {
    paths::workspace().join("scripts/musl-toolchain.sh")
}

fn packages() -> Result<()> {
    if !there("apt-get") {
        return name_packages();
    }
    let missing: Vec<&Tool> = TOOLS.iter().filter(|tool| !there(tool.probe)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    install(&unique(missing.iter().map(|tool| tool.debian)))?;
    let still: Vec<&str> = TOOLS.iter().filter(|tool| !there(tool.probe)).map(|tool| tool.probe).collect();
    ensure!(still.is_empty(), "installed, but still not found: {}", still.join(", "));
    Ok(())
}

/// Where packages are not ours to install: says which. Files lie elsewhere there, so only commands are looked for; the
/// scenarios themselves take firmware from Debian's paths (README).
fn name_packages() -> Result<()> {
    let commands = TOOLS.iter().filter(|tool| !tool.probe.starts_with('/'));
    if commands.clone().all(|tool| there(tool.probe)) {
        return Ok(());
    }
    let names = unique(TOOLS.iter().map(|tool| tool.fedora));
    bail!("install these packages, then run this again (RHEL: with EPEL):\n  dnf install {}", names.join(" "))
}

fn there(probe: &str) -> bool {
    if probe.starts_with('/') {
        return Path::new(probe).exists();
    }
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').chain(["/usr/sbin", "/sbin"]).any(|folder| Path::new(folder).join(probe).exists())
}

fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn install(packages: &[&str]) -> Result<()> {
    println!("setup: installing {}", packages.join(" "));
    ensure!(is_root()?, "run as root: apt-get install --no-install-recommends {}", packages.join(" "));
    // Package lists may be absent (a fresh container) or stale (a file that the mirror has replaced).
    let wanted = qemu_of_one_version(packages);
    if wanted.is_err() || apt(&wanted?).is_err() {
        show(&mut cmd("apt-get", ["-q", "-o", "DPkg::Lock::Timeout=600", "update"]))?;
        apt(&qemu_of_one_version(packages)?)?;
    }
    Ok(())
}

/// QEMU and its utils must be of one version: a machine that has the utils from backports would otherwise have to
/// remove them.
fn qemu_of_one_version(packages: &[&str]) -> Result<Vec<String>> {
    let mut wanted: Vec<String> = Vec::new();
    for package in packages {
        if !package.starts_with("qemu-") {
            wanted.push((*package).to_owned());
        }
    }
    if wanted.len() < packages.len() {
        let policy = output(&mut cmd("apt-cache", ["policy", "qemu-system-x86"]))?;
        let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "));
        let version = version.context("apt knows no qemu-system-x86")?;
        wanted.extend(["qemu-system-x86", "qemu-utils"].map(|package| format!("{package}={version}")));
    }
    Ok(wanted)
}

fn apt(packages: &[String]) -> Result<()> {
    let mut command = cmd("apt-get", ["-q", "-y", "-o", "DPkg::Lock::Timeout=600", "install"]);
    command.args(["--no-install-recommends", "--allow-downgrades"]).args(packages);
    show(command.env("DEBIAN_FRONTEND", "noninteractive"))
}

fn is_root() -> Result<bool> {
    Ok(output(&mut cmd("id", ["-u"]))?.trim() == "0")
}

/// Makes the Python environment `name`, with what the `requirements.txt` in `folder` pins. A copy of that file inside says
/// that it is whole.
fn python(name: &str, folder: &str) -> Result<()> {
    let requirements = paths::workspace().join(folder).join("requirements.txt");
    let wanted = fs::read(&requirements).with_context(|| format!("reading {}", requirements.display()))?;
    let folder = paths::target().join(name);
    let stamp = folder.join("requirements.txt");
    if fs::read(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    println!("setup: installing {name} into {}", folder.display());
    let word = |path: &Path| path.to_string_lossy().into_owned();
    output(&mut cmd("python3", ["-m", "venv", "--clear", &word(&folder)]))?;
    let pip = ["install", "--quiet", "--disable-pip-version-check", "--requirement", &word(&requirements)];
    output(&mut cmd(&word(&folder.join("bin/pip")), pip))?;
    fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))
}

/// Installs cargo-deny when it is not there.
pub fn cargo_deny() -> Result<()> {
    cargo_command("deny")
}

/// Installs cargo-fuzz when it is not there; and the C++ compiler that libFuzzer wants.
pub fn cargo_fuzz() -> Result<()> {
    if there("apt-get") && !there("c++") {
        install(&["g++"])?;
    }
    cargo_command("fuzz")
}

fn cargo_command(name: &str) -> Result<()> {
    let program = format!("cargo-{name}");
    if there(&program) || output(&mut cmd("cargo", [name, "--version"])).is_ok() {
        return Ok(());
    }
    println!("setup: installing {program} (some minutes, once)");
    show(&mut cmd("cargo", ["install", "--locked", "--quiet", &program]))
}
