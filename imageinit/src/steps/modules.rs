//! `modules`: what the hardware needs, by modalias. The NII's own list comes with `settle-network`.

use anyhow::Result;
use plan::{Act, Op};

use crate::context::Ctx;

/// Runs the step.
pub fn run(ctx: &mut Ctx) -> Result<()> {
    ctx.apply(&[Op::new(Act::Coldplug, "disks and network cards need their drivers")])
}
