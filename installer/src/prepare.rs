//! `prepare`: from the initrd's network to a kickstart.

use std::path::Path;

use anyhow::Result;
use host::console::Console;
use host::console::policy::End;
use host::linux::power;
use host::observers::policy;
use host::runner;
use nii::secret::Secret;
use nii::session::TOKEN_PATH;

use crate::context::Ctx;
use crate::hold;
use crate::state;
use crate::steps::{PREPARE, PREPARE_PART};

/// Runs the steps. Comes back only with a kickstart: dracut goes on with whatever it is told.
///
/// # Errors
/// None; a failure is shown, reported, and held.
pub fn run(out: &Path) -> Result<()> {
    let mut ctx = match open(out) {
        Ok(ctx) => ctx,
        Err(error) => hold::early(&error),
    };
    hold::on_panic(&ctx);
    ctx.options.warnings.iter().for_each(|warning| ctx.tracker.warn(warning));
    let (tracker, reporter, on_failure) = (ctx.tracker.clone(), ctx.reporter.clone(), ctx.policy.clone());
    let overdue = |failure: &_| hold::alone(failure, &reporter, policy(&on_failure));
    match runner::run_part(PREPARE, PREPARE_PART, &mut ctx, &tracker, &overdue) {
        Ok(()) if ctx.committed => power::end(End::Reboot, &mut Console::open()),
        Ok(()) => Ok(()),
        Err(failure) => hold::after(&failure, &mut ctx),
    }
}

/// The token leaves the initrd's files before anything else runs.
fn open(out: &Path) -> Result<Ctx> {
    let token = state::take(Path::new(TOKEN_PATH))?.map(Secret::new);
    let mut console = Console::open();
    console.say(concat!("camphor: installer ", env!("CARGO_PKG_VERSION")));
    let ctx = Ctx::open(Box::new(move |line| console.say(line)))?;
    Ok(Ctx { token, out: out.to_owned(), ..ctx })
}
