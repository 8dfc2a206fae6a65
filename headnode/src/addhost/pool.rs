//! Addresses for new nodes: the lowest of a range that nobody has. Pure.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use crate::addresses::{Range, Subnet};
use crate::store::inventory::Network;

/// Where a group's addresses on a network come from.
#[derive(Clone, Debug)]
pub struct Pool {
    subnet: Subnet,
    first: u32,
    last: u32,
    /// What machines that are no nodes get leases from: never a node's, for it may be somebody's right now.
    discovery: Option<Range>,
    /// The head node, the gateway, the name servers.
    services: Vec<Ipv4Addr>,
}

impl Pool {
    /// The network's hosts, or those of them that are in `within`.
    pub fn new(network: &Network, within: Option<Range>) -> Self {
        let base = u32::from(network.subnet.base());
        let (first, last) = (base + 1, base + !u32::from(network.subnet.mask()) - 1);
        let (from, to) = within.map_or((first, last), |range| (range.first.into(), range.last.into()));
        let v4 = |ip: &IpAddr| match ip {
            IpAddr::V4(ip) => Some(*ip),
            IpAddr::V6(_) => None,
        };
        let services = network.dns.iter().filter_map(v4).chain(network.gateway).chain([network.address]);
        Self {
            subnet: network.subnet,
            first: first.max(from),
            last: last.min(to),
            discovery: network.range,
            services: services.collect(),
        }
    }

    /// The lowest `count` addresses that nobody has, or as many as there are.
    pub fn free(&self, count: usize, taken: &HashSet<Ipv4Addr>) -> Vec<Ipv4Addr> {
        let mut found = Vec::new();
        let mut next = self.first;
        while next <= self.last && found.len() < count {
            let address = Ipv4Addr::from(next);
            match self.discovery {
                Some(range) if (range.first..=range.last).contains(&address) => next = range.last.into(),
                _ if self.services.contains(&address) || taken.contains(&address) => {}
                _ => found.push(address),
            }
            next += 1;
        }
        found
    }

    /// What it has, for messages.
    pub fn describe(&self) -> String {
        let (first, last) = (Ipv4Addr::from(self.first), Ipv4Addr::from(self.last));
        let apart = self.discovery.map_or_else(String::new, |range| format!(" without {range} (discovery)"));
        match self.first > self.last {
            true => format!("no host of {}", self.subnet),
            false => format!("{first}-{last}{apart}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::inventory::{Dhcp, MacProof};

    fn network(range: Option<&str>) -> Network {
        Network {
            name: "prov".into(),
            interface: "br0".into(),
            subnet: "10.1.0.0/24".parse().unwrap(),
            address: "10.1.0.1".parse().unwrap(),
            range: range.map(|range| range.parse().unwrap()),
            gateway: Some("10.1.0.254".parse().unwrap()),
            dns: vec!["10.1.0.3".parse().unwrap(), "fd77::2".parse().unwrap()],
            domain: None,
            dhcp: Dhcp::Managed,
            mac_proof: MacProof::Link,
        }
    }

    fn texts(addresses: &[Ipv4Addr]) -> Vec<String> {
        addresses.iter().map(Ipv4Addr::to_string).collect()
    }

    #[test]
    fn discovery_and_services_stay_apart() {
        let pool = Pool::new(&network(Some("10.1.0.4-10.1.0.250")), None);
        let taken = HashSet::from([Ipv4Addr::new(10, 1, 0, 252)]);
        assert_eq!(texts(&pool.free(9, &taken)), ["10.1.0.2", "10.1.0.251", "10.1.0.253"]);
        assert_eq!(pool.describe(), "10.1.0.1-10.1.0.254 without 10.1.0.4-10.1.0.250 (discovery)");
        let range = "10.1.0.20-10.1.0.21".parse().unwrap();
        let pool = Pool::new(&network(None), Some(range));
        assert_eq!(texts(&pool.free(9, &HashSet::new())), ["10.1.0.20", "10.1.0.21"]);
        let elsewhere = Pool::new(&network(None), Some("10.2.0.1-10.2.0.9".parse().unwrap()));
        assert!(elsewhere.free(1, &HashSet::new()).is_empty());
        assert_eq!(elsewhere.describe(), "no host of 10.1.0.0/24");
    }

    #[test]
    fn the_end_of_all_addresses_is_an_end() {
        let network = Network { subnet: "255.255.255.0/24".parse().unwrap(), range: None, ..network(None) };
        assert_eq!(Pool::new(&network, None).free(999, &HashSet::new()).len(), 254);
    }

    /// Often near each other, so that ranges begin and end at the same place.
    fn host() -> impl Strategy<Value = u8> {
        prop_oneof![1u8..255, 1u8..6]
    }

    proptest! {
        #[test]
        fn addresses_are_unique_hosts_and_lowest(
            taken in prop::collection::hash_set(0u8..=255, 0..200),
            (a, b) in (host(), host()),
            (c, d) in (host(), host()),
            count in 0usize..300,
        ) {
            let ip = |host: u8| Ipv4Addr::new(10, 1, 0, host);
            let discovery = format!("{}-{}", ip(a.min(b)), ip(a.max(b)));
            let within = Range { first: ip(c.min(d)), last: ip(c.max(d)) };
            let network = network(Some(&discovery));
            let taken: HashSet<Ipv4Addr> = taken.into_iter().map(ip).collect();
            let found = Pool::new(&network, Some(within)).free(count, &taken);
            let expected: Vec<Ipv4Addr> = (c.min(d)..=c.max(d))
                .filter(|host| !(a.min(b)..=a.max(b)).contains(host) && ![1, 3, 254].contains(host))
                .map(ip)
                .filter(|ip| !taken.contains(ip))
                .take(count)
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
