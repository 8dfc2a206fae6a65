//! `finish`: from the end of anaconda's own work to an install that counts.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use host::console::Console;
use host::net::http::Http;
use host::observers::policy;
use host::runner;
use nii::event::Body;

use crate::context::Ctx;
use crate::steps::{ANACONDA, FINISH, FINISH_PART};
use crate::{heartbeat, hold};

/// Runs the steps on the root that anaconda made. Comes back only when the install counts: anaconda would reboot the
/// node as if it did.
///
/// # Errors
/// None; a failure is shown, reported, and held.
pub fn run(root: &Path) -> Result<()> {
    let mut ctx = match open(root) {
        Ok(ctx) => ctx,
        Err(error) => hold::early(&error),
    };
    hold::on_panic(&ctx);
    if let Some(took) = heartbeat::end(&ctx.state) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        ctx.reporter.report(Body::StepFinished { step: ANACONDA.0.to_owned(), ms });
    }
    let (tracker, reporter, on_failure) = (ctx.tracker.clone(), ctx.reporter.clone(), ctx.policy.clone());
    let overdue = |failure: &_| hold::alone(failure, &reporter, policy(&on_failure));
    match runner::run_part(FINISH, FINISH_PART, &mut ctx, &tracker, &overdue) {
        Ok(()) => Ok(()),
        Err(failure) => hold::after(&failure, &mut ctx),
    }
}

fn open(root: &Path) -> Result<Ctx> {
    let mut console = Console::open();
    let ctx = Ctx::open(Box::new(move |line| console.say(line)))?;
    // Anaconda's /mnt/sysroot is a link in some versions; the kernel's list of mounts has none.
    let root =
        fs::canonicalize(root).with_context(|| format!("looking for the new root {}", root.display()))?;
    let trust = ctx.state.trust()?;
    let http = Http::new(&trust, ctx.clock.clone())?;
    let machine = host::linux::Linux::new(http, &trust)?.with_root(root);
    Ok(Ctx { machine: Box::new(machine), ..ctx })
}
