//! `inspect`: the disks as anaconda left them, and with them the plan of the rest.

use anyhow::Result;
use host::settle::refused;
use plan::package;

use crate::context::Ctx;

/// Runs the step.
pub fn run(ctx: &mut Ctx) -> Result<()> {
    let facts = ctx.machine.facts(&mut ctx.tracker.clone())?;
    let (arming, attempt) = ctx.ids()?;
    let inputs = package::Inputs {
        facts: &facts,
        nii: ctx.nii()?,
        arming,
        attempt,
        head: ctx.head.as_ref().map(|head| head.base.as_str()),
    };
    let plan = package::finish(&inputs).map_err(|findings| refused(&findings))?;
    plan.warnings.iter().for_each(|finding| ctx.tracker.warn(&finding.to_string()));
    ctx.tracker.show(&plan);
    ctx.plan = Some(plan);
    Ok(())
}
