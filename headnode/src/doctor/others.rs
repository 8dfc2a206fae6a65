//! DHCP servers other than ours, where the admin wants them asked for.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Examined, Finding};
use crate::addhost::link;
use crate::dhcp::client;
use crate::store::inventory::Network;

/// Servers that look whether an address is in use before they offer it wait a second and more.
const PATIENCE: Duration = Duration::from_secs(4);

/// A DHCPDISCOVER on each managed network. Our own dnsmasq does not hear it: it comes from its own machine.
pub fn check(examined: &Examined) -> Result<Vec<Finding>> {
    let managed: Vec<&Network> = examined.managed().filter(|network| !network.is_relayed()).collect();
    if !examined.probe {
        let said = "other servers are not asked for (--probe does it)";
        return Ok(managed.iter().map(|network| Finding::ok(&network.interface, said)).collect());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("starting to listen")?;
    let finding = |network: &&Network| {
        let servers = runtime.block_on(link::offers(&network.interface, PATIENCE, &[(93, &[0, 7])]))?;
        let mut servers: Vec<_> = servers.into_iter().map(|offer: client::Offer| offer.server).collect();
        servers.retain(|server| *server != network.address);
        servers.sort();
        servers.dedup();
        let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
        Ok(match servers.is_empty() {
            true => Finding::ok(&network.interface, "no other DHCP server answers"),
            false => Finding::problem(
                &network.interface,
                format!("{} offers addresses, too", servers.join(", ")),
                format!(
                    "switch it off there, or leave DHCP to it: headnode network set {} --dhcp external",
                    network.name
                ),
            ),
        })
    };
    managed.iter().map(finding).collect()
}
