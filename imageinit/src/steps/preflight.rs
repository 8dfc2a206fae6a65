//! `preflight`: everything that can be known before the first destructive op: the machine, an install that is done
//! already, the image, and with them the complete plan.

use anyhow::Result;
use host::journal;
use nii::event::Body;
use plan::{Facts, Inputs, install};

use super::refused;
use crate::context::{Ctx, Job};

/// Runs the step.
pub fn run(ctx: &mut Ctx) -> Result<()> {
    let mut watch = ctx.tracker.clone();
    let facts = ctx.machine.facts(&mut watch)?;
    ctx.reporter.report(Body::Facts { facts: serde_json::to_value(&facts)? });
    if ctx.disked() && is_committed(ctx, &facts)? {
        ctx.tracker.warn("an earlier boot installed this node and its report was lost; reporting it now");
        ctx.committed = true;
        return Ok(());
    }
    let image = ctx.image()?.clone();
    let manifest = ctx.machine.manifest(image.manifest, &image.sources)?;
    let session = ctx.session()?;
    let inputs = Inputs {
        facts: &facts,
        nii: ctx.nii()?,
        manifest: &manifest,
        arming: session.arming,
        attempt: session.attempt,
    };
    let plan = if ctx.disked() { install::disked(&inputs) } else { install::diskless(&inputs) };
    let plan = plan.map_err(|findings| refused(&findings))?;
    plan.warnings.iter().for_each(|finding| ctx.tracker.warn(&finding.to_string()));
    ctx.job = Some(Job { manifest, plan });
    Ok(())
}

fn is_committed(ctx: &Ctx, facts: &Facts) -> Result<bool> {
    Ok(matches!(journal::state(facts, ctx.session()?.arming), journal::State::Committed(_)))
}
