//! What a plugin is told, as JSON on its stdin. The contract with sites: docs/plugins.md describes every field, and a
//! change that could break a plugin gets another [`VERSION`]. Whole, so that a plugin needs no memory of its own.
//! Never a secret: nothing of a document but its attributes, its domain, and the kernel arguments of a boot.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use toml_edit::DocumentMut;

use super::Verb;
use crate::netboot::{INITRD, KERNEL, SEGMENT};
use crate::recipe::{Catalog, Recipe};
use crate::state::{Settled, State};
use crate::store::Store;
use crate::store::attempts;
use crate::store::hosts;
use crate::store::inventory;
use crate::store::nodes;

/// Of this shape.
const VERSION: u32 = 1;

/// All that a plugin is told.
#[derive(Debug, Serialize)]
pub struct Input {
    version: u32,
    verb: &'static str,
    head: Head,
    changed: Vec<Node>,
    nodes: Vec<Node>,
    hosts: Vec<Host>,
    groups: Vec<Group>,
    networks: Vec<Network>,
}

/// The head node.
#[derive(Debug, Serialize)]
struct Head {
    release: &'static str,
    http_port: u16,
}

/// A node. `names`: the fully qualified one first, each once.
#[derive(Clone, Debug, Serialize)]
struct Node {
    name: String,
    hostname: String,
    domain: Option<String>,
    names: Vec<String>,
    group: String,
    network: String,
    mac: String,
    bootif: String,
    address: Option<Ipv4Addr>,
    uid: Option<String>,
    state: &'static str,
    attributes: BTreeMap<String, String>,
    host_keys: Vec<String>,
    boot: Boot,
}

/// What its firmware is to boot next.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
enum Boot {
    Install(Load),
    Rescue(Load),
    Local,
    Wait,
}

/// A kernel and what comes with it. Paths are for plain HTTP on the server.
#[derive(Clone, Debug, Serialize)]
struct Load {
    server: Ipv4Addr,
    port: u16,
    kernel: String,
    initrds: Vec<String>,
    arguments: Vec<String>,
}

/// A machine that is not ours to boot.
#[derive(Debug, Serialize)]
struct Host {
    name: String,
    names: Vec<String>,
    network: Option<String>,
    address: Ipv4Addr,
}

#[derive(Debug, Serialize)]
struct Group {
    name: String,
    nodes: Vec<String>,
    attributes: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct Network {
    name: String,
    interface: String,
    subnet: String,
    netmask: Ipv4Addr,
    address: Ipv4Addr,
    first: Option<Ipv4Addr>,
    last: Option<Ipv4Addr>,
    gateway: Option<Ipv4Addr>,
    dns: Vec<IpAddr>,
    domain: Option<String>,
}

/// What of a document is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Told {
    attributes: BTreeMap<String, String>,
    network: ToldNetwork,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct ToldNetwork {
    domain: Option<String>,
}

impl Told {
    /// With a node's overrides, as [`crate::document::merge`] would do it to whole documents: of thousands of nodes that takes
    /// too long.
    fn with(&self, overrides: &str) -> Result<Self> {
        let mut told = self.clone();
        let own = self::told(overrides)?;
        told.attributes.extend(own.attributes);
        told.network.domain = own.network.domain.or(told.network.domain);
        Ok(told)
    }
}

/// What happened to `changed`, and all that is there now.
///
/// # Errors
/// When the store cannot be read.
pub async fn of(store: &Store, verb: Verb, changed: &[nodes::Node]) -> Result<Input> {
    let catalog = Catalog::load(store).await?;
    let (keys, locks) = (store.host_keys().await?, store.locks().await?);
    let mut teller =
        Teller { told: told_by_groups(&catalog)?, keys, locks, catalog, recipes: HashMap::new() };
    let all = store.nodes().await?;
    let mut groups: Vec<Group> = teller.groups();
    let mut members: HashMap<&str, Vec<String>> = HashMap::new();
    for node in &all {
        members.entry(&node.group).or_default().push(node.name.clone());
    }
    for group in &mut groups {
        group.nodes = members.remove(group.name.as_str()).unwrap_or_default();
    }
    Ok(Input {
        version: VERSION,
        verb: verb.name(),
        head: Head { release: env!("CARGO_PKG_VERSION"), http_port: teller.catalog.http_port },
        changed: teller.nodes(changed)?,
        nodes: teller.nodes(&all)?,
        hosts: store.hosts().await?.into_iter().map(|host| teller.host(host)).collect(),
        groups,
        networks: teller.catalog.networks.values().map(network).collect(),
    })
}

fn told_by_groups(catalog: &Catalog) -> Result<HashMap<String, Told>> {
    let told = catalog.groups.values().map(|group| Ok((group.name.clone(), told(&group.document)?)));
    told.collect::<Result<_>>().context("reading the documents of groups")
}

fn told(document: &str) -> Result<Told> {
    Ok(toml_edit::de::from_str(document)?)
}

/// What is needed to tell of a node.
struct Teller {
    catalog: Catalog,
    told: HashMap<String, Told>,
    keys: HashMap<i64, Vec<String>>,
    locks: BTreeMap<i64, String>,
    /// `None`: there is none.
    recipes: HashMap<Kind, Option<Recipe>>,
}

/// Nodes with the same boot, but for their own names and addresses.
#[derive(PartialEq, Eq, Hash)]
struct Kind {
    group: String,
    network: String,
    has_address: bool,
    /// Without the attributes: no boot depends on them.
    overrides: String,
}

impl Kind {
    fn of(node: &nodes::Node) -> Result<Self> {
        let mut overrides: DocumentMut = node.overrides.parse()?;
        overrides.remove("attributes");
        Ok(Self {
            group: node.group.clone(),
            network: node.network.clone(),
            has_address: node.address.is_some(),
            overrides: overrides.to_string(),
        })
    }
}

impl Teller {
    fn groups(&self) -> Vec<Group> {
        let group = |(name, told): (&String, &Told)| Group {
            name: name.clone(),
            nodes: Vec::new(),
            attributes: told.attributes.clone(),
        };
        let mut groups: Vec<Group> = self.told.iter().map(group).collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        groups
    }

    fn nodes(&mut self, nodes: &[nodes::Node]) -> Result<Vec<Node>> {
        nodes.iter().map(|node| self.node(node)).collect()
    }

    fn node(&mut self, node: &nodes::Node) -> Result<Node> {
        // A node that was removed may have been the last of its group, and the group gone as well.
        let of_group = self.told.get(&node.group).cloned().unwrap_or_default();
        let of_it = of_group.with(&node.overrides);
        let of_it = of_it.with_context(|| format!("reading the document of node {}", node.name))?;
        let of_network = self.catalog.networks.get(&node.network).and_then(|network| network.domain.clone());
        let domain = of_it.network.domain.or(of_network);
        let hostname = node.name.split('.').next().unwrap_or_default().to_owned();
        Ok(Node {
            names: names(&node.name, domain.as_deref()),
            name: node.name.clone(),
            hostname,
            domain,
            group: node.group.clone(),
            network: node.network.clone(),
            mac: node.mac.to_string(),
            bootif: node.mac.bootif(),
            address: node.address,
            uid: node.uid.clone(),
            state: node.state.name(),
            attributes: of_it.attributes,
            host_keys: self
                .keys
                .get(&node.id)
                .into_iter()
                .flatten()
                .filter_map(|key| host_key(key))
                .collect(),
            boot: self.boot(node),
        })
    }

    fn host(&self, host: hosts::Host) -> Host {
        let mut networks = self.catalog.networks.values();
        let network = networks.find(|network| network.subnet.has_host(host.address));
        let names = names(&host.name, network.and_then(|network| network.domain.as_deref()));
        let network = network.map(|network| network.name.clone());
        Host { names, name: host.name, network, address: host.address }
    }

    /// As [`crate::http`] would answer it. What cannot be booted waits.
    fn boot(&mut self, node: &nodes::Node) -> Boot {
        match node.state.settled(self.locks.contains_key(&node.id)) {
            Some(Settled::LocalDisk) => return Boot::Local,
            Some(Settled::Wait) => return Boot::Wait,
            None => {}
        }
        let Some(recipe) = self.recipe(node) else { return Boot::Wait };
        if node.state == State::Rescue {
            return rescue(recipe).map_or(Boot::Wait, Boot::Rescue);
        }
        if !attempts::may_try(node.state, recipe.retries_failed()) {
            return Boot::Wait;
        }
        install(recipe).map_or(Boot::Wait, Boot::Install)
    }

    /// The recipe of the node's kind, with this node in it: that is made and checked once for all of them.
    fn recipe(&mut self, node: &nodes::Node) -> Option<&Recipe> {
        let recipe = self.recipes.entry(Kind::of(node).ok()?);
        let recipe = recipe.or_insert_with(|| self.catalog.recipe(node.clone()).ok()).as_mut()?;
        recipe.node = node.clone();
        Some(recipe)
    }
}

/// Nothing where it boots a UKI: to GRUB and PXELINUX that is no kernel.
fn install(recipe: &Recipe) -> Option<Load> {
    let netboot = recipe.netboot().ok().filter(|_| !recipe.document.uki)?;
    let mut load = load(recipe, netboot, recipe.kernel_arguments());
    load.initrds.extend(netboot.segment.map(|segment| format!("/boot/file/{segment}/{SEGMENT}")));
    load.initrds.push(format!("/boot/token/of/{}", recipe.node.mac.as_str().replace(':', "-")));
    Some(load)
}

/// Nothing is installed, so no token goes with it.
fn rescue(recipe: &Recipe) -> Option<Load> {
    let (netboot, arguments) = recipe.rescue().ok()?;
    Some(load(recipe, netboot, arguments.to_vec()))
}

fn load(recipe: &Recipe, netboot: &inventory::Netboot, arguments: Vec<String>) -> Load {
    Load {
        server: recipe.network.address,
        port: recipe.http_port,
        kernel: format!("/boot/file/{}/{KERNEL}", netboot.kernel),
        initrds: vec![format!("/boot/file/{}/{INITRD}", netboot.initrd)],
        arguments,
    }
}

/// The fully qualified name, the name, the host name: each once.
fn names(name: &str, domain: Option<&str>) -> Vec<String> {
    let hostname = name.split('.').next().unwrap_or_default();
    let mut names: Vec<String> = domain.map(|domain| format!("{hostname}.{domain}")).into_iter().collect();
    for name in [name, hostname] {
        if !names.iter().any(|other| other == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// `TYPE BASE64`, without a comment; `None` if it is no such thing: whoever is root on a node says what this is.
fn host_key(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let (kind, key) = (words.next()?, words.next()?);
    let known = ["ssh-ed25519", "ssh-rsa"].contains(&kind) || kind.starts_with("ecdsa-sha2-nistp");
    let plain = |word: &str, more: &str| {
        word.len() < 4096 && word.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    (known && plain(kind, "-") && plain(key, "+/=")).then(|| format!("{kind} {key}"))
}

fn network(network: &inventory::Network) -> Network {
    Network {
        name: network.name.clone(),
        interface: network.interface.clone(),
        subnet: network.subnet.to_string(),
        netmask: network.subnet.mask(),
        address: network.address,
        first: network.range.map(|range| range.first),
        last: network.range.map(|range| range.last),
        gateway: network.gateway,
        dns: network.dns.clone(),
        domain: network.domain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document;

    #[test]
    fn overrides_are_merged_as_in_documents() {
        let group = "[attributes]\na = \"1\"\nb = \"2\"\n[network]\ndomain = \"c.example\"\nmtu = 9000\n";
        for overrides in [
            "",
            "attributes.b = \"3\"\nattributes.c = \"4\"\n",
            "network = { domain = \"d.example\" }\n",
            "network.mtu = 1500\n",
        ] {
            let ours = told(group).unwrap().with(overrides).unwrap();
            assert_eq!(ours, told(&document::merge(group, overrides).unwrap()).unwrap(), "{overrides}");
        }
        assert!(told(group).unwrap().with("attributes = 1\n").is_err());
    }

    #[test]
    fn a_name_is_there_once() {
        assert_eq!(names("n1", Some("c.example")), ["n1.c.example", "n1"]);
        assert_eq!(names("n1.c.example", Some("c.example")), ["n1.c.example", "n1"]);
        assert_eq!(names("n1", None), ["n1"]);
        assert_eq!(names("n1.other", None), ["n1.other", "n1"]);
    }

    #[test]
    fn a_host_key_is_a_type_and_a_key() {
        assert_eq!(host_key("ssh-ed25519 AAAA+/= root@n1").as_deref(), Some("ssh-ed25519 AAAA+/="));
        assert_eq!(host_key("ecdsa-sha2-nistp256 AAAA\n").as_deref(), Some("ecdsa-sha2-nistp256 AAAA"));
        for bad in ["", "ssh-ed25519", "ssh-dss AAAA", "@cert-authority * ssh-rsa AAAA", "ssh-rsa AA,*"] {
            assert_eq!(host_key(bad), None, "{bad}");
        }
    }
}
