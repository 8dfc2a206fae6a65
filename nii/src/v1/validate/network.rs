//! `network`.

use std::collections::BTreeSet;

use super::Out;
use super::words::{is_host_label, is_interface_name, is_mac, is_made_of, is_word};
use crate::Finding;
use crate::v1::{Bond, Family4, Family6, Interface, InterfaceMatch, Network, Nii, Static4, Static6, Vlan};

pub(super) fn network(nii: &Nii, out: Out<'_>) {
    let network = &nii.network;
    if !is_host_label(&network.hostname) {
        let message = "must be one label: letters, digits and `-`, at most 63; the domain has its own field";
        out.push(Finding::error("network.hostname", message));
    }
    for (i, domain) in network.domain.iter().chain(&network.search).enumerate() {
        if !domain.split('.').all(is_host_label) {
            let path = match (&network.domain, i) {
                (Some(_), 0) => "network.domain".into(),
                (domain, i) => format!("network.search[{}]", i - usize::from(domain.is_some())),
            };
            out.push(Finding::error(path, format!("`{}` is no domain name", domain)));
        }
    }
    let mut seen = BTreeSet::new();
    for (i, interface) in network.interfaces.iter().enumerate() {
        let path = format!("network.interfaces[{i}]");
        if !seen.insert(key(&interface.select)) {
            out.push(Finding::error(format!("{path}.match"), "another interface has the same match"));
        }
        one_interface(interface, &path, out);
    }
    members(network, out);
}

fn one_interface(interface: &Interface, path: &str, out: Out<'_>) {
    select(&interface.select, &format!("{path}.match"), out);
    if interface.mtu.is_some_and(|mtu| !(576..=65535).contains(&mtu)) {
        out.push(Finding::error(format!("{path}.mtu"), "must be 576 to 65535 bytes"));
    }
    if let Some(Family4::Static(ip)) = &interface.ipv4 {
        static4(ip, &format!("{path}.ipv4.static"), out);
    }
    if let Some(Family6::Static(ip)) = &interface.ipv6 {
        static6(ip, &format!("{path}.ipv6.static"), out);
    }
    if interface.ipv4.is_none() && interface.ipv6.is_none() {
        out.push(Finding::warning(path, "has neither IPv4 nor IPv6: it will only be brought up"));
    }
    if interface.bond.is_some() && interface.vlan.is_some() {
        let message = "is a bond as well: make the VLAN an interface of its own, with the bond as its parent";
        out.push(Finding::error(format!("{path}.vlan"), message));
    }
    let made = interface.bond.is_some() || interface.vlan.is_some();
    if made && !matches!(interface.select, InterfaceMatch::Name(_)) {
        let message = "must be the name that the bond or VLAN is made under: it has no MAC address before";
        out.push(Finding::error(format!("{path}.match"), message));
    }
    if let Some(bond) = &interface.bond {
        one_bond(bond, &format!("{path}.bond"), out);
    }
    if let Some(vlan) = &interface.vlan {
        one_vlan(vlan, &interface.select, &format!("{path}.vlan"), out);
    }
}

fn select(select: &InterfaceMatch, path: &str, out: Out<'_>) {
    match select {
        InterfaceMatch::Mac(mac) if !is_mac(mac) => {
            let message = format!("`{}` is no MAC address in lower case with colons", mac);
            out.push(Finding::error(format!("{path}.mac"), message));
        }
        InterfaceMatch::Name(name) if !is_interface_name(name) => {
            let message = format!("`{}` is no interface name", name);
            out.push(Finding::error(format!("{path}.name"), message));
        }
        _ => {}
    }
}

fn one_bond(bond: &Bond, path: &str, out: Out<'_>) {
    if bond.members.is_empty() {
        out.push(Finding::error(format!("{path}.members"), "is empty: a bond needs at least one"));
    }
    for (i, member) in bond.members.iter().enumerate() {
        select(member, &format!("{path}.members[{i}]"), out);
    }
    for (key, value) in &bond.options {
        let path = format!("{path}.options.{key}");
        if key == "mode" {
            out.push(Finding::error(path, "has its own field, `mode`"));
        } else if !is_made_of(key, "_") || !is_word(value) || value.contains([',', ';', '=']) {
            let message =
                "must be an option by the kernel's name, with a value without blanks, `,`, `;` and `=`";
            out.push(Finding::error(path, message));
        }
    }
}

fn one_vlan(vlan: &Vlan, own: &InterfaceMatch, path: &str, out: Out<'_>) {
    if !(1..=4094).contains(&vlan.id) {
        out.push(Finding::error(format!("{path}.id"), "must be 1 to 4094"));
    }
    select(&vlan.parent, &format!("{path}.parent"), out);
    if vlan.parent == *own {
        out.push(Finding::error(format!("{path}.parent"), "is the VLAN itself"));
    }
}

/// A member belongs to one bond, and is no interface of its own.
fn members(network: &Network, out: Out<'_>) {
    let mut taken = BTreeSet::new();
    for (i, interface) in network.interfaces.iter().enumerate() {
        for (j, member) in interface.bond.iter().flat_map(|bond| bond.members.iter().enumerate()) {
            let path = format!("network.interfaces[{i}].bond.members[{j}]");
            if !taken.insert(key(member)) {
                out.push(Finding::error(&path, "is a member already"));
            }
            if network.interfaces.iter().any(|interface| interface.select == *member) {
                let message = "is an interface of its own: a member has no addresses, leave it out there";
                out.push(Finding::error(path, message));
            }
        }
    }
}

fn key(select: &InterfaceMatch) -> (bool, &str) {
    match select {
        InterfaceMatch::Mac(mac) => (true, mac),
        InterfaceMatch::Name(name) => (false, name),
    }
}

fn static4(ip: &Static4, path: &str, out: Out<'_>) {
    if ip.prefix > 32 {
        out.push(Finding::error(format!("{path}.prefix"), "must be 0 to 32"));
    } else if let Some(gateway) = ip.gateway {
        let mask = u32::MAX.checked_shl(32 - u32::from(ip.prefix)).unwrap_or(0);
        if (u32::from(gateway) ^ u32::from(ip.address)) & mask != 0 {
            let message = format!("{gateway} is not in {}/{}", ip.address, ip.prefix);
            out.push(Finding::error(format!("{path}.gateway"), message));
        }
    }
    for (i, route) in ip.routes.iter().enumerate() {
        if route.prefix > 32 {
            out.push(Finding::error(format!("{path}.routes[{i}].prefix"), "must be 0 to 32"));
        }
    }
}

fn static6(ip: &Static6, path: &str, out: Out<'_>) {
    if ip.prefix > 128 {
        out.push(Finding::error(format!("{path}.prefix"), "must be 0 to 128"));
    }
    for (i, route) in ip.routes.iter().enumerate() {
        if route.prefix > 128 {
            out.push(Finding::error(format!("{path}.routes[{i}].prefix"), "must be 0 to 128"));
        }
    }
}
