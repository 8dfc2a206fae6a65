//! `session`: signed time, then the token against a session; from here on reports are sent.

use anyhow::{Context as _, Result};
use host::net::head::Identity;

use crate::context::Ctx;

const NO_HEAD: &str = "camphor.head=http://… is missing on the kernel command line; the boot script sets it";
const NO_TOKEN: &str = "this boot came without a token; the boot script loads it as an initrd of its own, and only while the node is armed";
const NO_MAC: &str = "BOOTIF= is missing on the kernel command line; the boot script sets it";

/// Runs the step.
pub fn run(ctx: &mut Ctx) -> Result<()> {
    let mut watch = ctx.tracker.clone();
    let facts = ctx.machine.facts(&mut watch)?;
    let head = ctx.head.as_ref().context(NO_HEAD)?;
    let token = ctx.token.take().context(NO_TOKEN)?;
    let mac = ctx.options.boot_mac.clone().context(NO_MAC)?;
    let identity = Identity { token, mac, uuid: facts.uuid, boot_id: ctx.boot_id };
    let time = head.time(&mut *ctx.machine, &mut watch)?;
    let release = env!("CARGO_PKG_VERSION");
    let session = head.session(&time.https, &identity, release, &mut *ctx.machine, &mut watch)?;
    ctx.begin(session)?;
    ctx.keep_link()
}
