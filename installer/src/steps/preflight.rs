//! `preflight`: everything that can be known before the first destructive op: the machine, an install that is done
//! already, the plan of the disks, and the whole kickstart.

use ::nii::Finding;
use ::nii::event::Body;
use anyhow::{Context as _, Result};
use host::Watch as _;
use host::journal;
use host::net::errands;
use host::settle::{Planned, chooses, refused, settle};
use plan::{Facts, Plan, kickstart, leftovers, package, summary};

use crate::context::Ctx;

/// What is known at the end.
struct Ready {
    plan: Plan,
    kickstart: String,
}

/// Runs the step.
pub fn run(ctx: &mut Ctx) -> Result<()> {
    let mut watch = ctx.tracker.clone();
    ctx.template = template(ctx)?;
    let sleep = ctx.sleep;
    let chosen = chooses(&ctx.nii()?.storage);
    let settled = settle(ctx, &mut watch, sleep, chosen, look, plan)?;
    ctx.reporter.report(Body::Facts { facts: serde_json::to_value(&settled.facts)? });
    match settled.planned {
        Planned::Done => ctx.committed = true,
        Planned::Refused(findings) => return Err(refused(&findings)),
        Planned::Ready(Ready { plan, kickstart }) => {
            plan.warnings.iter().for_each(|finding| ctx.tracker.warn(&finding.to_string()));
            let summary = summary(&settled.facts, &ctx.nii()?.storage, ctx.ids()?.0);
            summary.to_string().lines().for_each(|line| watch.log(line));
            ctx.tracker.show(&plan);
            (ctx.plan, ctx.kickstart) = (Some(plan), Some(kickstart));
        }
    }
    ctx.facts = Some(settled.facts);
    Ok(())
}

fn look(ctx: &mut Ctx) -> Result<Facts> {
    ctx.machine.facts(&mut ctx.tracker.clone())
}

/// The site's own template, checked by its digest.
fn template(ctx: &mut Ctx) -> Result<Option<String>> {
    let Some(remote) = ctx.nii()?.package.as_ref().and_then(|package| package.template.clone()) else {
        return Ok(None);
    };
    let (sleep, mut watch) = (ctx.sleep, ctx.tracker.clone());
    let (session, machine) = (ctx.session.as_ref(), &mut *ctx.machine);
    let bytes = errands::file(session, &remote.url, remote.digest, sleep, machine, &mut watch)
        .context("fetching the kickstart template")?;
    String::from_utf8(bytes).context("reading the kickstart template").map(Some)
}

fn plan(ctx: &mut Ctx, facts: &Facts) -> Result<Planned<Ready>> {
    if is_done(ctx, facts)? {
        return Ok(Planned::Done);
    }
    let nii = ctx.nii()?;
    let (arming, attempt) = ctx.ids()?;
    let plan = package::prepare(&package::Inputs { facts, nii, arming, attempt, head: None });
    let rendered = kickstart::render(&kickstart::Inputs { facts, nii, arming }, ctx.template.as_deref());
    Ok(match (plan, rendered) {
        (Ok(mut plan), Ok(rendered)) => {
            let left = leftovers(facts, &plan, arming);
            if ctx.partitions() && !left.is_empty() {
                return Ok(Planned::Refused(left));
            }
            plan.warnings = all(plan.warnings, rendered.warnings);
            Planned::Ready(Ready { plan, kickstart: rendered.text })
        }
        (plan, rendered) => {
            Planned::Refused(all(plan.err().unwrap_or_default(), rendered.err().unwrap_or_default()))
        }
    })
}

/// Both look at the same document and the same disks.
fn all(mut first: Vec<Finding>, second: Vec<Finding>) -> Vec<Finding> {
    second.into_iter().for_each(|finding| {
        if !first.contains(&finding) {
            first.push(finding);
        }
    });
    first
}

/// Whether an earlier boot committed this very install.
fn is_done(ctx: &Ctx, facts: &Facts) -> Result<bool> {
    let journal::State::Committed(record) = journal::state(facts, ctx.ids()?.0) else {
        return Ok(false);
    };
    let node = &ctx.nii()?.node.name;
    if record.node != *node || record.image.is_some() {
        ctx.tracker.warn(&format!(
            "an earlier boot installed {} under this arming, and this is {node} with packages: installing again",
            record.node
        ));
        return Ok(false);
    }
    ctx.tracker.warn("an earlier boot installed this node and its report was lost; reporting it now");
    Ok(true)
}
