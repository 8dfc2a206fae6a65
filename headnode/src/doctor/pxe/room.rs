//! Two network namespaces with wires between them: in one a dnsmasq behind interfaces that are called as the real ones, in
//! the other a machine. They have no names and belong to threads: they go with those, whatever ends the process.

use std::sync::mpsc::channel;
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use rustix::thread::{UnshareFlags, gettid, unshare_unsafe};

use super::machine::ip;
use crate::dhcp::child::Dnsmasq;
use crate::store::inventory::Network;

/// What `machine` comes to, beside the running `dnsmasq`, where the wire `pxeN` leads to the Nth network's interface.
///
/// # Errors
/// When namespaces cannot be made (it needs root), or dnsmasq does not start.
pub fn run<T: Send>(
    networks: &[Network],
    dnsmasq: &Dnsmasq,
    machine: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    thread::scope(|scope| joined(scope.spawn(|| head(networks, dnsmasq, machine))))
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| Err(anyhow!("a thread of the self-test broke")))
}

fn head<T: Send>(
    networks: &[Network],
    dnsmasq: &Dnsmasq,
    machine: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    enter()?;
    // The process ends with the thread that starts it: this one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::scope(|scope| {
        let (here, where_it_is) = channel();
        let (go, may_go) = channel::<()>();
        let machine = scope.spawn(move || {
            enter()?;
            here.send(gettid()).context("telling of the namespace")?;
            may_go.recv().context("waiting for the wires")?;
            machine()
        });
        let Ok(thread) = where_it_is.recv() else { return joined(machine) };
        wire(networks, &thread.as_raw_nonzero().to_string())?;
        let running = runtime.block_on(dnsmasq.start())?;
        // It is gone only if it failed already.
        let _ = go.send(());
        let outcome = joined(machine);
        runtime.block_on(running.stop());
        outcome
    })
}

/// From here on this thread, and what it starts, is in a network of its own.
fn enter() -> Result<()> {
    // SAFETY: a new network namespace takes nothing from this thread that memory or open files depend on.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.context("making a network namespace (needs root)")
}

/// `to`: a thread in the machine's namespace.
fn wire(networks: &[Network], to: &str) -> Result<()> {
    ip(&["link", "set", "lo", "up"])?;
    for (at, Network { interface, address, subnet, .. }) in networks.iter().enumerate() {
        let peer = format!("pxe{at}");
        ip(&["link", "add", interface, "type", "veth", "peer", "name", &peer, "netns", to])?;
        ip(&["address", "add", &format!("{address}/{}", subnet.prefix), "dev", interface])?;
        ip(&["link", "set", interface, "up"])?;
    }
    Ok(())
}
