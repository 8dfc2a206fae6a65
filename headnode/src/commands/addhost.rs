//! `headnode addhost` and `headnode host …`

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::{Context, actor, check_name};
use crate::addhost::{self, Work};
use crate::cli::{Addhost, Host as Command};
use crate::output::List;
use crate::store::hosts::Host;

pub(super) async fn run(context: &Context, options: &Addhost) -> Result<()> {
    let work = Work {
        store: &context.store,
        dir: &context.dir,
        actor: actor(),
        output: context.output,
        install: !options.no_install,
    };
    addhost::run(&work, options, options.batch || context.yes).await
}

pub(super) async fn host(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Add { name, ip, file, network } => {
            let mut hosts: Vec<(String, Ipv4Addr)> = name.zip(ip).into_iter().collect();
            if let Some(file) = file {
                hosts.extend(addhost::hosts_of(&file)?);
            }
            add_hosts(context, hosts, network.as_deref()).await
        }
        Command::List => {
            let mut list = List::new(&["name", "network", "address"]);
            for Host { name, network, address } in context.store.hosts().await? {
                let json = json!({"name": name, "network": network, "address": address});
                list.push(vec![name, network, address.to_string()], json);
            }
            list.print(context.output)
        }
        Command::Rm { names } => {
            for name in names {
                context.store.remove_host(&name).await?;
            }
            Ok(())
        }
    }
}

/// All or none.
async fn add_hosts(context: &Context, wanted: Vec<(String, Ipv4Addr)>, network: Option<&str>) -> Result<()> {
    let networks = context.store.networks().await?;
    let mut hosts = Vec::new();
    for (name, address) in wanted {
        check_name("host", &name)?;
        let network = addhost::network_for(&networks, network, Some(address));
        let network = network.with_context(|| format!("{name} {address}"))?;
        ensure!(address != network.address, "{address} is the head node's own address");
        hosts.push(Host { name, network: network.name.clone(), address });
    }
    context.store.add_hosts(&hosts).await
}
