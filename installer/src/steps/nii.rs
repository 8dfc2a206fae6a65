//! `nii`: the document, checked, and what holds from now on because of it.

use anyhow::{Context as _, Result, ensure};
use host::kusu;
use nii::kusu::Client;
use nii::v1::InstallType;

use crate::context::Ctx;

/// Runs the step.
pub fn run(ctx: &mut Ctx) -> Result<()> {
    let mut watch = ctx.tracker.clone();
    let (nii, warnings) = if let Some(node) = &ctx.kusu {
        let facts = ctx.machine.facts(&mut watch)?;
        kusu::fetch(node, Client::Installer, &facts, ctx.sleep, &mut *ctx.machine, &mut watch)?
    } else {
        let session = ctx.session.as_ref().context("there is no session yet")?;
        let head = ctx.head.as_ref().context("there is no head node")?;
        head.nii(session, &mut *ctx.machine, &mut watch)?
    };
    warnings.iter().for_each(|finding| ctx.tracker.warn(&format!("NII: {finding}")));
    ctx.state.keep_nii(&nii)?;
    let kind = nii.install.kind;
    ctx.obey(nii);
    ensure!(
        kind == InstallType::Package,
        "the NII asks for an install from an image, which is the program `imageinit` in camphor's own initrd: boot the node with its script"
    );
    Ok(())
}
