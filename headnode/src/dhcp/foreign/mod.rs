//! What DHCP servers of the site's own must say to machines that boot: by firmware the right iPXE, and to iPXE the boot
//! script's URL. Pure text, one template a server.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use minijinja::{Environment, UndefinedBehavior, context};

use super::config::BIOS_LOADER;
use crate::http::UEFI_LOADER;
use crate::script;
use crate::store::inventory::Network;

/// A DHCP server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Server {
    /// ISC dhcpd: dhcpd.conf(5).
    Dhcpd,
    /// Kea: its JSON.
    Kea,
    /// A dnsmasq that is not ours: dnsmasq(8).
    Dnsmasq,
}

impl Server {
    fn template(self) -> &'static str {
        match self {
            Self::Dhcpd => include_str!("dhcpd.j2"),
            Self::Kea => include_str!("kea.j2"),
            Self::Dnsmasq => include_str!("dnsmasq.j2"),
        }
    }
}

/// A server's configuration for a network. `tftp` has iPXE's files.
///
/// # Errors
/// When the template is wrong.
pub fn snippet(server: Server, network: &Network, http_port: u16, tftp: Ipv4Addr) -> Result<String> {
    let v4 = |ip: &IpAddr| ip.is_ipv4().then(|| ip.to_string());
    let dns: Vec<String> = network.dns.iter().filter_map(v4).collect();
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_keep_trailing_newline(true);
    let values = context! {
        name => network.name,
        subnet => network.subnet.to_string(),
        base => network.subnet.base().to_string(),
        mask => network.subnet.mask().to_string(),
        first => network.range.map(|range| range.first.to_string()),
        last => network.range.map(|range| range.last.to_string()),
        gateway => network.gateway.map(|gateway| gateway.to_string()),
        dns => dns.join(", "),
        domain => network.domain,
        script => script::url(network, http_port),
        loader => format!("http://{}:{http_port}/boot/loader/{UEFI_LOADER}", network.address),
        bios => BIOS_LOADER,
        uefi => UEFI_LOADER,
        tftp => tftp.to_string(),
    };
    environment
        .render_str(server.template(), values)
        .context("filling the template of the server's configuration")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::store::inventory::{Dhcp, MacProof};

    fn networks() -> [Network; 2] {
        let whole = Network {
            name: "prov".into(),
            interface: "eth1".into(),
            subnet: "10.1.0.0/24".parse().unwrap(),
            address: "10.1.0.1".parse().unwrap(),
            range: Some("10.1.0.100-10.1.0.200".parse().unwrap()),
            gateway: Some("10.1.0.254".parse().unwrap()),
            dns: vec!["10.1.0.2".parse().unwrap(), "fd77::2".parse().unwrap(), "10.1.0.3".parse().unwrap()],
            domain: Some("cluster.example".into()),
            dhcp: Dhcp::External,
            mac_proof: MacProof::Link,
        };
        let bare = Network { range: None, gateway: None, dns: Vec::new(), domain: None, ..whole.clone() };
        [whole, bare]
    }

    /// The real server reads it; a broken one it refuses.
    fn is_taken(server: Server, program: &str, args: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.conf");
        let run = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Command::new(program).args(args).arg(&path).output().unwrap()
        };
        for network in networks() {
            let text = snippet(server, &network, 8080, [10, 1, 0, 9].into()).unwrap();
            for word in
                ["undionly.kpxe", "snponly.efi", "10.1.0.9", &script::url(&network, 8080), "HTTPClient"]
            {
                assert!(text.contains(word), "{word} in {text}");
            }
            let taken = run(&text);
            assert!(taken.status.success(), "{text}{}", String::from_utf8_lossy(&taken.stderr));
            assert!(!run(&text.replace("10.1.0.", "10.1.x.")).status.success(), "{server:?} reads it");
        }
    }

    #[test]
    fn dhcpd_takes_its_snippet() {
        is_taken(Server::Dhcpd, "/usr/sbin/dhcpd", &["-t", "-4", "-cf"]);
    }

    #[test]
    fn kea_takes_its_snippet() {
        is_taken(Server::Kea, "/usr/sbin/kea-dhcp4", &["-t"]);
    }

    #[test]
    fn dnsmasq_takes_its_snippet() {
        is_taken(Server::Dnsmasq, "/usr/sbin/dnsmasq", &["--test", "-C"]);
    }
}
