//! `salvage`: the host keys of the old system, before the disks are written.

use anyhow::{Context as _, Result};
use host::keep;
use host::net::errands;

use crate::context::Ctx;

/// Runs the step.
pub fn run(ctx: &mut Ctx) -> Result<()> {
    let (tracker, sleep) = (ctx.tracker.clone(), ctx.sleep);
    let (arming, session) = (ctx.ids()?.0, ctx.session.clone());
    let facts = ctx.facts.as_ref().context("the machine was not looked at yet")?;
    let nii = ctx.nii.as_mut().context("there is no NII yet")?;
    keep::host_keys(nii, facts, arming, &mut *ctx.machine, &tracker, |machine, keys| {
        // An old Kusu head node keeps nothing for its nodes: a power cut loses them.
        let Some(session) = &session else { return Ok(()) };
        errands::escrow(session, keys, sleep, machine, &mut tracker.clone())
    })?;
    ctx.state.keep_nii(nii)
}
