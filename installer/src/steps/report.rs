//! `report`: the head node is told that the node is installed.
//!
//! An install with a committed journal counts by that: if its report is lost, the next boot makes up for it. Without one (the
//! disks are anaconda's, or the head node is Kusu's, whose armings nobody can tell apart) the head node would install the
//! node again at its next boot: there the report is everything, and no time is too long for it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use host::net::events::Reporter;
use host::{Watch as _, kusu};
use nii::event::Body;
use nii::v1::InstallType;

use crate::context::Ctx;

/// How long a try lasts.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two tries at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));
/// What a person at the console must know meanwhile.
const STAY: &str = "this node is installed, and the head node does not know: without the report it would install it again at the next boot";

/// Runs the step.
pub fn run(ctx: &mut Ctx) -> Result<()> {
    if let Some(node) = &ctx.kusu {
        let mut watch = ctx.tracker.clone();
        let kind = InstallType::Package;
        return kusu::report_installed(node, kind, ctx.sleep, &mut *ctx.machine, &mut watch).context(STAY);
    }
    let arming = ctx.ids()?.0;
    ctx.reporter.report(Body::Installed { arming, peak_kib: host::linux::facts::peak_kib(), image_bytes: 0 });
    if !ctx.partitions() {
        return until_told(ctx, PATIENCE);
    }
    if !ctx.reporter.flush(PATIENCE) {
        ctx.tracker.warn(&format!("the head node could not be told: {}", why(&ctx.reporter)));
    }
    Ok(())
}

/// Tries until the head node has the report.
///
/// # Errors
/// It takes none from this attempt any more.
pub(super) fn until_told(ctx: &mut Ctx, patience: Duration) -> Result<()> {
    let mut pause = PAUSES.0;
    while !ctx.reporter.flush(patience) {
        let why = why(&ctx.reporter);
        if ctx.reporter.refused().is_some() {
            bail!(
                "{STAY}; it refuses the report: {why}. Run `headnode boot local` for the node before it boots again"
            );
        }
        let seconds = pause.as_secs();
        ctx.tracker.clone().log(&format!("{STAY} ({why}); trying again in {seconds} s"));
        (ctx.sleep)(pause);
        pause = (pause * 2).min(PAUSES.1);
    }
    Ok(())
}

fn why(reporter: &Reporter) -> String {
    reporter.refused().unwrap_or_else(|| "it does not answer".to_owned())
}
