//! `report`: the head node is told, and a person gets one line.

use std::time::Duration;

use anyhow::Result;
use host::kusu;
use host::linux::facts;
use host::observers::say;
use nii::event::Body;

use crate::context::Ctx;

/// A report that does not get through is made up for at the next boot, by the committed journal.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the step.
pub fn run(ctx: &mut Ctx) -> Result<()> {
    let (arming, _) = ctx.ids()?;
    let peak_kib = facts::peak_kib();
    let image_bytes = ctx.manifest.as_ref().map_or(0, |manifest| manifest.stored_size);
    match &ctx.kusu {
        // It knows no journal: a node that is not reported would be installed again, for ever. So this may fail the step.
        Some(node) => {
            let (kind, mut watch) = (ctx.nii()?.install.kind, ctx.tracker.clone());
            kusu::report_installed(node, kind, ctx.sleep, &mut *ctx.machine, &mut watch)?;
        }
        None => tell_head(ctx, Body::Installed { arming, peak_kib, image_bytes }),
    }
    say(&summary(&ctx.nii()?.node.name, ctx.began.elapsed(), peak_kib, image_bytes, ctx.unpacked_in));
    Ok(())
}

fn tell_head(ctx: &Ctx, installed: Body) {
    ctx.reporter.report(installed);
    if !ctx.reporter.flush(PATIENCE) {
        let why = ctx.reporter.refused().unwrap_or_else(|| "it does not answer".to_owned());
        ctx.tracker.warn(&format!("the head node could not be told: {why}"));
    }
}

/// The line that programs read too (docs/imageinit.md).
fn summary(node: &str, took: Duration, peak_kib: u64, image_bytes: u64, unpacked_in: Duration) -> String {
    let mega = image_bytes as f64 / 1e6;
    let rate = mega / unpacked_in.as_secs_f64().max(0.001);
    let (seconds, peak) = (took.as_secs_f64(), peak_kib.div_ceil(1024));
    format!(
        "camphor: installed {node} in {seconds:.0} s; peak memory {peak} MiB; image {mega:.0} MB at {rate:.0} MB/s"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line() {
        let line = summary(
            "n001",
            Duration::from_millis(41_200),
            38 * 1024 - 7,
            113_400_000,
            Duration::from_secs(5),
        );
        assert_eq!(line, "camphor: installed n001 in 41 s; peak memory 38 MiB; image 113 MB at 23 MB/s");
    }
}
