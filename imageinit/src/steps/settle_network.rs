//! `settle-network`: the NII's kernel modules in order, then the interfaces as the NII says.

use anyhow::Result;
use host::settle::refused;

use crate::context::Ctx;

/// Runs the step. Modules first: an interface may need one.
pub fn run(ctx: &mut Ctx) -> Result<()> {
    let modules = plan::network::modules(ctx.nii()?);
    ctx.apply(&modules)?;
    let facts = ctx.machine.facts(&mut ctx.tracker.clone())?;
    let ops = plan::network::as_wanted(&facts, ctx.nii()?).map_err(|findings| refused(&findings))?;
    ctx.apply(&ops)
}
