//! `report`: the head node is told that the node is installed.

use std::time::Duration;

use anyhow::Result;
use host::kusu;
use nii::event::Body;
use nii::v1::InstallType;

use crate::context::Ctx;

/// A report that does not get through is made up for at the next boot, by the committed journal.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the step.
pub fn run(ctx: &mut Ctx) -> Result<()> {
    if let Some(node) = &ctx.kusu {
        let mut watch = ctx.tracker.clone();
        let kind = InstallType::Package;
        return kusu::report_installed(node, kind, ctx.sleep, &mut *ctx.machine, &mut watch);
    }
    let arming = ctx.ids()?.0;
    ctx.reporter.report(Body::Installed { arming, peak_kib: host::linux::facts::peak_kib(), image_bytes: 0 });
    if !ctx.reporter.flush(PATIENCE) {
        let why = ctx.reporter.refused().unwrap_or_else(|| "it does not answer".to_owned());
        ctx.tracker.warn(&format!("the head node could not be told: {why}"));
    }
    Ok(())
}
