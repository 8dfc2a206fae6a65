//! `kickstart`: the file that anaconda gets. It has no secret, but it is nobody else's business.

use anyhow::{Context as _, Result};

use crate::context::Ctx;
use crate::state;

/// Runs the step.
pub fn run(ctx: &mut Ctx) -> Result<()> {
    let text = ctx.kickstart.as_ref().context("there is no kickstart yet")?;
    state::write(&ctx.out, text.as_bytes(), 0o600)
}
