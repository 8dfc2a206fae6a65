//! `clock`: the system's clock by the signed time. The kernel stays in UTC: a stock initrd has no time zones, and anaconda
//! sets those of the installed system.

use anyhow::Result;
use plan::{Act, Op};

use crate::context::Ctx;

/// Runs the step.
pub fn run(ctx: &mut Ctx) -> Result<()> {
    let time = ctx.clock.now();
    ctx.apply(&[Op::new(Act::SetClock { time }, "certificates of mirrors and times of files go by it")])
}
