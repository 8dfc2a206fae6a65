//! dnsmasq's configuration and host file (dnsmasq(8), 2.85 and newer). Pure text.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::http::UEFI_LOADER;
use crate::script;
use crate::store::inventory::{Dhcp, Network};
use crate::store::nodes::Node;

/// iPXE for BIOS.
pub const BIOS_LOADER: &str = "undionly.kpxe";

/// A managed network, and the IPv6 prefixes that its interface has.
#[derive(Clone, Debug)]
pub struct Managed {
    /// The network.
    pub network: Network,
    /// As `fd77::`; of an address that is not link-local.
    pub prefixes: Vec<String>,
}

impl Managed {
    /// The managed ones of these networks.
    pub fn all(networks: &[Network]) -> Vec<Self> {
        // Absent where the kernel has no IPv6.
        let if_inet6 = fs::read_to_string("/proc/self/net/if_inet6").unwrap_or_default();
        let managed = networks.iter().filter(|network| network.dhcp == Dhcp::Managed);
        managed
            .map(|network| Self {
                network: network.clone(),
                // A relay's routers announce themselves.
                prefixes: match network.is_relayed() {
                    true => Vec::new(),
                    false => prefixes(&if_inet6, &network.interface),
                },
            })
            .collect()
    }
}

/// The files that the configuration names.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// Root of TFTP.
    pub tftp: &'a Path,
    /// Reservations; read again on SIGHUP.
    pub hosts: &'a Path,
    /// Leases; dnsmasq's own.
    pub leases: &'a Path,
    /// The user and group to run as. One that is not `serve`'s own would not end with it: the kernel forgets the
    /// parent-death signal of a process that changes its credentials (prctl(2)).
    pub user: &'a str,
}

/// What is the same for every network. Why each of them:
/// `port=0`: no DNS. `no-ping`: half a second per lease saved; `dhcp-authoritative`: a node that shows a lease of
/// another server gets an answer at once. Option 175.176: iPXE is told not to wait 3 s for a proxy's offer.
const COMMON: &str = "\
port=0
bind-dynamic
no-ping
dhcp-authoritative
enable-tftp
dhcp-match=set:ipxe,175
dhcp-userclass=set:ipxe,iPXE
dhcp-match=set:efi,option:client-arch,7
dhcp-match=set:efi,option:client-arch,9
dhcp-match=set:http,option:client-arch,16
dhcp-option-force=tag:ipxe,encap:175,176,1b
dhcp-option-force=tag:http,tag:!ipxe,60,HTTPClient
";

/// The configuration for all managed networks.
pub fn dnsmasq(networks: &[Managed], files: Files<'_>, http_port: u16) -> String {
    let mut out = format!("# Written by headnode serve; changes are lost.\n{COMMON}");
    let Files { tftp, hosts, leases, user } = files;
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "user={user}\ngroup={user}\ntftp-root={}\ndhcp-hostsfile={}\ndhcp-leasefile={}",
        tftp.display(),
        hosts.display(),
        leases.display()
    );
    if networks.iter().any(|managed| !managed.prefixes.is_empty()) {
        out.push_str("enable-ra\nquiet-ra\n");
    }
    for (index, managed) in networks.iter().enumerate() {
        network(&mut out, index, managed, http_port);
    }
    out
}

fn network(out: &mut String, index: usize, managed: &Managed, http_port: u16) {
    let Managed { network, prefixes } = managed;
    let http = format!("http://{}:{http_port}", network.address);
    let (tag, mask) = (format!("net{index}"), network.subnet.mask());
    let range = match network.range {
        Some(range) => format!("{},{},{mask},1h", range.first, range.last),
        None => format!("{},static,{mask},1h", network.subnet.base()),
    };
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!("\n# {}\ninterface={}", network.name, network.interface));
    line(format!("dhcp-range=set:{tag},{range}"));
    // Without a value the option is left out; by default dnsmasq names itself.
    let gateway = network.gateway.map_or_else(String::new, |gateway| format!(",{gateway}"));
    line(format!("dhcp-option=tag:{tag},option:router{gateway}"));
    let dns: String = network.dns.iter().filter(|ip| ip.is_ipv4()).map(|ip| format!(",{ip}")).collect();
    line(format!("dhcp-option=tag:{tag},option:dns-server{dns}"));
    if let Some(domain) = &network.domain {
        line(format!("dhcp-option=tag:{tag},option:domain-name,{domain}"));
    }
    line(format!("dhcp-boot=tag:{tag},tag:ipxe,{http}{}{}", script::PATH, script::QUERY));
    line(format!("dhcp-boot=tag:{tag},tag:!ipxe,tag:http,{http}/boot/loader/{UEFI_LOADER}"));
    line(format!("dhcp-boot=tag:{tag},tag:!ipxe,tag:efi,{UEFI_LOADER}"));
    line(format!("dhcp-boot=tag:{tag},tag:!ipxe,tag:!efi,tag:!http,{BIOS_LOADER}"));
    if !prefixes.is_empty() {
        // Every minute, with a router's lifetime of 0: announced, but nobody's way out.
        line(format!("ra-param={},60,0", network.interface));
    }
    for prefix in prefixes {
        line(format!("dhcp-range={prefix},ra-only"));
    }
}

/// The host file: known nodes, their addresses and names.
pub fn hosts(nodes: &[Node]) -> String {
    let line = |node: &Node| {
        let address = node.address.map_or_else(String::new, |address| format!("{address},"));
        let name = node.name.split('.').next().unwrap_or_default();
        format!("{},{address}{name}\n", node.mac)
    };
    nodes.iter().map(line).collect()
}

/// The prefixes of an interface in `/proc/net/if_inet6` (proc(5): address, index, prefix length, scope, flags, name),
/// of its addresses that are not link-local and have a /64.
pub fn prefixes(if_inet6: &str, interface: &str) -> Vec<String> {
    let mut found: Vec<String> = if_inet6
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [address, _index, "40", _scope, _flags, name] = words[..] else { return None };
            let bits = u128::from_str_radix(address, 16).ok()?;
            let link_local = bits >> 118 == 0xfe80 >> 6;
            let prefix = std::net::Ipv6Addr::from(bits >> 64 << 64);
            (name == interface && !link_local).then(|| prefix.to_string())
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::store::inventory::MacProof;

    fn networks() -> Vec<Managed> {
        let network = Network {
            name: "prov".into(),
            interface: "br0".into(),
            subnet: "10.1.0.0/24".parse().unwrap(),
            address: "10.1.0.1".parse().unwrap(),
            range: Some("10.1.0.100-10.1.0.200".parse().unwrap()),
            gateway: Some("10.1.0.254".parse().unwrap()),
            dns: vec!["10.1.0.2".parse().unwrap(), "fd77::2".parse().unwrap(), "10.1.0.3".parse().unwrap()],
            domain: Some("cluster.example".into()),
            dhcp: Dhcp::Managed,
            mac_proof: MacProof::Link,
        };
        let bare = Network {
            name: "other".into(),
            interface: "br1".into(),
            subnet: "10.2.0.0/16".parse().unwrap(),
            address: "10.2.0.1".parse().unwrap(),
            range: None,
            gateway: None,
            dns: Vec::new(),
            domain: None,
            ..network.clone()
        };
        vec![
            Managed { network, prefixes: vec!["fd77::".into()] },
            Managed { network: bare, prefixes: Vec::new() },
        ]
    }

    #[test]
    fn golden_and_dnsmasq_takes_it() {
        let files = Files {
            tftp: Path::new("/data/run/tftp"),
            hosts: Path::new("/data/run/hosts"),
            leases: Path::new("/data/run/leases"),
            user: "root",
        };
        let text = dnsmasq(&networks(), files, 8080);
        insta::assert_snapshot!(text);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dnsmasq.conf");
        std::fs::write(&path, text).unwrap();
        let test = Command::new("dnsmasq").arg("--test").arg("-C").arg(&path).output().unwrap();
        assert!(test.status.success(), "{}", String::from_utf8_lossy(&test.stderr));
    }

    #[test]
    fn prefixes_of_an_interface() {
        let table = "fe800000000000000000000000000001 02 40 20 80 br0\n\
            fd770000000000000000000000000001 02 40 00 80 br0\n\
            fd770000000000000000000000000002 02 40 00 80 br0\n\
            fd780000000000000000000000000001 03 40 00 80 br1\n\
            fd790000000000000000000000000001 02 80 00 80 br0\n";
        assert_eq!(prefixes(table, "br0"), ["fd77::"]);
        assert!(prefixes(table, "br2").is_empty());
    }
}
