//! `session`: signed time, then the token against a session; from here on reports are sent. The token came with the initrd, or
//! is asked for. An old Kusu head node knows neither: there it is chosen, if the initrd allows it.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use host::cmdline::Options;
use host::kusu;
use host::net::events::Destination;
use host::net::head::{Identity, after_refusal};
use plan::Facts;

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
    ensure!(ctx.token.is_some() || ctx.options.ask_token, NO_TOKEN);
    let mut watch = ctx.tracker.clone();
    let facts = ctx.machine.facts(&mut watch)?;
    let mac = boot_mac(&ctx.options, &facts)?;
    let head = ctx.head.as_ref().context(NO_HEAD)?;
    let time = head.time(&mut *ctx.machine, &mut watch)?;
    // It is used up here.
    let token = match ctx.token.take() {
        Some(token) => token,
        None => head.token(&time.https, (&mac, facts.uuid), &mut *ctx.machine, &mut watch)?,
    };
    let identity = Identity { token, mac, uuid: facts.uuid, boot_id: ctx.boot_id, tpm: ctx.options.tpm };
    let release = env!("CARGO_PKG_VERSION");
    let session = head
        .session(&time.https, &identity, release, &mut *ctx.machine, &mut watch)
        .inspect_err(|error| after_refusal(error, &ctx.policy))?;
    let exchange = Arc::clone(&ctx.exchange);
    ctx.reporter.send_to(Destination { https: session.https.clone(), key: session.key.clone(), exchange })?;
    ctx.session = Some(session);
    Ok(())
}

/// Without a BOOTIF the interface that has a lease counts.
fn boot_mac(options: &Options, facts: &Facts) -> Result<String> {
    let leased = || facts.nics.iter().find(|nic| nic.lease.is_some()).map(|nic| nic.mac.clone());
    let mac = options.boot_mac.clone().or_else(leased);
    mac.context("BOOTIF= is missing on the kernel command line, and no interface has a lease")
}
