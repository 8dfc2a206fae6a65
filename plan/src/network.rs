//! The network of the node while it installs: which interface is which, and what the NII wants of each.

use std::net::IpAddr;

use nii::v1::{Family4, Family6, Interface, InterfaceMatch};
use nii::{Finding, Nii};

use crate::facts::{Facts, Nic};
use crate::op::{Act, Op};

/// ARPHRD_ETHER of `linux/if_arp.h`.
const ETHERNET: u32 = 1;

/// An interface of the NII and the machine's interface that it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    pub wanted: &'a Interface,
    /// Its place in `network.interfaces`.
    pub index: usize,
    pub nic: &'a Nic,
}

impl Found<'_> {
    /// How camphor calls it in files of the installed system, whatever kernel and udev call it there.
    pub fn label(&self) -> String {
        format!("net{}", self.index)
    }
}

/// The ops that bring the node's own interfaces to what the NII says, in its order, then
/// the resolver.
///
/// # Errors
/// Interfaces that the machine does not have.
pub fn as_wanted(facts: &Facts, nii: &Nii) -> Result<Vec<Op>, Vec<Finding>> {
    let mut findings = Vec::new();
    let found = find(facts, nii, &mut findings);
    if !findings.is_empty() {
        return Err(findings);
    }
    let mut ops: Vec<Op> = found.iter().map(|found| configure(found)).collect();
    let (servers, search) = resolver(facts, nii);
    if !servers.is_empty() {
        ops.push(Op::new(Act::SetResolver { servers, search }, "the NII names the name servers"));
    }
    Ok(ops)
}

/// The ops that load the NII's kernel modules, in its order.
pub fn modules(nii: &Nii) -> Vec<Op> {
    let one = |module: &nii::v1::Module| {
        let act = Act::LoadModule { name: module.name.clone(), options: module.options.clone() };
        Op::new(act, "the NII lists it")
    };
    nii.modules.iter().map(one).collect()
}

/// Finds the interfaces of the NII; one that the machine does not have is a finding.
pub(crate) fn find<'a>(facts: &'a Facts, nii: &'a Nii, out: &mut Vec<Finding>) -> Vec<Found<'a>> {
    let mut all: Vec<Found<'a>> = Vec::new();
    for (index, wanted) in nii.network.interfaces.iter().enumerate() {
        let (InterfaceMatch::Mac(what) | InterfaceMatch::Name(what)) = &wanted.select;
        let path = format!("network.interfaces[{index}].match");
        match nic(facts, &wanted.select) {
            None => out.push(Finding::error(
                path,
                format!("no interface is {what}; the machine has {}", list(facts)),
            )),
            Some(nic) if all.iter().any(|other| other.nic.name == nic.name) => {
                out.push(Finding::error(
                    path,
                    format!("{what} is {}, which another interface matches, too", nic.name),
                ));
            }
            Some(nic) => all.push(Found { wanted, index, nic }),
        }
    }
    all
}

/// The machine's interface that matches.
pub(crate) fn nic<'a>(facts: &'a Facts, select: &InterfaceMatch) -> Option<&'a Nic> {
    facts.nics.iter().find(|nic| match select {
        InterfaceMatch::Mac(mac) => nic.kind == ETHERNET && nic.mac == *mac,
        InterfaceMatch::Name(name) => nic.name == *name,
    })
}

/// The machine's Ethernet interfaces, for people.
pub(crate) fn list(facts: &Facts) -> String {
    let ethernet = facts.nics.iter().filter(|nic| nic.kind == ETHERNET);
    let nics: Vec<String> = ethernet.map(|nic| format!("{} ({})", nic.name, nic.mac)).collect();
    if nics.is_empty() { "none (is the driver in the initrd?)".into() } else { nics.join(", ") }
}

fn configure(found: &Found<'_>) -> Op {
    let (mut addresses, mut routes) = (Vec::new(), Vec::new());
    if let Some(Family4::Static(ip)) = &found.wanted.ipv4 {
        addresses.push((IpAddr::V4(ip.address), ip.prefix));
        routes.extend(ip.routes.iter().map(|r| (r.to.into(), r.prefix, r.via.into())));
        routes.extend(ip.gateway.map(|via| (IpAddr::from([0; 4]), 0, via.into())));
    }
    if let Some(Family6::Static(ip)) = &found.wanted.ipv6 {
        addresses.push((IpAddr::V6(ip.address), ip.prefix));
        routes.extend(ip.routes.iter().map(|r| (r.to.into(), r.prefix, r.via.into())));
        routes.extend(ip.gateway.map(|via| (IpAddr::from([0u16; 8]), 0, via.into())));
    }
    let dhcp = found.wanted.ipv4 == Some(Family4::Dhcp);
    let act =
        Act::ConfigureNic { name: found.nic.name.clone(), mtu: found.wanted.mtu, addresses, routes, dhcp };
    Op::new(act, format!("{} is interface {} of the NII", found.nic.mac, found.index))
}

/// Name servers and search domains: the NII's, or else the servers that DHCP gave.
pub(crate) fn resolver(facts: &Facts, nii: &Nii) -> (Vec<IpAddr>, Vec<String>) {
    let network = &nii.network;
    let mut servers = network.dns.clone();
    if servers.is_empty() {
        let leased = facts.nics.iter().filter_map(|nic| nic.lease.as_ref()).flat_map(|lease| &lease.dns);
        for server in leased {
            if !servers.contains(&IpAddr::V4(*server)) {
                servers.push(IpAddr::V4(*server));
            }
        }
    }
    (servers, search(network))
}

/// Search domains: the NII's, or else its domain.
pub(crate) fn search(network: &nii::v1::Network) -> Vec<String> {
    if network.search.is_empty() { network.domain.iter().cloned().collect() } else { network.search.clone() }
}
