//! The user that the data folder belongs to. `serve` runs as that user, which need not be root; a command of root's becomes
//! it, so that whatever it leaves in the folder can be read by `serve`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Gid, Uid, getuid};
use rustix::thread::{
    CapabilitiesSecureBits, set_capabilities_secure_bits, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

use crate::cli::Command;

/// Who typed the command.
static TYPED_BY: OnceLock<u32> = OnceLock::new();

/// The user that typed the command, whoever runs it by now.
pub fn typed_by() -> u32 {
    *TYPED_BY.get_or_init(|| getuid().as_raw())
}

/// Called while there is one thread only: the kernel has an owner for each.
///
/// # Errors
/// When root is to serve the folder of somebody else, or cannot become its owner.
pub fn become_owner(folder: &Path, command: &Command) -> Result<()> {
    if typed_by() != 0 {
        return Ok(());
    }
    let Some((user, group)) = fs::metadata(folder).ok().map(|folder| (folder.uid(), folder.gid())) else {
        return Ok(());
    };
    if user == 0 {
        return Ok(());
    }
    ensure!(
        !matches!(command, Command::Serve(_)),
        "{} belongs to the user {user}: run `serve` as that user (systemctl start camphor-headnode), not as root",
        folder.display()
    );
    // The doctor makes network namespaces; neither leaves anything in the folder.
    if matches!(command, Command::Doctor(_) | Command::Remote(_)) {
        return Ok(());
    }
    let switch = || -> rustix::io::Result<()> {
        // Root's rights over files and packet sockets stay: only the owner of what is made is another. Programs that are
        // started have the user's rights.
        set_capabilities_secure_bits(CapabilitiesSecureBits::NO_SETUID_FIXUP)?;
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        set_thread_groups(&[group])?;
        set_thread_res_gid(group, group, group)?;
        set_thread_res_uid(user, user, user)
    };
    switch().with_context(|| format!("becoming the user {user} that {} belongs to", folder.display()))
}
