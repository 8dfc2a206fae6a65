//! `preflight`: everything that can be known before the first destructive op: the machine, an install that is done
//! already, the image, and with them the complete plan.

use std::time::Duration;

use ::nii::Finding;
use ::nii::event::Body;
use ::nii::manifest::Manifest;
use anyhow::Result;
use host::{Watch as _, journal};
use plan::facts::Disk;
use plan::{Act, Facts, Inputs, Plan, install};
use uuid::Uuid;

use super::refused;
use crate::context::{Ctx, Job};

/// Disks behind RAID controllers and expanders show up long after their driver.
const DISK_PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Runs the step.
pub fn run(ctx: &mut Ctx) -> Result<()> {
    let mut watch = ctx.tracker.clone();
    let mut facts = ctx.machine.facts(&mut watch)?;
    ctx.reporter.report(Body::Facts { facts: serde_json::to_value(&facts)? });
    if is_done(ctx, &facts)? {
        return Ok(());
    }
    let image = ctx.image()?.clone();
    let manifest = ctx.machine.manifest(image.manifest, &image.sources, &mut watch)?;
    let mut planned = plan(ctx, &facts, &manifest)?;
    let mut waited = Duration::ZERO;
    while waited < DISK_PATIENCE
        && let Err(findings) = &planned
        && let Some(missing) = missing_disk(findings)
    {
        if waited.is_zero() {
            let seconds = DISK_PATIENCE.as_secs();
            watch.log(&format!("waiting up to {seconds} s for disks: {}", missing.message));
        }
        (ctx.sleep)(LOOK_EVERY);
        waited += LOOK_EVERY;
        facts = ctx.machine.facts(&mut watch)?;
        if is_done(ctx, &facts)? {
            return Ok(());
        }
        planned = plan(ctx, &facts, &manifest)?;
    }
    if !waited.is_zero() {
        ctx.reporter.report(Body::Facts { facts: serde_json::to_value(&facts)? });
    }
    let plan = planned.map_err(|findings| refused(&findings))?;
    plan.warnings.iter().for_each(|finding| ctx.tracker.warn(&finding.to_string()));
    ctx.job = Some(Job { manifest, plan });
    Ok(())
}

/// Whether an earlier boot committed this very install.
fn is_done(ctx: &mut Ctx, facts: &Facts) -> Result<bool> {
    if !ctx.disked() {
        return Ok(false);
    }
    let journal::State::Committed(record) = journal::state(facts, ctx.session()?.arming) else {
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

fn plan(ctx: &Ctx, facts: &Facts, manifest: &Manifest) -> Result<Result<Plan, Vec<Finding>>> {
    let session = ctx.session()?;
    let (arming, attempt) = (session.arming, session.attempt);
    let inputs = Inputs { facts, nii: ctx.nii()?, manifest, arming, attempt };
    if !ctx.disked() {
        return Ok(install::diskless(&inputs));
    }
    Ok(install::disked(&inputs).and_then(|plan| match leftovers(facts, &plan, arming) {
        findings if findings.is_empty() => Ok(plan),
        findings => Err(findings),
    }))
}

/// The disk that another look may find, if nothing but the storage is wrong: with a disk that is missing, so is what is
/// to be on it, such as the ESP.
fn missing_disk(findings: &[Finding]) -> Option<&Finding> {
    let mut errors = findings.iter().filter(|finding| finding.is_error());
    let missing =
        |finding: &&Finding| finding.path.starts_with("storage.disks[") && finding.path.ends_with("].select");
    findings.iter().find(missing).filter(|_| errors.all(|finding| finding.path.starts_with("storage")))
}

/// Disks that an earlier attempt of this arming wrote, and which the plan leaves alone: kernel names change from boot to
/// boot, and ids that are there twice make the next boot a matter of luck.
fn leftovers(facts: &Facts, plan: &Plan, arming: Uuid) -> Vec<Finding> {
    let tables = plan.ops("partition").iter().filter_map(|op| match &op.act {
        Act::WriteTable { disk, table, .. } => Some((disk.as_str(), table)),
        _ => None,
    });
    let (selected, tables): (Vec<_>, Vec<_>) = tables.unzip();
    let ids: Vec<Uuid> = tables.iter().flat_map(|table| &table.partitions).map(|entry| entry.guid).collect();
    let is_left = |disk: &&Disk| {
        let mut entries = disk.table.iter().flat_map(|table| &table.partitions);
        entries.any(|entry| ids.contains(&entry.guid))
            || disk.journal.as_ref().is_some_and(|record| record.arming == arming)
    };
    let others = facts.disks.iter().filter(|disk| !selected.contains(&disk.path.as_str()));
    let finding = |disk: &Disk| {
        let serial = disk.serial.as_deref().unwrap_or("unknown");
        let message = format!(
            "an earlier attempt of this install went to {} (serial {serial}), and now {} would be written: two disks with \
             the same ids. Wipe {}, or name the disk that you mean by its `serial`",
            disk.path,
            selected.join(", "),
            disk.path
        );
        Finding::error("storage.disks", message)
    };
    others.filter(is_left).map(finding).collect()
}
