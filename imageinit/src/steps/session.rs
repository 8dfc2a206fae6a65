//! `session`: signed time, then the token against a session; from here on reports are sent. An old Kusu head node knows neither:
//! there it is chosen, if the initrd allows it.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use host::kusu;
use host::net::events::Destination;
use host::net::head::Identity;

use crate::context::Ctx;

const NO_HEAD: &str = "camphor.head=http://… is missing on the kernel command line; the boot script sets it";
const NO_TOKEN: &str = "this boot came without a token; the boot script loads it as an initrd of its own, and only while the node is armed";

/// Runs the step.
pub fn run(ctx: &mut Ctx) -> Result<()> {
    if let Some(source) = ctx.options.kusu()? {
        let facts = ctx.machine.facts(&mut ctx.tracker.clone())?;
        let node = source.choose(&ctx.trust, &facts, &kusu::leased(&facts))?;
        let base = &node.base;
        ctx.tracker.warn(&format!("this initrd obeys the Kusu head node at {base}, whose NII is not signed"));
        ctx.kusu = Some(node);
        return Ok(());
    }
    let identity = identity(ctx)?;
    let mut watch = ctx.tracker.clone();
    let head = ctx.head.as_ref().context(NO_HEAD)?;
    let time = head.time(&mut *ctx.machine, &mut watch)?;
    let session =
        head.session(&time.https, &identity, env!("CARGO_PKG_VERSION"), &mut *ctx.machine, &mut watch)?;
    let exchange = Arc::clone(&ctx.exchange);
    ctx.reporter.send_to(Destination { https: session.https.clone(), key: session.key.clone(), exchange })?;
    ctx.session = Some(session);
    Ok(())
}

/// The token is used up here. Without a BOOTIF the interface that has a lease counts.
fn identity(ctx: &mut Ctx) -> Result<Identity> {
    let token = ctx.token.take().context(NO_TOKEN)?;
    let facts = ctx.machine.facts(&mut ctx.tracker.clone())?;
    let leased = || facts.nics.iter().find(|nic| nic.lease.is_some()).map(|nic| nic.mac.clone());
    let mac = ctx.options.boot_mac.clone().or_else(leased);
    let mac = mac.context("BOOTIF= is missing on the kernel command line, and no interface has a lease")?;
    Ok(Identity { token, mac, uuid: facts.uuid, boot_id: ctx.boot_id, tpm: ctx.options.tpm })
}
