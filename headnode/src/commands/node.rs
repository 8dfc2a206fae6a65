//! `headnode node …`

use std::collections::{BTreeSet, HashSet};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::change::Change;
use super::{Context, actor, check_name, effective, warn};
use crate::cli::{Assignment, Machine, Node as Command, NodeSet, Output};
use crate::clock;
use crate::document;
use crate::log;
use crate::logs;
use crate::output::{self, List, or_dash};
use crate::plugins::Verb;
use crate::ranges;
use crate::recipe::{Catalog, Recipe};
use crate::state::State;
use crate::store::inventory::Network;
use crate::store::nodes::Node;

pub(super) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Add { name, set } => add(context, name, set).await,
        Command::Set { nodes, set, unset } => change(context, &nodes, set, &unset).await,
        Command::Unset { nodes, keys } => {
            let changed = context.nodes_to_change(&[nodes]).await?.into_iter().map(|node| {
                let mut overrides = node.overrides.clone();
                for key in &keys {
                    overrides = document::unset(&overrides, key).with_context(|| node.name.clone())?;
                }
                Ok((node.clone(), Node { overrides, ..node }))
            });
            save(context, changed.collect::<Result<_>>()?).await
        }
        Command::Edit { node } => edit(context, &node).await,
        Command::List { nodes } => list(context, &nodes).await,
        Command::Show { node, effective: false } => show(context, &node).await,
        Command::Show { node, effective: true } => show_effective(context, &node).await,
        Command::Rm { nodes } => remove(context, &nodes).await,
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
        machine: set.machine.and_then(|Machine(id)| id),
        overrides: String::new(),
        state: State::Unknown,
        since: 0,
        seen_at: None,
    };
    override_keys(&mut node, &set.keys)?;
    warn(&Recipe::of(&context.store, node.clone()).await?);
    context.store.save_node(&node).await?;
    context.tell(Verb::Added, &[context.store.node(&node.name).await?]).await
}

async fn change(context: &Context, nodes: &str, set: NodeSet, unset: &[String]) -> Result<()> {
    let nodes = context.nodes_to_change(&[nodes.to_owned()]).await?;
    let own = set.mac.is_some()
        || set.ip.is_some()
        || set.uid.is_some()
        || matches!(set.machine, Some(Machine(Some(_))));
    ensure!(
        nodes.len() == 1 || !own,
        "--mac, --ip, --uid and a --machine are one node's own: say them node by node"
    );
    let mut changed = Vec::new();
    for old in nodes {
        let mut node = old.clone();
        if set.network.is_some() || set.ip.is_some() {
            let wanted = set.network.as_deref();
            node.network = network_for(context, wanted, set.ip.or(node.address)).await?.name;
        }
        node.group = set.group.clone().unwrap_or(node.group);
        node.machine = match (set.machine, &set.mac) {
            (Some(Machine(id)), _) => id,
            (None, Some(mac)) if *mac != node.mac => None,
            (None, _) => node.machine,
        };
        node.mac = set.mac.clone().unwrap_or(node.mac);
        node.address = set.ip.or(node.address);
        node.uid = set.uid.clone().or(node.uid);
        for key in unset {
            node.overrides = document::unset(&node.overrides, key)?;
        }
        override_keys(&mut node, &set.keys)?;
        changed.push((old, node));
    }
    save(context, changed).await
}

async fn edit(context: &Context, node: &str) -> Result<()> {
    let old = context.node(node).await?;
    let catalog = Catalog::load(&context.store).await?;
    let overrides = context.edit(&old.overrides, |text| {
        catalog.recipe(Node { overrides: text.to_owned(), ..old.clone() }).map(drop)
    })?;
    save(context, vec![(old.clone(), Node { overrides, ..old })]).await
}

async fn remove(context: &Context, words: &[String]) -> Result<()> {
    let nodes = context.nodes_to_change(words).await?;
    for node in &nodes {
        context.store.check_lock(node).await?;
    }
    let names = ranges::fold(nodes.iter().map(|node| node.name.as_str()));
    context
        .confirm(&format!("{names}: {} go, with all that they reported\n", nodes.len()), "Remove them?")?;
    for node in &nodes {
        context.store.remove_node(&node.name).await?;
        logs::forget(&context.dir, &node.name)?;
    }
    context.tell(Verb::Removed, &nodes).await
}

fn override_keys(node: &mut Node, keys: &[Assignment]) -> Result<()> {
    for Assignment { key, value } in keys {
        node.overrides = document::set(&node.overrides, key, value)?;
    }
    Ok(())
}

/// All or none, and nothing is stored that would not make a node.
pub(super) async fn save(context: &Context, changed: Vec<(Node, Node)>) -> Result<()> {
    let catalog = Catalog::load(&context.store).await?;
    let mut said = BTreeSet::new();
    for (_, node) in &changed {
        said.extend(catalog.recipe(node.clone())?.warnings().into_iter().map(|warning| warning.to_string()));
    }
    said.iter().for_each(|warning| log::line(format_args!("{warning}")));
    let change = |(old, new): &(Node, Node)| Change {
        name: new.name.clone(),
        old: text(old, new),
        new: text(new, old),
    };
    if context.agree(&changed.iter().map(change).collect::<Vec<_>>())? {
        context.store.save_nodes(&changed, &actor()).await?;
        let ids: HashSet<i64> = changed.iter().map(|(_, node)| node.id).collect();
        let mut nodes = context.store.nodes().await?;
        nodes.retain(|node| ids.contains(&node.id));
        context.tell(Verb::Updated, &nodes).await?;
    }
    Ok(())
}

/// What an admin may change of a node, as TOML, but for what `other` has as well: nodes that change in the same way have
/// the same texts.
fn text(node: &Node, other: &Node) -> String {
    let fields = |node: &Node| {
        [
            ("group", Some(node.group.clone())),
            ("network", Some(node.network.clone())),
            ("mac", Some(node.mac.to_string())),
            ("address", node.address.map(|address| address.to_string())),
            ("uid", node.uid.clone()),
            ("machine", node.machine.map(|machine| machine.to_string())),
        ]
    };
    let differ = fields(node).into_iter().zip(fields(other)).filter(|(field, other)| field != other);
    let line = |((name, value), _)| Some(format!("node.{name} = {}\n", toml_edit::Value::from(value?)));
    differ.filter_map(line).collect::<String>() + &node.overrides
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
        "machine": node.machine,
        "state": node.state.name(),
        "since": clock::text(node.since),
        "seen": node.seen_at.map(clock::text),
    })
}

async fn list(context: &Context, words: &[String]) -> Result<()> {
    let mut list = List::new(&["name", "group", "network", "mac", "address", "state"]);
    for node in context.nodes(words).await? {
        let (mac, state) = (node.mac.to_string(), node.state.to_string());
        let row = || {
            let Node { name, group, network, .. } = node.clone();
            vec![name, group, network, mac, or_dash(node.address), state]
        };
        list.push_for(context.output, row, || as_json(&node));
    }
    list.print(context.output)
}

async fn show_effective(context: &Context, name: &str) -> Result<()> {
    let catalog = Catalog::load(&context.store).await?;
    let recipe = catalog.recipe(context.node(name).await?)?;
    let group = catalog.group(&recipe.node.group)?;
    let defaults = |os: &str| catalog.defaults(os, &recipe.network);
    let values = document::effective(&group.document, &recipe.node.overrides, defaults)?;
    let network = format!("network {}", recipe.network.name);
    let own = |key: &'static str, value: Value| (key, value, "node".to_owned());
    let mut more = vec![
        own("name", recipe.node.name.clone().into()),
        own("group", recipe.node.group.clone().into()),
        own("mac", recipe.node.mac.as_str().into()),
        own("address", json!(recipe.node.address)),
        own("uid", json!(recipe.node.uid)),
        own("machine", json!(recipe.node.machine)),
    ];
    more.retain(|(_, value, _)| !value.is_null());
    if let (None, Some(domain)) = (&recipe.document.network.domain, &recipe.network.domain) {
        more.push(("network.domain", domain.clone().into(), network.clone()));
    }
    if recipe.document.network.dns.is_none() && !recipe.network.dns.is_empty() {
        more.push(("network.dns", json!(recipe.network.dns), network));
    }
    effective::print(context, &values, &group.name, &more)
}

async fn show(context: &Context, name: &str) -> Result<()> {
    let node = context.node(name).await?;
    let overrides = document::hide_secrets(&node.overrides)?;
    let mut json = as_json(&node);
    json["locked"] = json!(context.store.locks().await?.get(&node.id));
    json["overrides"] = toml_edit::de::from_str(&overrides)?;
    if context.output != Output::Table {
        return output::data(context.output, &json);
    }
    let fields =
        ["name", "group", "network", "mac", "address", "uid", "machine", "state", "since", "seen", "locked"];
    let line = |field: &&str| format!("{field}: {}\n", or_dash(json[*field].as_str()));
    let head: String = fields.iter().map(line).collect();
    let tail = if overrides.is_empty() { String::new() } else { format!("overrides:\n{overrides}") };
    output::text(&(head + &tail))
}
