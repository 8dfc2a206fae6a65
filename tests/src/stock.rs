//! The stock side of a package install, as far as tests can have it: a "distribution" whose initrd is made by Debian's
//! dracut, whose anaconda is a stand-in, and whose packages are a Debian root in a tarball. `tests/stock` holds what
//! it is made of, and says what it does not do. It proves our side of the contract; stock anaconda itself does not run
//! here.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::head::{Head, prepared};
use crate::net::HEAD;
use crate::run::{cmd, output};
use crate::scenario::Scenario;
use crate::service::Service;
use crate::{artefacts, cache, paths};

/// The name of the netboot set of the stock side.
pub const NETBOOT: &str = "stock";

/// The name of the os of the stock side.
pub const OS: &str = "rocky10";

/// What stage2 and the initrd are made of, beyond mmdebstrap's `apt` variant.
const PACKAGES: &[&str] = &[
    "systemd-sysv",
    "udev",
    "kmod",
    "dracut-core",
    "dracut-network",
    "procps",
    "isc-dhcp-client",
    "iproute2",
    "iputils-arping",
    "curl",
    "ca-certificates",
    "python3",
    "fdisk",
    "e2fsprogs",
    "xfsprogs",
    "dosfstools",
    "policycoreutils",
    "zstd",
];

/// The stand-in for a distribution's files.
pub struct Stock {
    /// Its kernel.
    pub kernel: PathBuf,
    /// Its initrd, without our segment.
    pub initrd: PathBuf,
    /// Its install tree.
    pub tree: PathBuf,
}

/// Makes [`Stock`], or finds it in the cache.
///
/// # Errors
/// When mmdebstrap, dracut or pip fails.
pub fn stock() -> Result<Stock> {
    let folder = paths::workspace().join("tests/stock");
    let base = base()?;
    let kernel = artefacts::kernel()?;
    let installed = artefacts::root()?;
    let recipe = format!("1 {} {} {}", base.display(), installed.display(), texts(&folder)?);
    let made = cache::entry("stock", &recipe, |path| {
        eprintln!("making the stock initrd and stage2 (once, about a minute)");
        let mut command = cmd("unshare", ["--mount", "--propagation", "private"]);
        command.arg(folder.join("make.sh")).arg(&base).arg(&kernel.modules).arg(&installed).arg(path);
        output(&mut command).map(drop)
    })?;
    Ok(Stock { kernel: kernel.image, initrd: made.join("initrd.img"), tree: made.join("tree") })
}

/// The tarball of a Debian root that has dracut: what the stock side, and a site that makes its own initrds, runs it in.
pub(crate) fn base() -> Result<PathBuf> {
    cache::entry("stock-root.tar", &format!("1 {PACKAGES:?}"), |path| {
        eprintln!("making the root of the stock side with mmdebstrap (once, about a minute)");
        artefacts::debootstrap(PACKAGES, &[], path)
    })
}

impl Stock {
    /// Gives `head` the stock kernel and initrd as [`NETBOOT`], with our segment for them.
    ///
    /// # Errors
    /// When `initrd-builder` or `headnode` is not built, or refuses.
    pub fn offer(&self, head: &Head<'_>, scenario: &Scenario) -> Result<()> {
        let segment = segment(scenario, &[])?;
        let files = [("--kernel", &self.kernel), ("--initrd", &self.initrd), ("--segment", &segment)];
        let mut words = vec!["netboot".to_owned(), "add".to_owned(), NETBOOT.to_owned()];
        for (option, file) in files {
            words.extend([option.to_owned(), file.to_string_lossy().into_owned()]);
        }
        head.cli(words).map(drop)
    }

    /// Gives `head` all of it as the os [`OS`], by the ISO of a DVD. Of its one repository it has the metadata only: the
    /// stand-in's packages are a tarball.
    ///
    /// # Errors
    /// When xorriso or createrepo_c fails, or `headnode` refuses.
    pub fn import(&self, head: &Head<'_>, scenario: &Scenario) -> Result<()> {
        let (repository, iso) = (scenario.scratch().join("BaseOS"), scenario.scratch().join("dvd.iso"));
        let treeinfo = scenario.scratch().join("treeinfo");
        fs::create_dir(&repository).with_context(|| format!("making {}", repository.display()))?;
        output(cmd("createrepo_c", ["--quiet"]).arg(&repository))?;
        fs::write(&treeinfo, TREEINFO).with_context(|| format!("writing {}", treeinfo.display()))?;
        let parts = [
            ("", &self.tree),
            (".treeinfo", &treeinfo),
            ("BaseOS", &repository),
            ("images/pxeboot/vmlinuz", &self.kernel),
            ("images/pxeboot/initrd.img", &self.initrd),
        ];
        let mut command =
            cmd("xorriso", ["-as", "mkisofs", "-quiet", "-R", "-V", "Rocky-10-0-x86_64-dvd", "-o"]);
        command.arg(&iso).arg("-graft-points");
        command.args(parts.map(|(place, part)| format!("/{place}={}", part.display())));
        output(&mut command)?;
        let (segment, iso) = (segment(scenario, &[])?, iso.to_string_lossy().into_owned());
        head.cli(["os", "import", OS, &iso, "--segment", &segment.to_string_lossy()]).map(drop)
    }
}

/// As on a DVD, as far as it counts.
const TREEINFO: &str = "[header]
type = productmd.treeinfo
version = 1.2

[release]
name = Rocky Linux
short = Rocky
version = 10.0

[tree]
arch = x86_64
platforms = x86_64,xen
variants = BaseOS

[images-x86_64]
initrd = images/pxeboot/initrd.img
kernel = images/pxeboot/vmlinuz

[stage2]
mainimage = images/install.img

[variant-BaseOS]
id = BaseOS
name = BaseOS
packages = BaseOS/Packages
repository = BaseOS
type = variant
uid = BaseOS
";

/// Our segment for a stock initrd, made with these further `options`.
///
/// # Errors
/// When `installer` or `initrd-builder` is not built, or refuses.
pub fn segment(scenario: &Scenario, options: &[&str]) -> Result<PathBuf> {
    let segment = scenario.scratch().join("segment.img");
    let mut command = cmd(&paths::program("initrd-builder")?.to_string_lossy(), ["append"]);
    command.arg("--installer").arg(paths::program("installer")?);
    command.arg("--trust").arg(prepared()?.trust).arg("--out").arg(&segment).args(options);
    output(&mut command)?;
    Ok(segment)
}

/// All that the stand-in is written in, as one text.
fn texts(folder: &Path) -> Result<String> {
    Ok([cache::texts(folder)?, cache::texts(&folder.join("dracut"))?].concat())
}

/// The distribution's mirror: a tree over HTTP at [`Mirror::URL`].
pub struct Mirror(Service);

impl Mirror {
    /// Where the tree is, seen from a node.
    pub const URL: &'static str = "http://10.23.0.1:8000";

    /// Starts it; what it is asked for goes to `mirror.log`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(scenario: &Scenario, tree: &Path) -> Result<Self> {
        let mut command = scenario.net.command("python3");
        command.args(["-u", "-m", "http.server", "8000", "--bind", HEAD, "--directory"]).arg(tree);
        Service::start(command, &scenario.logs.join("mirror.log"), "Serving HTTP").map(Self)
    }

    /// What it was asked for, a line each.
    pub fn text(&self) -> String {
        self.0.text()
    }
}
