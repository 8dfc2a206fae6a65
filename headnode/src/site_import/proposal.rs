//! What of another system's machines can be added here. Nothing that is here already is changed.

use std::collections::{BTreeMap, HashSet};
use std::net::Ipv4Addr;

use anyhow::{Result, bail};

use super::formats::{Machine, Site};
use crate::addresses::Mac;
use crate::document;
use crate::names::{self, is_name};
use crate::recipe::Catalog;
use crate::state::State;
use crate::store::hosts::Host;
use crate::store::inventory::Network;
use crate::store::nodes::Node;

/// Which group of ours a machine comes to.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    /// Ours by theirs.
    pub renamed: BTreeMap<String, String>,
    /// For all whose groups are none of ours.
    pub fallback: Option<String>,
}

/// What is to be added, and what not.
#[derive(Debug, Default)]
pub struct Proposal {
    /// New nodes.
    pub nodes: Vec<Node>,
    /// New hosts.
    pub hosts: Vec<Host>,
    /// Machines that are not added: name and reason.
    pub refused: Vec<(String, String)>,
    /// What of machines that are added is not carried over: name and what.
    pub left: Vec<(String, String)>,
}

/// What there is already: of names, MACs and addresses each is somebody's only once.
struct Taken {
    names: HashSet<String>,
    macs: HashSet<String>,
    addresses: HashSet<Ipv4Addr>,
}

/// Holds a site against the store.
pub fn propose(site: Site, groups: &Groups, catalog: &Catalog, nodes: &[Node], hosts: &[Host]) -> Proposal {
    let mut taken = Taken {
        names: nodes
            .iter()
            .map(|node| &node.name)
            .chain(hosts.iter().map(|host| &host.name))
            .cloned()
            .collect(),
        macs: nodes.iter().map(|node| node.mac.to_string()).collect(),
        addresses: nodes
            .iter()
            .filter_map(|node| node.address)
            .chain(hosts.iter().map(|host| host.address))
            .collect(),
    };
    taken.addresses.extend(catalog.networks.values().map(|network| network.address));
    let mut proposal = Proposal::default();
    for machine in site.machines {
        let (name, left) = (machine.name.clone(), machine.left.clone());
        let added = match machine.unmanaged {
            true => host(machine, catalog, &mut taken).map(|host| proposal.hosts.push(host)),
            false => node(machine, groups, catalog, &mut taken).map(|node| proposal.nodes.push(node)),
        };
        match added {
            Ok(()) => proposal.left.extend(left.into_iter().map(|what| (name.clone(), what))),
            Err(why) => proposal.refused.push((name, format!("{why:#}"))),
        }
    }
    proposal
}

fn node(machine: Machine, groups: &Groups, catalog: &Catalog, taken: &mut Taken) -> Result<Node> {
    free_name(&machine.name, taken)?;
    let Some(mac) = &machine.mac else {
        bail!("has no MAC address: `headnode addhost` finds it when it boots");
    };
    let mac: Mac = mac.parse()?;
    if taken.macs.contains(mac.as_str()) {
        bail!("its MAC address {mac} is another's already");
    }
    let (address, network) = match &machine.address {
        Some(address) => {
            let (address, network) = place(address, catalog, taken)?;
            (Some(address), network)
        }
        None => (None, only_network(catalog)?),
    };
    let group = group(&machine.groups, groups, catalog)?;
    let mut overrides = String::new();
    let others: Vec<&str> = machine.groups.iter().map(String::as_str).filter(|name| *name != group).collect();
    let mut attributes = machine.attributes;
    if !others.is_empty() {
        attributes.insert("groups".into(), others.join(","));
    }
    for (key, value) in &attributes {
        let key = toml_edit::Key::new(key.clone());
        overrides = document::set(
            &overrides,
            &format!("attributes.{key}"),
            &toml_edit::Value::from(value).to_string(),
        )?;
    }
    let network = network.name.clone();
    let node = Node {
        id: 0,
        name: machine.name,
        group,
        network,
        mac,
        address,
        uid: machine.uid,
        machine: None,
        overrides,
        // It has a system that somebody else installed: a boot is to start that.
        state: State::Local,
        since: 0,
        seen_at: None,
    };
    catalog.recipe(node.clone())?;
    taken.names.insert(node.name.clone());
    taken.macs.insert(node.mac.to_string());
    taken.addresses.extend(node.address);
    Ok(node)
}

fn host(machine: Machine, catalog: &Catalog, taken: &mut Taken) -> Result<Host> {
    free_name(&machine.name, taken)?;
    let Some(address) = &machine.address else { bail!("has neither a MAC address nor an address") };
    let (address, network) = place(address, catalog, taken)?;
    taken.names.insert(machine.name.clone());
    taken.addresses.insert(address);
    Ok(Host { name: machine.name, network: network.name.clone(), address })
}

fn free_name(name: &str, taken: &Taken) -> Result<()> {
    if !is_name(name) {
        bail!("its name is none here ({})", names::RULE);
    }
    if taken.names.contains(name) {
        bail!("its name is taken already");
    }
    Ok(())
}

/// Its address, and the network of ours that has it.
fn place<'a>(address: &str, catalog: &'a Catalog, taken: &Taken) -> Result<(Ipv4Addr, &'a Network)> {
    // Some write it with its prefix length.
    let text = address.split('/').next().unwrap_or_default();
    let Ok(address) = text.parse::<Ipv4Addr>() else { bail!("`{address}` is no IPv4 address") };
    if taken.addresses.contains(&address) {
        bail!("its address {address} is another's already");
    }
    match catalog.networks.values().find(|network| network.subnet.has_host(address)) {
        Some(network) => Ok((address, network)),
        None => bail!("its address {address} is in no network: add it first (headnode network add)"),
    }
}

fn only_network(catalog: &Catalog) -> Result<&Network> {
    let mut networks = catalog.networks.values();
    match (networks.next(), networks.next()) {
        (Some(network), None) => Ok(network),
        _ => bail!("has no address, and there is not just one network that it can be in"),
    }
}

fn group(theirs: &[String], groups: &Groups, catalog: &Catalog) -> Result<String> {
    let ours = theirs.iter().map(|name| groups.renamed.get(name).unwrap_or(name));
    let known = |name: &&String| catalog.groups.contains_key(*name);
    match ours.chain(&groups.fallback).find(known) {
        Some(name) => Ok(name.clone()),
        None => bail!(
            "none of its groups ({}) is one of ours: add it, or say --map THEIRS=OURS or --group OURS",
            theirs.join(", ")
        ),
    }
}
