//! `salvage`: the host keys of the old system, before the disks are written.

use anyhow::{Context as _, Result};
use host::keep;

use crate::context::Ctx;

/// Runs the step.
pub fn run(ctx: &mut Ctx) -> Result<()> {
    let (tracker, sleep, arming) = (ctx.tracker.clone(), ctx.sleep, ctx.ids()?.0);
    let facts = ctx.facts.as_ref().context("the machine was not looked at yet")?;
    let nii = ctx.nii.as_mut().context("there is no NII yet")?;
    keep::host_keys(nii, facts, arming, ctx.session.as_ref(), sleep, &mut *ctx.machine, &tracker)?;
    ctx.state.keep_nii(nii)
}
