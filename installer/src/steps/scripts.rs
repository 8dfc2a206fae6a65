//! `scripts`: those of all phases, before anything is destroyed: one that is missing must not cost a disk.

use std::path::Path;

use anyhow::{Context as _, Result};
use host::net::errands;
use plan::package::{SCRIPTS, script_path};

use crate::context::Ctx;
use crate::state;

/// Runs the step.
pub fn run(ctx: &mut Ctx) -> Result<()> {
    let scripts = ctx.nii()?.scripts.clone();
    let (sleep, mut watch) = (ctx.sleep, ctx.tracker.clone());
    for script in &scripts {
        let path = script_path(&scripts, script).context("the script is not of the NII")?;
        let session = ctx.session.as_ref();
        let bytes = errands::file(session, &script.url, script.digest, sleep, &mut *ctx.machine, &mut watch)
            .with_context(|| format!("fetching the script `{}`", script.name))?;
        let below = Path::new(&path).strip_prefix(SCRIPTS).context("its path is elsewhere")?;
        state::write(&ctx.scripts.join(below), &bytes, 0o700)?;
    }
    Ok(())
}
