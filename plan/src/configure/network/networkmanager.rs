//! NetworkManager keyfiles: nm-settings-keyfile(5). Also read by the NetworkManager of EL 7 and 8 beside ifcfg files.

use nii::v1::{Family4, Family6};

use super::{Context, remove, search, servers};
use crate::configure::file_with_mode;
use crate::ids::{self, Kind};
use crate::network::Found;
use crate::op::{Content, Op};
use crate::os::is_at_least;

const DIRECTORY: &str = "etc/NetworkManager/system-connections";
/// NetworkManager 1.20 and newer: it knows `method=disabled` for IPv6, which is an error to older ones.
const DISABLES_IPV6: &[(&str, u32)] = &[("debian", 11), ("ubuntu", 20), ("rhel", 8), ("fedora", 31)];

pub(super) fn ops(context: &Context<'_>) -> Vec<Op> {
    let one = |found: &Found<'_>| {
        let path = format!("{DIRECTORY}/camphor-{}.nmconnection", found.label());
        // It ignores files that others could read.
        let content = Content::Text(keyfile(context, found));
        file_with_mode(&path, content, 0o600, format!("NetworkManager sets up {}", found.nic.mac))
    };
    [remove(&format!("{DIRECTORY}/*"))].into_iter().chain(context.nics.iter().map(one)).collect()
}

fn keyfile(context: &Context<'_>, found: &Found<'_>) -> String {
    let id = found.label();
    let uuid = ids::of(context.inputs.arming, Kind::Connection, &id);
    let mut text = format!(
        "[connection]\nid=camphor-{id}\nuuid={uuid}\ntype=ethernet\nautoconnect-priority=100\n\n\
         [ethernet]\nmac-address={}\n",
        found.nic.mac.to_uppercase()
    );
    if let Some(mtu) = found.wanted.mtu {
        text.push_str(&format!("mtu={mtu}\n"));
    }
    text.push_str("\n[ipv4]\n");
    match &found.wanted.ipv4 {
        None => text.push_str("method=disabled\n"),
        Some(Family4::Dhcp) => {
            text.push_str("method=auto\n");
            text.push_str(&names(context, true, true));
        }
        Some(Family4::Static(ip)) => {
            text.push_str(&format!("method=manual\naddress1={}/{}\n", ip.address, ip.prefix));
            text.extend(ip.gateway.map(|gateway| format!("gateway={gateway}\n")));
            let routes = ip.routes.iter().enumerate();
            text.extend(routes.map(|(i, r)| format!("route{}={}/{},{}\n", i + 1, r.to, r.prefix, r.via)));
            text.push_str(&names(context, true, false));
        }
    }
    text.push_str("\n[ipv6]\n");
    match &found.wanted.ipv6 {
        None if is_at_least(&context.inputs.manifest.os, DISABLES_IPV6) => text.push_str("method=disabled\n"),
        None => text.push_str("method=ignore\n"),
        Some(Family6::Slaac) => {
            text.push_str("method=auto\n");
            text.push_str(&names(context, false, true));
        }
        Some(Family6::Static(ip)) => {
            text.push_str(&format!("method=manual\naddress1={}/{}\n", ip.address, ip.prefix));
            text.extend(ip.gateway.map(|gateway| format!("gateway={gateway}\n")));
            let routes = ip.routes.iter().enumerate();
            text.extend(routes.map(|(i, r)| format!("route{}={}/{},{}\n", i + 1, r.to, r.prefix, r.via)));
            text.push_str(&names(context, false, false));
        }
    }
    text
}

/// Name servers and search domains; only in a family that is in use, or the connection is invalid. The NII's servers
/// take the place of those that the network offers.
fn names(context: &Context<'_>, v4: bool, automatic: bool) -> String {
    let mut text = String::new();
    let list = |items: &[String]| items.iter().map(|item| format!("{item};")).collect::<String>();
    let own = servers(context, v4);
    if !own.is_empty() {
        text.push_str(&format!("dns={}\n", list(&own)));
    }
    if automatic && !context.inputs.nii.network.dns.is_empty() {
        text.push_str("ignore-auto-dns=true\n");
    }
    let search = search(context);
    if !search.is_empty() {
        text.push_str(&format!("dns-search={}\n", list(&search)));
    }
    text
}
