//! Plugins and templates that come with the head node. They are scripts like a site's own: a template, a file, and what
//! is done when the file has changed. To add one: a script in `plugins/`, a template in `plugins/templates/`, a line here,
//! a section in docs/plugins.md, a test with the program that reads the file.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// A plugin that comes with the head node.
#[derive(Debug)]
pub struct Shipped {
    /// Its name, and that of its template.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// The script.
    pub script: &'static str,
    /// The template.
    pub template: &'static str,
}

macro_rules! shipped {
    ($($name:literal: $about:literal,)*) => {
        &[$(Shipped {
            name: $name,
            about: $about,
            script: include_str!(concat!("../../plugins/", $name)),
            template: include_str!(concat!("../../plugins/templates/", $name, ".j2")),
        }),*]
    };
}

/// All of them.
pub const SHIPPED: &[Shipped] = shipped! {
    "hosts": "names and addresses in /etc/hosts",
    "dnsmasq": "reservations for a dnsmasq of the site's own",
    "dhcpd": "reservations for ISC dhcpd",
    "kea": "reservations for Kea",
    "known-hosts": "the nodes' SSH host keys, for all users",
    "genders": "groups and attributes for pdsh",
    "ansible": "an inventory",
    "slurm": "node lines, from the attribute slurm",
    "pxelinux": "boot menus for firmware with PXELINUX instead of iPXE",
    "grub": "boot menus for firmware with GRUB instead of iPXE",
};

/// The place of a shipped plugin among a site's own.
const ORDER: u32 = 50;

/// The shipped plugin of that name.
///
/// # Errors
/// When there is none.
pub fn find(name: &str) -> Result<&'static Shipped> {
    let found = SHIPPED.iter().find(|shipped| shipped.name == name);
    found.with_context(|| format!("no plugin `{name}` is shipped: see `headnode plugin list`"))
}

/// Where a shipped plugin is in the folder of plugins.
pub fn place(folder: &Path, shipped: &Shipped) -> PathBuf {
    folder.join(format!("{ORDER}-{}", shipped.name))
}

/// Puts its script into the folder of plugins.
///
/// # Errors
/// When something of its name is there (a site may have changed it), or it cannot be written.
pub fn install(folder: &Path, shipped: &Shipped) -> Result<PathBuf> {
    let path = place(folder, shipped);
    ensure!(!path.exists(), "{} is there already: remove it first, if it may go", path.display());
    let write = || -> Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(shipped.script.as_bytes())?;
        file.as_file().set_permissions(Permissions::from_mode(0o755))?;
        file.persist_noclobber(&path)?;
        Ok(())
    };
    write().with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
