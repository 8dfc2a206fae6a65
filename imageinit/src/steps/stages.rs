//! The steps whose whole content is their stage of the plan that `preflight` made.

use std::time::Instant;

use anyhow::{Context as _, Result};
use host::keep;

use crate::context::Ctx;

/// `partition`: tables and journal; the first destructive ops.
pub fn partition(ctx: &mut Ctx) -> Result<()> {
    carry_out(ctx, "partition")
}

/// `format`: file systems, mounts; for a diskless node its RAM root.
pub fn format(ctx: &mut Ctx) -> Result<()> {
    carry_out(ctx, "format")
}

/// `unpack`: the image.
pub fn unpack(ctx: &mut Ctx) -> Result<()> {
    let began = Instant::now();
    carry_out(ctx, "unpack")?;
    ctx.unpacked_in = began.elapsed();
    Ok(())
}

/// `configure`: the root becomes this node's own.
pub fn configure(ctx: &mut Ctx) -> Result<()> {
    carry_out(ctx, "configure")?;
    keep::report(&mut *ctx.machine, &ctx.reporter, &ctx.tracker);
    Ok(())
}

/// `bootloader`: the last thing that could make the disk bootable.
pub fn bootloader(ctx: &mut Ctx) -> Result<()> {
    carry_out(ctx, "bootloader")
}

/// `commit`: from here on the install counts.
pub fn commit(ctx: &mut Ctx) -> Result<()> {
    carry_out(ctx, "commit")
}

fn carry_out(ctx: &mut Ctx, stage: &str) -> Result<()> {
    let ops = ctx.plan.as_ref().context("there is no plan yet")?.ops(stage).to_vec();
    ctx.apply(&ops)
}
