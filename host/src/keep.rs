//! Host keys that outlive an install: saved off the old system, left with the head node, put into the NII's secrets. And
//! those of the new system, of which the head node is told the public half.

use anyhow::{Context as _, Result, ensure};
use nii::Nii;
use nii::event::Body;
use nii::v1::HostKeys;
use plan::Facts;
use uuid::Uuid;

use crate::machine::{Machine, Watch as _};
use crate::net::errands;
use crate::net::events::Reporter;
use crate::net::head::Session;
use crate::net::retry::Sleep;
use crate::tracker::Tracker;

/// Tells the head node the public host keys of the new root, for others to know the node by. Not worth an install: what
/// cannot be read is a warning.
pub fn report(machine: &mut dyn Machine, reporter: &Reporter, tracker: &Tracker) {
    match machine.host_keys() {
        Ok(keys) if keys.is_empty() => {}
        Ok(keys) => reporter.report(Body::HostKeys { keys }),
        Err(error) => tracker.warn(&format!("reading the new system's SSH host keys: {error:#}")),
    }
}

/// Does what `root.ssh_host_keys: keep` asks for, before anything is destroyed; true if the NII's secrets changed. Keys that
/// the head node holds from an attempt that did not end well win: what that attempt wiped is nowhere else. Keys that are
/// found are left with the head node: RAM does not outlive a power cut. An old Kusu head node (no `session`) holds nothing, and
/// asks for `keep` always: what cannot be kept there is a warning.
///
/// # Errors
/// The head node does not take the keys, or none are found and the install would write what could not be searched.
pub fn host_keys(
    nii: &mut Nii,
    facts: &Facts,
    arming: Uuid,
    session: Option<&Session>,
    sleep: Sleep,
    machine: &mut dyn Machine,
    tracker: &Tracker,
) -> Result<bool> {
    if nii.root.ssh_host_keys != HostKeys::Keep {
        return Ok(false);
    }
    let mut watch = tracker.clone();
    let held = nii.secrets.as_ref().map_or(0, |secrets| secrets.ssh_host_keys.len());
    if held > 0 {
        watch.log(&format!(
            "keeping {held} SSH host keys that the head node holds from an earlier attempt; the disks are not searched"
        ));
        return Ok(false);
    }
    let targets = plan::targets(facts, &nii.storage, arming);
    let salvage = machine.salvage(facts, &targets, arming, &mut watch);
    let found = salvage.host_keys.len();
    ensure!(
        found > 0 || salvage.lost.is_empty() || session.is_none(),
        "the SSH host keys of the old system cannot be kept: none were found, and the install would write what could not be \
         searched: {}. Nothing was written; set `ssh_host_keys` of the document's [root] to `generate` if new keys will do",
        salvage.lost.join("; ")
    );
    salvage.warnings.iter().for_each(|warning| tracker.warn(warning));
    salvage.lost.iter().for_each(|lost| tracker.warn(&format!("not searched for host keys: {lost}")));
    if found == 0 {
        watch.log("no SSH host keys on the disks: new ones are made");
        return Ok(false);
    }
    if let Some(session) = session {
        errands::escrow(session, &salvage.host_keys, sleep, machine, &mut watch)
            .context("leaving the SSH host keys with the head node")?;
    }
    watch.log(&format!("keeping {found} SSH host keys of the old system"));
    nii.secrets.get_or_insert_default().ssh_host_keys = salvage.host_keys;
    Ok(true)
}
