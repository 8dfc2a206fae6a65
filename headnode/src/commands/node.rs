//! `headnode node …`

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::{Context, check_name, warn};
use crate::cli::{Assignment, Node as Command, NodeSet, Output};
use crate::clock;
use crate::document;
use crate::logs;
use crate::output::{self, List, or_dash};
use crate::recipe::Recipe;
use crate::state::State;
use crate::store::inventory::Network;
use crate::store::nodes::Node;

pub(super) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Add { name, set } => add(context, name, set).await,
        Command::Set { name, set, unset } => change(context, &name, set, &unset).await,
        Command::List => list(context).await,
        Command::Show { name } => show(context, &name).await,
        Command::Rm { names } => {
            for name in names {
                context.store.remove_node(&name).await?;
                logs::forget(&context.dir, &name)?;
            }
            Ok(())
        }
    }
}

async fn add(context: &Context, name: String, set: NodeSet) -> Result<()> {
    check_name("node", &name)?;
    let group = set.group.context("a node needs a group: --group NAME")?;
    let mac = set.mac.context("a node needs the MAC address of its boot interface: --mac MAC")?;
    let network = network_for(context, set.network.as_deref(), set.ip).await?.name;
    let mut node = Node {
        id: 0,
        name,
        group,
        network,
        mac,
        address: set.ip,
        uid: set.uid,
        overrides: String::new(),
        state: State::Unknown,
        since: 0,
        seen_at: None,
    };
    override_keys(&mut node, &set.keys)?;
    save(context, &node).await
}

async fn change(context: &Context, name: &str, set: NodeSet, unset: &[String]) -> Result<()> {
    let mut node = context.store.node(name).await?;
    if set.network.is_some() || set.ip.is_some() {
        let wanted = set.network.as_deref();
        node.network = network_for(context, wanted, set.ip.or(node.address)).await?.name;
    }
    node.group = set.group.unwrap_or(node.group);
    node.mac = set.mac.unwrap_or(node.mac);
    node.address = set.ip.or(node.address);
    node.uid = set.uid.or(node.uid);
    for key in unset {
        node.overrides = document::unset(&node.overrides, key)?;
    }
    override_keys(&mut node, &set.keys)?;
    save(context, &node).await
}

fn override_keys(node: &mut Node, keys: &[Assignment]) -> Result<()> {
    for Assignment { key, value } in keys {
        node.overrides = document::set(&node.overrides, key, value)?;
    }
    Ok(())
}

/// Nothing is stored that would not make a node.
async fn save(context: &Context, node: &Node) -> Result<()> {
    warn(&Recipe::of(&context.store, node.clone()).await?);
    context.store.save_node(node).await
}

/// The network of that name, or the only one that fits.
async fn network_for(
    context: &Context,
    name: Option<&str>,
    ip: Option<std::net::Ipv4Addr>,
) -> Result<Network> {
    let network = match name {
        Some(name) => context.store.network(name).await?,
        None => only_one(context.store.networks().await?, ip)?,
    };
    if let Some(ip) = ip {
        ensure!(
            network.subnet.has_host(ip),
            "{ip} is no host's address in {} ({})",
            network.subnet,
            network.name
        );
        ensure!(ip != network.address, "{ip} is the head node's own address");
    }
    Ok(network)
}

fn only_one(mut networks: Vec<Network>, ip: Option<std::net::Ipv4Addr>) -> Result<Network> {
    if let Some(ip) = ip {
        networks.retain(|network| network.subnet.has_host(ip));
    }
    match (networks.pop(), networks.is_empty()) {
        (Some(network), true) => Ok(network),
        (None, _) => match ip {
            Some(ip) => bail!("{ip} is in no network: see `headnode network list`"),
            None => bail!("there is no network yet: add one with `headnode network add`"),
        },
        (Some(_), false) => bail!("there are several networks: say which one with --network"),
    }
}

fn as_json(node: &Node) -> Value {
    json!({
        "name": node.name,
        "group": node.group,
        "network": node.network,
        "mac": node.mac.as_str(),
        "address": node.address,
        "uid": node.uid,
        "state": node.state.name(),
        "since": clock::text(node.since),
        "seen": node.seen_at.map(clock::text),
    })
}

async fn list(context: &Context) -> Result<()> {
    let mut list = List::new(&["name", "group", "network", "mac", "address", "state"]);
    for node in context.store.nodes().await? {
        let json = as_json(&node);
        let (mac, state) = (node.mac.to_string(), node.state.to_string());
        list.push(vec![node.name, node.group, node.network, mac, or_dash(node.address), state], json);
    }
    list.print(context.output)
}

async fn show(context: &Context, name: &str) -> Result<()> {
    let node = context.store.node(name).await?;
    let overrides = document::hide_secrets(&node.overrides)?;
    let mut json = as_json(&node);
    json["overrides"] = toml_edit::de::from_str(&overrides)?;
    if context.output == Output::Json {
        return output::json(&json);
    }
    let fields = ["name", "group", "network", "mac", "address", "uid", "state", "since", "seen"];
    let line = |field: &&str| format!("{field}: {}\n", or_dash(json[*field].as_str()));
    let head: String = fields.iter().map(line).collect();
    let tail = if overrides.is_empty() { String::new() } else { format!("overrides:\n{overrides}") };
    output::text(&(head + &tail))
}
