//! The real things that the scenarios install: a Debian root with its kernel, made once and cached.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::run::{cmd, output};
use crate::{cache, paths};

/// The release that the root is made of.
const SUITE: &str = "bookworm";

/// What the root has beyond mmdebstrap's `apt` variant: enough to boot from BIOS and UEFI, to log in on a console and
/// over SSH, and nothing that slows a boot down. (`xfsprogs` stays out: it brings Python and ICU, and its fsck does
/// nothing.)
const PACKAGES: &[&str] = &[
    "systemd-sysv",
    "udev",
    "dbus",
    "linux-image-cloud-amd64",
    "initramfs-tools",
    "grub-pc-bin",
    "grub2-common",
    "grub-efi-amd64-bin",
    "systemd-boot",
    "kmod",
    "zstd",
    "iproute2",
    "ifupdown",
    "isc-dhcp-client",
    "openssh-server",
    "dosfstools",
    "tzdata",
    // What a root on arrays and volumes is started with.
    "mdadm",
    "lvm2",
    "thin-provisioning-tools",
    "btrfs-progs",
];

/// Left out of the root: what nobody reads on a node.
const EXCLUDED: &[&str] = &[
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "/usr/share/i18n/*",
    "/usr/share/info/*",
];

/// A kernel with its modules, taken out of the root.
pub struct KernelTree {
    /// Its release, as `uname -r` prints it.
    pub release: String,
    /// The bzImage.
    pub image: PathBuf,
    /// The folder that holds `usr/lib/modules/RELEASE`.
    pub modules: PathBuf,
}

/// The tarball of a bootable Debian root (about 340 MB), made with mmdebstrap from the machine's own apt sources.
///
/// # Errors
/// When mmdebstrap fails.
pub fn root() -> Result<PathBuf> {
    let recipe = format!("1 {SUITE} {PACKAGES:?} {EXCLUDED:?} {FAST:?}");
    cache::entry("root.tar", &recipe, |path| {
        eprintln!("making a Debian root with mmdebstrap (once, about a minute)");
        debootstrap(PACKAGES, &[FAST], path)
    })
}

/// An initramfs that is made on an emulated processor takes minutes with zstd's level 19, Debian's default.
const FAST: &str = "printf 'COMPRESS=zstd\nCOMPRESSLEVEL=1\n' >$1/etc/initramfs-tools/conf.d/fast";

/// A tarball at `path` of mmdebstrap's `apt` variant of Debian with `packages`, without documentation; `hooks` are shell
/// commands that change the root, which is their `$1`.
///
/// # Errors
/// When mmdebstrap fails.
pub fn debootstrap(packages: &[&str], hooks: &[&str], path: &Path) -> Result<()> {
    let mut command = cmd("mmdebstrap", ["--variant=apt", "--format=tar", "--quiet"]);
    command.arg(format!("--include={}", packages.join(",")));
    for hook in hooks {
        command.arg(format!("--customize-hook={hook}"));
    }
    for pattern in EXCLUDED {
        command.arg(format!("--dpkgopt=path-exclude={pattern}"));
    }
    command.arg("--aptopt=APT::Install-Recommends \"false\"").arg(SUITE).arg(path);
    command.args(mirrors()?);
    output(&mut command).map(drop)
}

/// The kernel of [`root`].
///
/// # Errors
/// When there is no root, or tar fails.
pub fn kernel() -> Result<KernelTree> {
    let root = root()?;
    let modules = cache::entry("kernel", &root.to_string_lossy(), |path| {
        fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
        let mut command = cmd("tar", ["--extract", "--wildcards", "--file"]);
        command.arg(&root).arg("--directory").arg(path).args(["./boot/vmlinuz-*", "./usr/lib/modules/*"]);
        output(&mut command).map(drop)
    })?;
    let release = only_entry(&modules.join("usr/lib/modules"))?;
    let image = modules.join(format!("boot/vmlinuz-{release}"));
    ensure!(image.exists(), "{} is missing", image.display());
    Ok(KernelTree { release, image, modules })
}

/// Our initrd for `kernel`, which trusts the keys in the file `trust`, at `path`.
///
/// # Errors
/// When `initrd-builder` is not built, or fails.
pub fn initrd(kernel: &KernelTree, trust: &Path, path: &Path) -> Result<()> {
    let mut command = cmd(&paths::program("initrd-builder")?.to_string_lossy(), ["build"]);
    command.args(["--kernel-version", &kernel.release, "--modules"]).arg(&kernel.modules);
    command.arg("--init").arg(paths::program("imageinit")?);
    command.arg("--trust").arg(trust).arg("--output").arg(path);
    output(&mut command).map(drop)
}

/// The same with every tool that makes a layout.
///
/// # Errors
/// As [`initrd`].
pub fn stacked_initrd(kernel: &KernelTree, trust: &Path, path: &Path) -> Result<()> {
    let mut command = cmd(&paths::program("initrd-builder")?.to_string_lossy(), ["build"]);
    command.args(["--kernel-version", &kernel.release, "--modules"]).arg(&kernel.modules);
    command.arg("--init").arg(paths::program("imageinit")?);
    command.args(["--tool-set", "ext4,xfs,vfat,busybox,btrfs,lvm,raid,luks"]);
    command.args(["--module-set", "net,storage,fs,console,dm,raid,btrfs", "--level", "3"]);
    command.arg("--trust").arg(trust).arg("--output").arg(path);
    output(&mut command).map(drop)
}

/// The initrd of the storage scenarios for `kernel`, at `path`: the program that installs layouts again and again with the
/// `cases` in this file, every tool that makes a layout, and those that check one.
///
/// # Errors
/// As [`initrd`].
pub fn storage_initrd(kernel: &KernelTree, trust: &Path, cases: &Path, path: &Path) -> Result<()> {
    let mut command = cmd(&paths::program("initrd-builder")?.to_string_lossy(), ["build"]);
    command.args(["--kernel-version", &kernel.release, "--modules"]).arg(&kernel.modules);
    command.arg("--init").arg(paths::program("storage-guest")?);
    command.args(["--tool-set", "ext4,xfs,vfat,btrfs,lvm,raid,luks"]);
    command.args(["--tool", "fsck.ext4,xfs_repair,fsck.vfat,btrfs,nvme"]);
    command.args(["--module-set", "storage,fs,console,dm,raid,btrfs", "--level", "3"]);
    command.arg("--add").arg(format!("{}:/cases.json", cases.display()));
    command.arg("--trust").arg(trust).arg("--output").arg(path);
    output(&mut command).map(drop)
}

/// The machine's own sources of Debian packages of [`SUITE`], as lines of a `sources.list`. A machine of another
/// release or distribution has none; then mmdebstrap takes its own default.
fn mirrors() -> Result<Vec<String>> {
    let format = "$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)";
    let listed = output(&mut cmd("apt-get", ["indextargets", "--format", format, "Created-By: Packages"]));
    let mut mirrors: Vec<String> = listed?.lines().filter_map(mirror).collect();
    mirrors.dedup();
    Ok(mirrors)
}

fn mirror(line: &str) -> Option<String> {
    let mut words = line.split(' ');
    let (origin, suite, component, uri) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let ours = suite == SUITE || suite.strip_prefix(SUITE).is_some_and(|rest| rest.starts_with('-'));
    (origin == "Debian" && ours).then(|| format!("deb {uri} {suite} {component}"))
}

fn only_entry(folder: &Path) -> Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    ensure!(names.len() == 1, "{} should hold one kernel, and holds {names:?}", folder.display());
    Ok(names.remove(0))
}

#[cfg(test)]
mod tests {
    use super::mirror;

    #[test]
    fn only_debian_sources_of_the_suite_are_taken() {
        let taken = mirror("Debian bookworm-security main http://mirror.example/debian-security/");
        assert_eq!(taken.unwrap(), "deb http://mirror.example/debian-security/ bookworm-security main");
        assert_eq!(mirror("Debian trixie main http://mirror.example/debian/"), None);
        assert_eq!(mirror("Other bookworm main http://mirror.example/other/"), None);
    }
}
