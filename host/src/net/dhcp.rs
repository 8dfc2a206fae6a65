//! One DHCPv4 lease on one Ethernet interface (RFC 2131).

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use mozim::{DhcpV4Client, DhcpV4Config, DhcpV4Lease, DhcpV4State};
use plan::facts::Lease;

use super::links::Link;

/// A DHCP client. The one there is speaks Ethernet only; InfiniBand needs another one.
pub trait DhcpClient: Send + Sync {
    /// Gets a lease on `link`, which is up and has a carrier, and keeps it alive for as long as the program runs.
    ///
    /// # Errors
    /// No server gave one within `patience`.
    fn acquire(&self, link: &Link, patience: Duration) -> Result<Lease>;
}

/// The crate mozim. It sends again after 3-5 s, then after about twice as long each time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mozim;

impl DhcpClient for Mozim {
    fn acquire(&self, link: &Link, patience: Duration) -> Result<Lease> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .context("starting the DHCP client")?;
        let (client, lease) = runtime.block_on(ask(link, patience))?;
        let seconds = lease.lease_time_sec;
        let lease = convert(&lease).with_context(|| format!("reading the lease of {}", link.name))?;
        if seconds < u32::MAX {
            std::thread::Builder::new()
                .name(format!("dhcp-{}", link.name))
                .spawn(move || runtime.block_on(renew(client)))
                .context("starting the lease's thread")?;
        }
        Ok(lease)
    }
}

async fn ask(link: &Link, patience: Duration) -> Result<(DhcpV4Client, Box<DhcpV4Lease>)> {
    let mut config = DhcpV4Config::new(&link.name);
    config.set_iface_index(link.index);
    config.set_iface_mac(&link.mac).with_context(|| format!("reading the MAC address {}", link.mac))?;
    // The same identity as firmware's and iPXE's, so that the server gives the same address.
    config.use_mac_as_client_id();
    let mut client = DhcpV4Client::init(config, None).await.context("starting the DHCP client")?;
    let lease = tokio::time::timeout(patience, async {
        loop {
            if let DhcpV4State::Done(lease) = client.run().await.context("asking for an address")? {
                return anyhow::Ok(lease);
            }
        }
    });
    let silence = |_| anyhow!("no DHCP answer on {} within {} s", link.name, patience.as_secs());
    let lease = lease.await.map_err(silence)??;
    Ok((client, lease))
}

/// Renews the lease until that fails: the address stays as it is, and an install is over before it could matter.
async fn renew(mut client: DhcpV4Client) {
    while client.run().await.is_ok() {}
}

fn convert(lease: &DhcpV4Lease) -> Result<Lease> {
    let mask = lease.subnet_mask.to_bits();
    let prefix = mask.leading_ones();
    if prefix == 0 || mask.count_ones() != prefix {
        return Err(anyhow!("the server gave the subnet mask {}, which is none", lease.subnet_mask));
    }
    Ok(Lease {
        address: lease.yiaddr,
        prefix: u8::try_from(prefix).unwrap_or(32),
        gateway: gateway(lease),
        dns: lease.dns_srvs.clone().unwrap_or_default(),
    })
}

/// With classless routes the router option must be ignored (RFC 3442).
fn gateway(lease: &DhcpV4Lease) -> Option<Ipv4Addr> {
    match &lease.classless_routes {
        Some(routes) => routes.iter().find(|route| route.prefix_length == 0).map(|route| route.router),
        None => lease.gateways.as_ref()?.first().copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_without_a_mask_is_refused() {
        let mut lease = DhcpV4Lease::default();
        lease.yiaddr = Ipv4Addr::new(10, 0, 0, 9);
        assert!(convert(&lease).is_err());
        lease.subnet_mask = Ipv4Addr::new(255, 0, 255, 0);
        assert!(convert(&lease).is_err());
        lease.subnet_mask = Ipv4Addr::new(255, 255, 254, 0);
        lease.gateways = Some(vec![Ipv4Addr::new(10, 0, 0, 1)]);
        let lease = convert(&lease).unwrap();
        assert_eq!((lease.prefix, lease.gateway), (23, Some(Ipv4Addr::new(10, 0, 0, 1))));
    }
}
