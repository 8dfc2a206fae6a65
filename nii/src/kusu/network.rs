//! Kusu's interfaces and name servers in camphor's words.

use std::net::{IpAddr, Ipv4Addr};

use super::{Around, NicInfo, NodeInfo};
use crate::finding::Finding;
use crate::v1::{Family4, Interface, InterfaceMatch, Network, Static4};

pub(super) fn network(info: &NodeInfo, around: &Around, out: &mut Vec<Finding>) -> Network {
    let mut interfaces: Vec<Interface> = Vec::new();
    for (i, nic) in info.nics.iter().enumerate() {
        // The board's management controller has its own way to its address.
        if nic.device == "bmc" {
            continue;
        }
        let path = format!("nodeinfo.nicinfo[{i}]");
        let select = select(nic);
        if is_there(&select, around) {
            interfaces.push(Interface { select, ..interface(nic, &path, out) });
        } else {
            let message = format!("this machine has no interface {}: it is left out", nic.device);
            out.push(Finding::warning(path, message));
        }
    }
    gateway(&info.nics, &mut interfaces, out);
    let hostname = info.name.split('.').next().unwrap_or_default().to_owned();
    let domain = info.setting("DNSZone").map(|zone| zone.trim_end_matches('.').to_owned());
    Network { hostname, domain, dns: dns(info, out), search: Vec::new(), interfaces }
}

fn select(nic: &NicInfo) -> InterfaceMatch {
    let mac = nic.mac.trim().to_lowercase().replace('-', ":");
    match mac.as_str() {
        "" | "none" | "null" => InterfaceMatch::Name(nic.device.trim().to_owned()),
        _ => InterfaceMatch::Mac(mac),
    }
}

fn is_there(select: &InterfaceMatch, around: &Around) -> bool {
    let fits = |(name, mac): &(String, String)| match select {
        InterfaceMatch::Mac(wanted) => wanted == mac,
        InterfaceMatch::Name(wanted) => wanted == name,
    };
    around.nics.is_empty() || around.nics.iter().any(fits)
}

fn interface(nic: &NicInfo, path: &str, out: &mut Vec<Finding>) -> Interface {
    let ipv4 = if nic.dhcp.trim() == "1" {
        Some(Family4::Dhcp)
    } else if nic.ip.trim().is_empty() {
        None
    } else {
        static4(nic, path, out)
    };
    Interface { select: select(nic), ipv4, ipv6: None, mtu: None, bond: None, vlan: None }
}

fn static4(nic: &NicInfo, path: &str, out: &mut Vec<Finding>) -> Option<Family4> {
    let address: Option<Ipv4Addr> = nic.ip.trim().parse().ok();
    let prefix = nic.subnet.trim().parse().ok().and_then(prefix);
    if address.is_none() {
        out.push(Finding::error(format!("{path}.ip"), format!("`{}` is no IPv4 address", nic.ip)));
    }
    if prefix.is_none() {
        out.push(Finding::error(format!("{path}.subnet"), format!("`{}` is no netmask", nic.subnet)));
    }
    let (address, prefix) = address.zip(prefix)?;
    Some(Family4::Static(Static4 { address, prefix, gateway: None, routes: Vec::new() }))
}

/// 255.255.0.0 is 16.
fn prefix(mask: Ipv4Addr) -> Option<u8> {
    let mask = u32::from(mask);
    (mask.leading_ones() + mask.trailing_zeros() >= 32)
        .then(|| u8::try_from(mask.leading_ones()).ok())
        .flatten()
}

/// Kusu gives the last router of the list to the whole node; it goes to the interface that reaches it.
fn gateway(nics: &[NicInfo], interfaces: &mut [Interface], out: &mut Vec<Finding>) {
    let mut routers = nics
        .iter()
        .enumerate()
        .filter_map(|(i, nic)| Some((i, nic.gateway.trim().parse::<Ipv4Addr>().ok()?)));
    let Some((i, router)) = routers.rfind(|(_, router)| !router.is_unspecified()) else { return };
    let has_dhcp = interfaces.iter().any(|interface| interface.ipv4 == Some(Family4::Dhcp));
    let mut statics = interfaces.iter_mut().filter_map(|interface| match &mut interface.ipv4 {
        Some(Family4::Static(ip)) => Some(ip),
        _ => None,
    });
    let reaches = |ip: &&mut Static4| {
        let mask = u32::MAX.checked_shl(32 - u32::from(ip.prefix)).unwrap_or(0);
        (u32::from(ip.address) ^ u32::from(router)) & mask == 0
    };
    match statics.find(reaches) {
        Some(ip) => ip.gateway = Some(router),
        None if has_dhcp => {}
        None => {
            let message =
                format!("no interface of the node reaches the router {router}: there is no default route");
            out.push(Finding::warning(format!("nodeinfo.nicinfo[{i}].gateway"), message));
        }
    }
}

fn dns(info: &NodeInfo, out: &mut Vec<Finding>) -> Vec<IpAddr> {
    let settings: Vec<(&str, &str)> = match info.setting("InstallerServeDNS") {
        Some("1") => vec![("installers", installer(info))],
        _ => ["dns1", "dns2", "dns3"]
            .into_iter()
            .filter_map(|name| Some((name, info.setting(name)?)))
            .collect(),
    };
    let mut servers = Vec::new();
    for (name, value) in settings {
        match value.parse() {
            Ok(server) => servers.push(server),
            Err(_) => {
                let message = format!("`{value}` is no address of a name server: it is left out");
                out.push(Finding::warning(format!("nodeinfo.appglobals.{name}"), message));
            }
        }
    }
    servers
}

/// The first of them; Kusu writes one, and the field's name promises more.
pub(super) fn installer(info: &NodeInfo) -> &str {
    info.installers.split(',').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netmasks() {
        let of = |text: &str| prefix(text.parse().unwrap());
        assert_eq!(of("255.255.0.0"), Some(16));
        assert_eq!(of("255.255.255.255"), Some(32));
        assert_eq!(of("0.0.0.0"), Some(0));
        assert_eq!(of("255.0.255.0"), None);
    }
}
