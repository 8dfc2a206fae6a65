//! systemd-networkd: systemd.network(5).

use nii::v1::{Family4, Family6};

use super::{Context, remove, search};
use crate::configure::{file, run};
use crate::network::Found;
use crate::op::Op;

pub(super) fn ops(context: &Context<'_>) -> Vec<Op> {
    let one = |found: &Found<'_>| {
        let path = format!("etc/systemd/network/10-camphor-{}.network", found.label());
        file(&path, network(context, found), format!("systemd-networkd sets up {}", found.nic.mac))
    };
    let mut ops = vec![remove("etc/systemd/network/*.network")];
    ops.extend(context.nics.iter().map(one));
    ops.push(run(&["systemctl", "enable", "systemd-networkd.service"], "nothing else sets up the network"));
    ops
}

fn network(context: &Context<'_>, found: &Found<'_>) -> String {
    let wanted = found.wanted;
    // A VLAN or bridge over the interface has the same address, and another type.
    let mut text = format!("[Match]\nMACAddress={}\nType=ether\n\n", found.nic.mac);
    if let Some(mtu) = wanted.mtu {
        text.push_str(&format!("[Link]\nMTUBytes={mtu}\n\n"));
    }
    let dhcp = wanted.ipv4 == Some(Family4::Dhcp);
    let yes_no = |yes| if yes { "yes" } else { "no" };
    text.push_str(&format!(
        "[Network]\nDHCP={}\nIPv6AcceptRA={}\nLinkLocalAddressing={}\n",
        if dhcp { "ipv4" } else { "no" },
        yes_no(wanted.ipv6 == Some(Family6::Slaac)),
        if wanted.ipv6.is_some() { "ipv6" } else { "no" },
    ));
    let mut routes = String::new();
    if let Some(Family4::Static(ip)) = &wanted.ipv4 {
        text.push_str(&format!("Address={}/{}\n", ip.address, ip.prefix));
        text.extend(ip.gateway.map(|gateway| format!("Gateway={gateway}\n")));
        routes.extend(ip.routes.iter().map(|r| route(&r.to, r.prefix, &r.via)));
    }
    if let Some(Family6::Static(ip)) = &wanted.ipv6 {
        text.push_str(&format!("Address={}/{}\n", ip.address, ip.prefix));
        text.extend(ip.gateway.map(|gateway| format!("Gateway={gateway}\n")));
        routes.extend(ip.routes.iter().map(|r| route(&r.to, r.prefix, &r.via)));
    }
    let dns = &context.inputs.nii.network.dns;
    text.extend(dns.iter().map(|server| format!("DNS={server}\n")));
    let search = search(context);
    if !search.is_empty() {
        text.push_str(&format!("Domains={}\n", search.join(" ")));
    }
    text.push_str(&routes);
    if dhcp {
        // By MAC, as firmware and initrd asked: the same client gets the same address.
        text.push_str("\n[DHCPv4]\nClientIdentifier=mac\n");
        if !dns.is_empty() {
            text.push_str("UseDNS=no\n");
        }
    }
    if wanted.ipv6 == Some(Family6::Slaac) && !dns.is_empty() {
        text.push_str("\n[IPv6AcceptRA]\nUseDNS=no\n");
    }
    text
}

fn route(to: &dyn std::fmt::Display, prefix: u8, via: &dyn std::fmt::Display) -> String {
    format!("\n[Route]\nDestination={to}/{prefix}\nGateway={via}\n")
}
