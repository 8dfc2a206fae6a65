//! `headnode network …`

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{Context, check_name};
use crate::cli::{Network as Command, NetworkAdd, Output};
use crate::output::{self, List, or_dash};
use crate::recipe::HTTP_PORT;
use crate::script;
use crate::store::inventory::Network;

pub(super) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Add(add) => context.store.add_network(&checked(add)?).await,
        Command::List => list(context).await,
        Command::Show { name } => show(context, &name).await,
        Command::Rm { name } => context.store.remove_network(&name).await,
    }
}

fn checked(add: NetworkAdd) -> Result<Network> {
    let NetworkAdd { name, interface, subnet, address, range, gateway, dns, domain, dhcp, mac_proof } = add;
    check_name("network", &name)?;
    let network = Network { name, interface, subnet, address, range, gateway, dns, domain, dhcp, mac_proof };
    check(&network)?;
    Ok(network)
}

/// Whether its addresses fit together.
pub(super) fn check(network: &Network) -> Result<()> {
    let Network { interface, subnet, address, range, gateway, domain, .. } = network;
    let right = |c: char| c.is_ascii_graphic() && !"/,:".contains(c);
    ensure!(
        (1..16).contains(&interface.len()) && interface.chars().all(right),
        "`{interface}` is no interface name"
    );
    let hosts = [Some(*address), range.map(|range| range.first), range.map(|range| range.last), *gateway];
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

fn as_json(network: &Network) -> Value {
    json!({
        "name": network.name,
        "interface": network.interface,
        "subnet": network.subnet.to_string(),
        "address": network.address,
        "range": network.range.map(|range| range.to_string()),
        "gateway": network.gateway,
        "dns": network.dns,
        "domain": network.domain,
        "dhcp": network.dhcp,
        "mac_proof": network.mac_proof,
    })
}

async fn list(context: &Context) -> Result<()> {
    let mut list = List::new(&["name", "interface", "subnet", "address", "range", "dhcp"]);
    for network in context.store.networks().await? {
        let json = as_json(&network);
        let dhcp = json["dhcp"].as_str().unwrap_or_default().to_owned();
        let Network { name, interface, subnet, address, range, .. } = network;
        list.push(vec![name, interface, subnet.to_string(), address.to_string(), or_dash(range), dhcp], json);
    }
    list.print(context.output)
}

async fn show(context: &Context, name: &str) -> Result<()> {
    let network = context.store.network(name).await?;
    let port = context.store.port("http-port", HTTP_PORT).await?;
    let mut json = as_json(&network);
    json["script_url"] = format!("http://{}:{port}{}{}", network.address, script::PATH, script::QUERY).into();
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
