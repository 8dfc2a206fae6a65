//! `preflight`: everything that can be known before the first destructive op: the machine, an install that is done
//! already, the image, and with them the complete plan.

use ::nii::event::Body;
use anyhow::{Context as _, Result};
use host::Watch as _;
use host::settle::{Planned, chooses, refused, settle};
use host::{journal, keep};
use plan::{Facts, Inputs, Plan, install, leftovers, summary};

use crate::context::Ctx;

/// Runs the step.
pub fn run(ctx: &mut Ctx) -> Result<()> {
    let mut watch = ctx.tracker.clone();
    let first = look(ctx)?;
    ctx.reporter.report(Body::Facts { facts: serde_json::to_value(&first)? });
    if is_done(ctx, &first)? {
        return Ok(());
    }
    let image = ctx.image()?.clone();
    let manifest = ctx.machine.manifest(image.manifest, &image.sources, &mut watch)?;
    ctx.manifest = Some(manifest);
    let sleep = ctx.sleep;
    let chosen = chooses(&ctx.nii()?.storage);
    let settled = settle(ctx, &mut watch, sleep, chosen, look, plan)?;
    if settled.waited {
        ctx.reporter.report(Body::Facts { facts: serde_json::to_value(&settled.facts)? });
    }
    let mut planned = settled.planned;
    if matches!(planned, Planned::Ready(_)) && keep_host_keys(ctx, &settled.facts)? {
        planned = plan(ctx, &settled.facts)?;
    }
    match planned {
        Planned::Done => Ok(()),
        Planned::Refused(findings) => Err(refused(&findings)),
        Planned::Ready(plan) => {
            plan.warnings.iter().for_each(|finding| ctx.tracker.warn(&finding.to_string()));
            if ctx.disked() {
                let summary = summary(&settled.facts, &ctx.nii()?.storage, ctx.ids()?.0);
                summary.to_string().lines().for_each(|line| watch.log(line));
            }
            ctx.tracker.show(&plan);
            ctx.plan = Some(plan);
            Ok(())
        }
    }
}

fn look(ctx: &mut Ctx) -> Result<Facts> {
    ctx.machine.facts(&mut ctx.tracker.clone())
}

/// Whether the NII has other host keys now.
fn keep_host_keys(ctx: &mut Ctx, facts: &Facts) -> Result<bool> {
    let (tracker, sleep) = (ctx.tracker.clone(), ctx.sleep);
    let (arming, _) = ctx.ids()?;
    let nii = ctx.nii.as_mut().context("there is no NII yet")?;
    keep::host_keys(nii, facts, arming, ctx.session.as_ref(), sleep, &mut *ctx.machine, &tracker)
}

/// Whether an earlier boot committed this very install.
fn is_done(ctx: &mut Ctx, facts: &Facts) -> Result<bool> {
    if !ctx.disked() {
        return Ok(false);
    }
    let journal::State::Committed(record) = journal::state(facts, ctx.ids()?.0) else {
        return Ok(false);
    };
    let (node, image) = (&ctx.nii()?.node.name, ctx.image()?.manifest);
    if record.node != *node || record.image != Some(image) {
        let before = record.image.map_or("packages".to_owned(), |image| format!("image {image}"));
        ctx.tracker.warn(&format!(
            "an earlier boot installed {} with {before}, and this is {node} with image {image}: installing again",
            record.node
        ));
        return Ok(false);
    }
    ctx.tracker.warn("an earlier boot installed this node and its report was lost; reporting it now");
    ctx.committed = true;
    Ok(true)
}

fn plan(ctx: &mut Ctx, facts: &Facts) -> Result<Planned<Plan>> {
    if is_done(ctx, facts)? {
        return Ok(Planned::Done);
    }
    let (arming, attempt) = ctx.ids()?;
    let inputs = Inputs { facts, nii: ctx.nii()?, manifest: ctx.manifest()?, arming, attempt };
    let plan = match ctx.disked() {
        true => install::disked(&inputs),
        false => install::diskless(&inputs),
    };
    Ok(match plan {
        Ok(plan) => match leftovers(facts, &plan, arming) {
            findings if findings.is_empty() || !ctx.disked() => Planned::Ready(plan),
            findings => Planned::Refused(findings),
        },
        Err(findings) => Planned::Refused(findings),
    })
}
