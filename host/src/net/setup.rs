//! Applying `FirstNetwork` and `ConfigureNic`: addresses, routes, leases.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use plan::facts::Lease;
use rustix::io::Errno;

use super::dhcp::{DhcpClient, Mozim};
use super::links::{self, Link};
use super::{netlink, resolver};
use crate::machine::Watch;

/// Drivers probe in the background: an interface may come a while after its module.
/// In silence, then not.
const NIC_PATIENCE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(28));
/// Links negotiate for seconds, switches with spanning tree pass traffic later still.
const CARRIER_PATIENCE: Duration = Duration::from_secs(10);
/// Links that come up after the first one are taken along in the round.
const LATE_LINKS: Duration = Duration::from_millis(200);
/// How long one round of asking for addresses lasts, at first and at most.
const ROUND: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(20));
/// An interface with a static address may be without a cable.
const STATIC_CARRIER_PATIENCE: Duration = Duration::from_secs(5);

/// What is wanted of one interface; the fields of `Act::ConfigureNic`.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Kernel name.
    pub name: &'a str,
    /// MTU in bytes; `None` leaves it.
    pub mtu: Option<u32>,
    /// Addresses with prefix lengths.
    pub addresses: &'a [(IpAddr, u8)],
    /// Routes: network, prefix length, next hop.
    pub routes: &'a [(IpAddr, u8, IpAddr)],
    /// Get an IPv4 address by DHCP if there is none yet.
    pub dhcp: bool,
}

/// The node's network: it remembers its leases.
pub struct Network {
    dhcp: Arc<dyn DhcpClient>,
    leases: BTreeMap<String, Lease>,
}

impl Default for Network {
    fn default() -> Self {
        Self { dhcp: Arc::new(Mozim), leases: BTreeMap::new() }
    }
}

impl Network {
    /// The lease of an interface, if it has one.
    pub fn lease(&self, name: &str) -> Option<&Lease> {
        self.leases.get(name)
    }

    /// Brings every Ethernet link up and gets an address on one: on the interface that firmware booted from
    /// (`boot_mac`) if it answers in the first round, else on whichever is first. Asks for ever, and says so.
    ///
    /// # Errors
    /// There is no Ethernet interface, or the lease cannot be applied.
    pub fn first(&mut self, boot_mac: Option<&str>, watch: &mut dyn Watch) -> Result<()> {
        let some = || links::ethernet().is_ok_and(|links| !links.is_empty());
        if !links::wait_until(NIC_PATIENCE.0, some) {
            watch.log("waiting for an Ethernet interface to appear");
        }
        if !links::wait_until(NIC_PATIENCE.1, some) {
            bail!(
                "this machine shows no Ethernet interface; does the initrd have its driver (and firmware)?"
            );
        }
        let mut round = ROUND.0;
        let mut boot_only = true;
        loop {
            let ready = wait_for_links(boot_mac, watch)?;
            let candidates = candidates(&ready, boot_mac, boot_only);
            if let Some((link, lease)) = self.ask(&candidates, round, watch)? {
                return self.take(&link, lease, watch);
            }
            boot_only = false;
            round = (round * 2).min(ROUND.1);
        }
    }

    /// Brings one interface to the wanted state. What is there already stays.
    ///
    /// # Errors
    /// There is no such interface, the kernel refuses, or no DHCP server answers.
    pub fn configure(&mut self, wanted: &Wanted<'_>, watch: &mut dyn Watch) -> Result<()> {
        let link = Link::find(wanted.name)?;
        if let Some(mtu) = wanted.mtu.filter(|mtu| link.mtu() != Some(*mtu)) {
            netlink::set_mtu(link.index, mtu)
                .with_context(|| format!("setting the MTU of {} to {mtu}", link.name))?;
        }
        link.up()?;
        for (address, prefix) in wanted.addresses {
            netlink::add_address(link.index, *address, *prefix)
                .with_context(|| format!("giving {} the address {address}/{prefix}", link.name))?;
        }
        if !wanted.addresses.is_empty() && !link.wait_carrier(STATIC_CARRIER_PATIENCE) {
            watch.log(&format!("{} has no link; is its cable in?", link.name));
        }
        for (to, prefix, via) in wanted.routes {
            netlink::add_route(link.index, *to, *prefix, *via)
                .with_context(|| format!("adding the route {to}/{prefix} via {via} on {}", link.name))?;
        }
        if !wanted.dhcp || self.leases.contains_key(wanted.name) {
            return Ok(());
        }
        ensure!(link.wait_carrier(CARRIER_PATIENCE), "{} has no link; is its cable in?", link.name);
        let lease = self.dhcp.acquire(&link, ROUND.1)?;
        self.take(&link, lease, watch)
    }

    /// Asks on all candidates at once; the first lease wins, and the other clients end with the round.
    fn ask(
        &self,
        candidates: &[Link],
        round: Duration,
        watch: &mut dyn Watch,
    ) -> Result<Option<(Link, Lease)>> {
        watch.log(&format!("asking for an address on {}", names(candidates)));
        let (tell, told) = mpsc::channel();
        for link in candidates {
            let (tell, link, dhcp) = (tell.clone(), link.clone(), Arc::clone(&self.dhcp));
            std::thread::Builder::new()
                .name(format!("dhcp-{}", link.name))
                .spawn(move || {
                    let lease = dhcp.acquire(&link, round);
                    // Nobody listens once another interface has won.
                    let _ = tell.send((link, lease));
                })
                .context("starting a DHCP client")?;
        }
        drop(tell);
        for (link, answer) in told {
            match answer {
                Ok(lease) => return Ok(Some((link, lease))),
                Err(error) => watch.log(&format!("{error:#}")),
            }
        }
        Ok(None)
    }

    fn take(&mut self, link: &Link, lease: Lease, watch: &mut dyn Watch) -> Result<()> {
        let Lease { address, prefix, gateway, dns } = &lease;
        netlink::add_address(link.index, (*address).into(), *prefix)
            .with_context(|| format!("giving {} the address {address}/{prefix}", link.name))?;
        if let Some(gateway) = gateway {
            match netlink::add_route(link.index, Ipv4Addr::UNSPECIFIED.into(), 0, (*gateway).into()) {
                // The head node may well be on the same network.
                Err(Errno::NETUNREACH) => watch.log(&format!(
                    "the router {gateway} is not in the network {address}/{prefix} of {}: going on without a default route; mend the DHCP server's `router` option",
                    link.name
                )),
                added => added
                    .with_context(|| format!("adding the default route via {gateway} on {}", link.name))?,
            }
        }
        if !dns.is_empty() {
            let servers: Vec<IpAddr> = dns.iter().map(|server| (*server).into()).collect();
            resolver::set(Path::new(resolver::PATH), &servers, &[])?;
        }
        let router = gateway.map_or_else(|| "no router".to_owned(), |gateway| format!("router {gateway}"));
        watch.log(&format!("{} ({}) has {address}/{prefix}, {router}", link.name, link.mac));
        self.leases.insert(link.name.clone(), lease);
        Ok(())
    }
}

/// Sets all links up and waits until one has a carrier; the boot interface's if it is there and gets one in time.
fn wait_for_links(boot_mac: Option<&str>, watch: &mut dyn Watch) -> Result<Vec<Link>> {
    loop {
        let all = links::ethernet()?;
        for link in &all {
            if let Err(error) = link.up() {
                watch.log(&format!("{error:#}"));
            }
        }
        let boot = all.iter().find(|link| Some(link.mac.as_str()) == boot_mac);
        let up = || all.iter().filter(|link| link.carrier()).cloned().collect::<Vec<_>>();
        match boot {
            Some(boot) if boot.wait_carrier(CARRIER_PATIENCE) => return Ok(up()),
            Some(boot) => {
                watch.log(&format!("{} ({}), the boot interface, has no link", boot.name, boot.mac))
            }
            None if links::wait_until(CARRIER_PATIENCE, || !up().is_empty()) => {
                std::thread::sleep(LATE_LINKS);
            }
            None => {}
        }
        match up() {
            up if up.is_empty() => watch.log(&format!("no link on {}; is a cable in?", names(&all))),
            up => return Ok(up),
        }
    }
}

/// Whom to ask in this round: the boot interface alone at first, if it is there; it stays first in line later.
fn candidates(ready: &[Link], boot_mac: Option<&str>, boot_only: bool) -> Vec<Link> {
    let (boot, others): (Vec<_>, Vec<_>) =
        ready.iter().cloned().partition(|link| Some(link.mac.as_str()) == boot_mac);
    if boot_only && !boot.is_empty() { boot } else { [boot, others].concat() }
}

fn names(links: &[Link]) -> String {
    links.iter().map(|link| link.name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_interface_is_asked_first() {
        let link =
            |name: &str, mac: &str| Link { name: name.into(), index: 1, mac: mac.into(), ethernet: true };
        let links = [link("eth0", "a"), link("eth1", "b")];
        assert_eq!(names(&candidates(&links, Some("b"), true)), "eth1");
        assert_eq!(names(&candidates(&links, Some("b"), false)), "eth1, eth0");
        assert_eq!(names(&candidates(&links, Some("c"), true)), "eth0, eth1");
        assert_eq!(names(&candidates(&links, None, true)), "eth0, eth1");
    }
}
