//! `network`: one interface with an address, to reach the head node by.

use anyhow::Result;
use plan::{Act, Op};

use crate::context::Ctx;

/// Runs the step.
pub fn run(ctx: &mut Ctx) -> Result<()> {
    let boot_mac = ctx.options.boot_mac.clone();
    ctx.apply(&[Op::new(Act::FirstNetwork { boot_mac }, "the head node says what this node is to become")])
}
