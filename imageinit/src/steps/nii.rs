//! `nii`: the document, checked, and what holds from now on because of it.

use anyhow::{Context as _, Result, ensure};
use host::kusu;
use host::observers::set_policy;
use nii::kusu::Client;
use nii::v1::InstallType;

use crate::context::Ctx;

/// Runs the step.
pub fn run(ctx: &mut Ctx) -> Result<()> {
    let mut watch = ctx.tracker.clone();
    let (nii, warnings) = if let Some(node) = &ctx.kusu {
        let facts = ctx.machine.facts(&mut watch)?;
        kusu::fetch(node, Client::ImageInit, &facts, ctx.sleep, &mut *ctx.machine, &mut watch)?
    } else {
        let session = ctx.session.as_ref().context("there is no session yet")?;
        let head = ctx.head.as_ref().context("there is no head node")?;
        head.nii(session, &mut *ctx.machine, &mut watch)?
    };
    warnings.iter().for_each(|finding| ctx.tracker.warn(&format!("NII: {finding}")));
    ensure!(
        nii.install.kind != InstallType::Package,
        "the NII asks for a package install, which is the program `installer` in a stock initrd: boot the node with its script"
    );
    set_policy(&ctx.policy, nii.install.on_failure);
    ctx.tracker.set_deadlines(&nii.deadlines());
    ctx.nii = Some(nii);
    Ok(())
}
