//! Debian's ifupdown: interfaces(5).
//!
//! It knows interfaces by name only, so systemd.link(5) files give them names first; outside of the kernel's own
//! `eth0…`, into which udev cannot rename.

use nii::v1::{Family4, Family6};

use super::{Context, remove, search};
use crate::configure::file;
use crate::network::Found;
use crate::op::Op;

/// The files that [`LOOPBACK`] includes.
const INCLUDED: &str = "etc/network/interfaces.d/*";
const LOOPBACK: &str = "# Written by camphor from the node's NII.\nsource /etc/network/interfaces.d/*\n\n\
                        auto lo\niface lo inet loopback\n";

pub(super) fn ops(context: &Context<'_>) -> Vec<Op> {
    let link = |found: &Found<'_>| {
        let path = format!("etc/systemd/network/10-camphor-{}.link", found.label());
        file(&path, link(found), format!("ifupdown needs a name for {}", found.nic.mac))
    };
    let mut ops = vec![remove(INCLUDED)];
    ops.extend(context.nics.iter().map(link));
    let mut text = LOOPBACK.to_owned();
    text.extend(context.nics.iter().map(|found| stanzas(context, found)));
    ops.push(file("etc/network/interfaces", text, "ifupdown sets up the network"));
    ops
}

/// ifupdown beside something else that sets up the network.
pub(super) fn idle() -> Vec<Op> {
    let reason = "something else sets up the network, and ifupdown must not, too";
    vec![remove(INCLUDED), file("etc/network/interfaces", LOOPBACK, reason)]
}

fn link(found: &Found<'_>) -> String {
    let mut text =
        format!("[Match]\nMACAddress={}\nType=ether\n\n[Link]\nName={}\n", found.nic.mac, found.label());
    text.extend(found.wanted.mtu.map(|mtu| format!("MTUBytes={mtu}\n")));
    text
}

fn stanzas(context: &Context<'_>, found: &Found<'_>) -> String {
    let name = found.label();
    let mut text = format!("\nauto {name}\n");
    match &found.wanted.ipv4 {
        Some(Family4::Dhcp) => text.push_str(&format!("iface {name} inet dhcp\n")),
        Some(Family4::Static(ip)) => {
            text.push_str(&format!("iface {name} inet static\n    address {}/{}\n", ip.address, ip.prefix));
            text.extend(ip.gateway.map(|gateway| format!("    gateway {gateway}\n")));
            let routes = ip.routes.iter();
            text.extend(
                routes
                    .map(|r| format!("    up ip route add {}/{} via {} dev {name}\n", r.to, r.prefix, r.via)),
            );
        }
        None => text.push_str(&format!("iface {name} inet manual\n")),
    }
    text.push_str(&names(context));
    match &found.wanted.ipv6 {
        Some(Family6::Slaac) => text.push_str(&format!("iface {name} inet6 auto\n")),
        Some(Family6::Static(ip)) => {
            text.push_str(&format!("iface {name} inet6 static\n    address {}/{}\n", ip.address, ip.prefix));
            text.extend(ip.gateway.map(|gateway| format!("    gateway {gateway}\n")));
            let routes = ip.routes.iter();
            let line = |r: &nii::v1::Route6| {
                format!("    up ip -6 route add {}/{} via {} dev {name}\n", r.to, r.prefix, r.via)
            };
            text.extend(routes.map(line));
        }
        None => {}
    }
    text
}

/// For resolvconf(8); without it nobody reads these lines.
fn names(context: &Context<'_>) -> String {
    let dns: Vec<String> = context.inputs.nii.network.dns.iter().map(ToString::to_string).collect();
    let search = search(context);
    let mut text = String::new();
    if !dns.is_empty() {
        text.push_str(&format!("    dns-nameservers {}\n", dns.join(" ")));
    }
    if !search.is_empty() {
        text.push_str(&format!("    dns-search {}\n", search.join(" ")));
    }
    text
}
