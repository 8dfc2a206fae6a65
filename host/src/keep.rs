//! Host keys that outlive an install: saved off the old system, left with the head node, put into the NII's secrets.

use anyhow::{Context as _, Result};
use nii::Nii;
use nii::v1::{HostKeys, SshHostKey};
use plan::Facts;
use uuid::Uuid;

use crate::machine::{Machine, Watch as _};
use crate::tracker::Tracker;

/// Does what `root.ssh_host_keys: keep` asks for, before anything is destroyed; true if the NII's secrets changed. Without
/// keys on the disks those that the head node kept from an earlier attempt stay. `escrow` leaves keys with the head node: RAM
/// does not outlive a power cut.
///
/// # Errors
/// Those of `escrow`.
pub fn host_keys(
    nii: &mut Nii,
    facts: &Facts,
    arming: Uuid,
    machine: &mut dyn Machine,
    tracker: &Tracker,
    escrow: impl FnOnce(&mut dyn Machine, &[SshHostKey]) -> Result<()>,
) -> Result<bool> {
    if nii.root.ssh_host_keys != HostKeys::Keep {
        return Ok(false);
    }
    let mut watch = tracker.clone();
    let salvage = machine.salvage(facts, arming, &mut watch);
    salvage.warnings.iter().for_each(|warning| tracker.warn(warning));
    let secrets = nii.secrets.get_or_insert_default();
    if salvage.host_keys.is_empty() {
        watch.log(match secrets.ssh_host_keys.is_empty() {
            true => "no SSH host keys on the disks: new ones are made",
            false => "no SSH host keys on the disks: those that the head node kept are used",
        });
        return Ok(false);
    }
    escrow(machine, &salvage.host_keys).context("leaving the SSH host keys with the head node")?;
    watch.log(&format!("keeping {} SSH host keys of the old system", salvage.host_keys.len()));
    let changed = secrets.ssh_host_keys != salvage.host_keys;
    secrets.ssh_host_keys = salvage.host_keys;
    Ok(changed)
}
