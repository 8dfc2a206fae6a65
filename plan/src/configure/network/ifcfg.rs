//! Red Hat's network-scripts, for EL 7 and 8 roots without NetworkManager: `sysconfig.txt` of initscripts.

use nii::v1::{Family4, Family6};

use super::{Context, remove, search};
use crate::configure::file;
use crate::network::Found;
use crate::op::Op;

const DIRECTORY: &str = "etc/sysconfig/network-scripts";
/// As initscripts ships it.
const LOOPBACK: &str = "DEVICE=lo\nIPADDR=127.0.0.1\nNETMASK=255.0.0.0\nNETWORK=127.0.0.0\n\
                        BROADCAST=127.255.255.255\nONBOOT=yes\nNAME=loopback\n";

/// Removes all interfaces and their routes.
pub(super) fn clear() -> Vec<Op> {
    ["ifcfg-*", "route-*", "route6-*"].map(|files| remove(&format!("{DIRECTORY}/{files}"))).to_vec()
}

/// The one interface that is the same everywhere, which [`clear`] removed with the others.
pub(super) fn loopback() -> Op {
    file(&format!("{DIRECTORY}/ifcfg-lo"), LOOPBACK, "network-scripts set up the loopback interface by it")
}

pub(super) fn ops(context: &Context<'_>) -> Vec<Op> {
    let mut ops = Vec::new();
    for found in &context.nics {
        let (name, mac) = (found.label(), &found.nic.mac);
        let reason = format!("network-scripts set up {mac}");
        ops.push(file(&format!("{DIRECTORY}/ifcfg-{name}"), ifcfg(context, found), reason.clone()));
        let (mut v4, mut v6) = (String::new(), String::new());
        if let Some(Family4::Static(ip)) = &found.wanted.ipv4 {
            v4.extend(ip.routes.iter().map(|r| format!("{}/{} via {}\n", r.to, r.prefix, r.via)));
        }
        if let Some(Family6::Static(ip)) = &found.wanted.ipv6 {
            v6.extend(ip.routes.iter().map(|r| format!("{}/{} via {}\n", r.to, r.prefix, r.via)));
        }
        for (kind, text) in [("route", v4), ("route6", v6)] {
            if !text.is_empty() {
                ops.push(file(&format!("{DIRECTORY}/{kind}-{name}"), text, reason.clone()));
            }
        }
    }
    ops
}

fn ifcfg(context: &Context<'_>, found: &Found<'_>) -> String {
    let name = found.label();
    let mut text =
        format!("TYPE=Ethernet\nNAME={name}\nDEVICE={name}\nHWADDR={}\nONBOOT=yes\n", found.nic.mac);
    text.extend(found.wanted.mtu.map(|mtu| format!("MTU={mtu}\n")));
    match &found.wanted.ipv4 {
        None => text.push_str("BOOTPROTO=none\n"),
        Some(Family4::Dhcp) => text.push_str("BOOTPROTO=dhcp\n"),
        Some(Family4::Static(ip)) => {
            text.push_str(&format!("BOOTPROTO=none\nIPADDR={}\nPREFIX={}\n", ip.address, ip.prefix));
            text.extend(ip.gateway.map(|gateway| format!("GATEWAY={gateway}\n")));
        }
    }
    match &found.wanted.ipv6 {
        None => text.push_str("IPV6INIT=no\n"),
        Some(Family6::Slaac) => text.push_str("IPV6INIT=yes\nIPV6_AUTOCONF=yes\n"),
        Some(Family6::Static(ip)) => {
            let address = format!("IPV6ADDR={}/{}\n", ip.address, ip.prefix);
            text.push_str(&format!("IPV6INIT=yes\nIPV6_AUTOCONF=no\n{address}"));
            text.extend(ip.gateway.map(|gateway| format!("IPV6_DEFAULTGW={gateway}\n")));
        }
    }
    let dns = context.inputs.nii.network.dns.iter().enumerate();
    text.extend(dns.map(|(i, server)| format!("DNS{}={server}\n", i + 1)));
    let search = search(context);
    if !search.is_empty() {
        text.push_str(&format!("DOMAIN=\"{}\"\n", search.join(" ")));
    }
    text
}
