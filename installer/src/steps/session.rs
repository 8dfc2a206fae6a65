//! `session`: signed time, then the token against a session; from here on reports are sent. An old Kusu head node knows
//! neither: there it is chosen, if the initrd allows it.

use std::path::Path;

use anyhow::{Context as _, Result};
use host::kusu;
use host::net::head::{Identity, after_refusal};

use crate::context::Ctx;

const NO_HEAD: &str = "camphor.head=http://… is missing on the kernel command line; the boot script sets it";
const NO_TOKEN: &str = "this boot came without a token; the boot script loads it as an initrd of its own, and only while the node is armed";
const NO_MAC: &str = "BOOTIF= is missing on the kernel command line; the boot script sets it";

/// Runs the step.
pub fn run(ctx: &mut Ctx) -> Result<()> {
    let mut watch = ctx.tracker.clone();
    let facts = ctx.machine.facts(&mut watch)?;
    if let Some(source) = ctx.options.kusu()? {
        // The network is dracut's: the kernel knows where it leads, and no lease is ours.
        let node = source.choose(&ctx.trust, &facts, &kusu::connected(Path::new("/proc"))?)?;
        let base = &node.base;
        ctx.tracker.warn(&format!("this initrd obeys the Kusu head node at {base}, whose NII is not signed"));
        ctx.kusu = Some(node);
        return ctx.keep_link();
    }
    let head = ctx.head.as_ref().context(NO_HEAD)?;
    let token = ctx.token.take().context(NO_TOKEN)?;
    let mac = ctx.options.boot_mac.clone().context(NO_MAC)?;
    let identity = Identity { token, mac, uuid: facts.uuid, boot_id: ctx.boot_id, tpm: ctx.options.tpm };
    let time = head.time(&mut *ctx.machine, &mut watch)?;
    let release = env!("CARGO_PKG_VERSION");
    let session = head
        .session(&time.https, &identity, release, &mut *ctx.machine, &mut watch)
        .inspect_err(|error| after_refusal(error, &ctx.policy))?;
    ctx.begin(session)?;
    ctx.keep_link()
}
