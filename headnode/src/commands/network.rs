//! `headnode network …`

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::change::Change;
use super::{Context, check_name};
use crate::cli::{Network as Command, NetworkKey, NetworkSet, Output};
use crate::dhcp::foreign;
use crate::output::{self, List, or_dash};
use crate::plugins::Verb;
use crate::recipe::{Catalog, HTTP_PORT};
use crate::script;
use crate::store::inventory::{Dhcp, MacProof, Network};

pub(super) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Add { name, set } => {
            check_name("network", &name)?;
            let network = added(name, set)?;
            check(&network)?;
            context.store.add_network(&network).await?;
            // Nobody is on it yet, but plugins are told of all networks.
            context.tell(Verb::Updated, &[]).await
        }
        Command::Set { name, set } => {
            let old = context.store.network(&name).await?;
            let new = changed(old.clone(), set);
            save(context, old, new).await
        }
        Command::Unset { name, keys } => {
            let old = context.store.network(&name).await?;
            let mut new = old.clone();
            keys.into_iter().for_each(|key| unset(&mut new, key));
            save(context, old, new).await
        }
        Command::Edit { name } => edit(context, &name).await,
        Command::List => list(context).await,
        Command::Show { name } => show(context, &name).await,
        Command::Snippet { name, server, tftp } => {
            let network = context.store.network(&name).await?;
            let port = context.store.port("http-port", HTTP_PORT).await?;
            output::text(&foreign::snippet(server, &network, port, tftp)?)
        }
        Command::Rm { name } => {
            context.store.remove_network(&name).await?;
            context.tell(Verb::Updated, &[]).await
        }
    }
}

fn added(name: String, set: NetworkSet) -> Result<Network> {
    let NetworkSet { interface, subnet, address, range, gateway, dns, domain, dhcp, mac_proof } = set;
    Ok(Network {
        name,
        interface: interface.context("a network needs the head node's interface on it: --interface IF")?,
        subnet: subnet.context("a network needs its addresses: --subnet 10.1.0.0/24")?,
        address: address.context("a network needs the head node's own address: --address IP")?,
        range,
        gateway,
        dns,
        domain,
        dhcp: dhcp.unwrap_or(Dhcp::Managed),
        mac_proof: mac_proof.unwrap_or(MacProof::Link),
    })
}

fn changed(old: Network, set: NetworkSet) -> Network {
    Network {
        name: old.name,
        interface: set.interface.unwrap_or(old.interface),
        subnet: set.subnet.unwrap_or(old.subnet),
        address: set.address.unwrap_or(old.address),
        range: set.range.or(old.range),
        gateway: set.gateway.or(old.gateway),
        dns: if set.dns.is_empty() { old.dns } else { set.dns },
        domain: set.domain.or(old.domain),
        dhcp: set.dhcp.unwrap_or(old.dhcp),
        mac_proof: set.mac_proof.unwrap_or(old.mac_proof),
    }
}

fn unset(network: &mut Network, key: NetworkKey) {
    match key {
        NetworkKey::Range => network.range = None,
        NetworkKey::Gateway => network.gateway = None,
        NetworkKey::Dns => network.dns.clear(),
        NetworkKey::Domain => network.domain = None,
    }
}

/// Whether its addresses fit together.
pub(super) fn check(network: &Network) -> Result<()> {
    let Network { interface, subnet, address, range, gateway, domain, mac_proof, .. } = network;
    let right = |c: char| c.is_ascii_graphic() && !"/,:".contains(c);
    ensure!(
        (1..16).contains(&interface.len()) && interface.chars().all(right),
        "`{interface}` is no interface name"
    );
    ensure!(
        !network.is_relayed() || (gateway.is_some() && *mac_proof == MacProof::None),
        "{address} is no host's address in {subnet}; if a relay is between them, the network needs --gateway IP and \
         --mac-proof none"
    );
    let hosts = [range.map(|range| range.first), range.map(|range| range.last), *gateway];
    for host in hosts.into_iter().flatten() {
        ensure!(subnet.has_host(host), "{host} is no host's address in {subnet}");
    }
    if let Some(range) = range {
        ensure!(
            !(range.first..=range.last).contains(address),
            "the range {range} contains the head node's {address}"
        );
    }
    if let Some(domain) = domain {
        let right = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
        ensure!(!domain.is_empty() && domain.chars().all(right), "`{domain}` is no domain name");
    }
    Ok(())
}

async fn edit(context: &Context, name: &str) -> Result<()> {
    let old = context.store.network(name).await?;
    let text = context.edit(&text(&old)?, |text| check(&read(name, text)?))?;
    save(context, old, read(name, &text)?).await
}

/// As an editor shows it: all but its name, which is not to be changed.
fn text(network: &Network) -> Result<String> {
    let mut table = toml_edit::ser::to_document(network)?;
    table.remove("name");
    Ok(table.to_string())
}

fn read(name: &str, text: &str) -> Result<Network> {
    let about = || format!("reading the network {name}");
    let mut table: toml_edit::DocumentMut = text.parse().with_context(about)?;
    table.insert("name", toml_edit::value(name));
    toml_edit::de::from_document(table).with_context(about)
}

/// If all its nodes can live with it.
async fn save(context: &Context, old: Network, new: Network) -> Result<()> {
    check(&new)?;
    context.store.may_set_network(&new).await?;
    let mut nodes = context.store.nodes().await?;
    nodes.retain(|node| node.network == new.name);
    let mut catalog = Catalog::load(&context.store).await?;
    catalog.networks.insert(new.name.clone(), new.clone());
    for node in &nodes {
        let recipe = catalog.recipe(node.clone());
        recipe.with_context(|| format!("making the node {} with its changed network", node.name))?;
    }
    let change = Change { name: format!("network {}", new.name), old: text(&old)?, new: text(&new)? };
    if !context.agree(&[change])? {
        return Ok(());
    }
    context.store.set_network(&old, &new).await?;
    context.tell(Verb::Updated, &nodes).await
}

async fn list(context: &Context) -> Result<()> {
    let mut list = List::new(&["name", "interface", "subnet", "address", "range", "dhcp"]);
    for network in context.store.networks().await? {
        let json = serde_json::to_value(&network)?;
        let dhcp = json["dhcp"].as_str().unwrap_or_default().to_owned();
        let Network { name, interface, subnet, address, range, .. } = network;
        list.push(vec![name, interface, subnet.to_string(), address.to_string(), or_dash(range), dhcp], json);
    }
    list.print(context.output)
}

async fn show(context: &Context, name: &str) -> Result<()> {
    let network = context.store.network(name).await?;
    let port = context.store.port("http-port", HTTP_PORT).await?;
    let mut json = serde_json::to_value(&network)?;
    json["script_url"] = script::url(&network, port).into();
    if context.output != Output::Table {
        return output::data(context.output, &json);
    }
    let Value::Object(fields) = json else { return Ok(()) };
    let line = |(key, value): (&String, &Value)| match value.as_str() {
        Some(text) => format!("{key}: {text}\n"),
        None => format!("{key}: {value}\n"),
    };
    output::text(&fields.iter().map(line).collect::<String>())
}
