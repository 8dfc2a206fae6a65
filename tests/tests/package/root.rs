//! What must be in the root of an installed node, whoever made it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, Result, ensure};
use tests::disk::Mounted;
use tests::run::{cmd, output};

/// What the group document asked for.
pub struct Wanted {
    /// Root's password, hashed.
    pub hash: String,
    /// Who may log in as root.
    pub key: String,
}

/// The host keys in a root: name and text of each file, by name.
pub fn host_keys(root: &Mounted) -> Result<Vec<(String, String)>> {
    let mut keys = Vec::new();
    for entry in fs::read_dir(root.path("/etc/ssh")).context("reading /etc/ssh on the node's disk")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with("ssh_host_") {
            keys.push((name.clone(), root.read(&format!("/etc/ssh/{name}"))?));
        }
    }
    keys.sort();
    ensure!(!keys.is_empty(), "there are no host keys in /etc/ssh");
    Ok(keys)
}

/// Checks what the group document said of the node, and that its secrets are nowhere but where they belong.
pub fn check(root: &Mounted, wanted: &Wanted) -> Result<()> {
    let Wanted { hash, key } = wanted;
    let shadow = root.read("/etc/shadow")?;
    let found = shadow.lines().find_map(|line| line.strip_prefix("root:")?.split(':').next());
    ensure!(found == Some(hash), "root's password in /etc/shadow is {found:?}");
    mode(root, "/etc/ssh/ssh_host_ed25519_key", 0o600)?;
    ensure!(root.read("/root/.ssh/authorized_keys")?.trim() == key, "root's authorized_keys is another one");
    mode(root, "/root/.ssh/authorized_keys", 0o600)?;
    mode(root, "/root/.ssh", 0o700)?;
    let zone = fs::read_link(root.path("/etc/localtime")).context("reading the link /etc/localtime")?;
    ensure!(zone.ends_with("zoneinfo/Europe/Berlin"), "/etc/localtime is {}", zone.display());
    scripts(root)?;
    labelled(root, "/root/post-ran")?;
    let exported = root.read("/etc/profile.nii")?;
    ensure!(!exported.contains(hash), "/etc/profile.nii has the password's hash");
    let kickstart = root.read("/root/original-ks.cfg")?;
    ensure!(!kickstart.contains(hash), "the kickstart has the password's hash");
    Ok(())
}

/// The post script ran, in the root and with the NII's words; that of the first boot waits for it.
fn scripts(root: &Mounted) -> Result<()> {
    let ran = root.read("/root/post-ran")?;
    ensure!(ran.contains("n001"), "the post script saw no node name: {ran:?}");
    ensure!(ran.contains("=it's 4\n"), "the post script saw no attribute `rack`: {ran:?}");
    mode(root, "/var/lib/camphor/first-boot", 0o700)?;
    let first = root.read("/var/lib/camphor/scripts/first-boot/01-site-first")?;
    ensure!(first.contains("echo first boot"), "the first-boot script is {first:?}");
    let wants = "/etc/systemd/system/multi-user.target.wants/camphor-first-boot.service";
    fs::read_link(root.path(wants)).context("looking for the first-boot unit").map(drop)
}

/// What camphor writes has the label that the root's own policy says (the stand-in's says the same of everything).
fn labelled(root: &Mounted, path: &str) -> Result<()> {
    let words = ["--name=security.selinux", "--only-values", "--absolute-names"];
    let label = output(cmd("getfattr", words).arg(root.path(path)))?;
    ensure!(
        label.trim_end_matches('\0') == "system_u:object_r:default_t:s0",
        "{path} has the label {label:?}"
    );
    Ok(())
}

fn mode(root: &Mounted, path: &str, wanted: u32) -> Result<()> {
    let found = fs::metadata(root.path(path)).with_context(|| format!("looking at {path}"))?;
    let (mode, owner) = (found.mode() & 0o7777, (found.uid(), found.gid()));
    ensure!(mode == wanted && owner == (0, 0), "{path} has the mode {mode:o} and the owner {owner:?}");
    Ok(())
}
