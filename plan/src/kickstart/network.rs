//! `network` commands: one an interface, and one with the host name.
//!
//! None activates anything: the installer stays on the connection that it was booted over, and what is written here
//! is for the installed system (pyanaconda/modules/network).

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use nii::Finding;
use nii::v1::{Bond, BondMode, Family4, Family6, Interface, InterfaceMatch, Network};

use super::release::Words;
use super::words::{Line, lines};
use crate::facts::Facts;

type Out<'a> = &'a mut Vec<Finding>;

/// The commands of all interfaces, and the host name.
pub(super) fn render(facts: &Facts, network: &Network, words: Words, out: Out<'_>) -> String {
    let site = Site { facts, network, words };
    let name = match &network.domain {
        Some(domain) => format!("{}.{domain}", network.hostname),
        None => network.hostname.clone(),
    };
    if name.len() > 64 {
        // pyanaconda/core/hostname.py and hostname(7).
        let message = format!("`{name}` is longer than the 64 characters that Linux and anaconda take");
        out.push(Finding::error("network.hostname", message));
    }
    // The host name first: anaconda's dracut brings up what the first command says, were there no `ip=` (parse-kickstart).
    let mut all = vec![Line::new("network").option("hostname", name)];
    let carried: BTreeSet<usize> = site.vlans_in_their_bond().map(|(bond, _)| bond).collect();
    for (index, interface) in network.interfaces.iter().enumerate() {
        if !carried.contains(&index) {
            let path = format!("network.interfaces[{index}]");
            all.extend(site.interface(index, interface, &path, out));
        }
    }
    lines(all)
}

struct Site<'a> {
    facts: &'a Facts,
    network: &'a Network,
    words: Words,
}

impl Site<'_> {
    /// Bonds without an address of their own and the one VLAN that is on them, by index. Both become one command:
    /// pykickstart takes two with the same device for a mistake.
    fn vlans_in_their_bond(&self) -> impl Iterator<Item = (usize, usize)> {
        let all = &self.network.interfaces;
        all.iter().enumerate().filter(|(_, bond)| bond.bond.is_some()).filter_map(|(index, bond)| {
            let on_it = |i: &&Interface| i.vlan.as_ref().is_some_and(|vlan| vlan.parent == bond.select);
            let mut vlans = all.iter().enumerate().filter(|(_, i)| on_it(i));
            let vlan = vlans.next()?.0;
            let bare = bond.ipv4.is_none() && bond.ipv6.is_none() && bond.mtu.is_none();
            (bare && vlans.next().is_none()).then_some((index, vlan))
        })
    }

    fn interface(&self, index: usize, interface: &Interface, path: &str, out: Out<'_>) -> Option<Line> {
        let mut line = match (&interface.bond, &interface.vlan, &interface.select) {
            (None, None, select) => self.plain(select, path, out)?,
            (_, _, InterfaceMatch::Mac(_)) => {
                let message = "what is made has no MAC address to be found by: give it a `name`";
                out.push(Finding::error(format!("{path}.match"), message));
                return None;
            }
            (Some(bond), _, InterfaceMatch::Name(name)) => {
                self.bond(Line::new("network").option("device", name), bond, path, out)?
            }
            (None, Some(vlan), InterfaceMatch::Name(name)) => {
                let own = self.vlans_in_their_bond().find(|(_, vlan)| *vlan == index);
                let line = match own.map(|(bond, _)| &self.network.interfaces[bond]) {
                    Some(Interface { bond: Some(bond), select: InterfaceMatch::Name(name), .. }) => {
                        self.bond(Line::new("network").option("device", name), bond, path, out)?
                    }
                    _ => {
                        let parent = self.name(&vlan.parent, &format!("{path}.vlan.parent"), out)?;
                        Line::new("network").option("device", parent)
                    }
                };
                line.option("vlanid", vlan.id).option("interfacename", name)
            }
        };
        line = self.families(line, interface, path, out);
        line = line.maybe("mtu", interface.mtu);
        Some(line.option("onboot", "yes").flag("no-activate"))
    }

    /// A NIC: by MAC address it stays bound to it, whatever its name becomes.
    fn plain(&self, select: &InterfaceMatch, path: &str, out: Out<'_>) -> Option<Line> {
        self.name(select, &format!("{path}.match"), out)?;
        Some(match select {
            InterfaceMatch::Mac(mac) => Line::new("network").option("device", mac).option("bindto", "mac"),
            InterfaceMatch::Name(name) => Line::new("network").option("device", name),
        })
    }

    /// Members are named by the kernel's names: anaconda knows no other way.
    fn bond(&self, line: Line, bond: &Bond, path: &str, out: Out<'_>) -> Option<Line> {
        let mut members = Vec::new();
        let mut by_mac = true;
        for (i, member) in bond.members.iter().enumerate() {
            members.push(self.name(member, &format!("{path}.bond.members[{i}]"), out)?);
            by_mac &= matches!(member, InterfaceMatch::Mac(_));
        }
        let options = bond.options.iter().map(|(name, value)| format!("{name}={value}"));
        let options: Vec<String> = [format!("mode={}", mode(bond.mode))].into_iter().chain(options).collect();
        let line = line.list("bondslaves", &members).list("bondopts", &options);
        Some(if by_mac { line.option("bindto", "mac") } else { line })
    }

    /// The kernel's name of an interface: one of the machine, or one that this document makes.
    fn name(&self, select: &InterfaceMatch, path: &str, out: Out<'_>) -> Option<String> {
        let made = |name: &str| {
            let is_it = |i: &Interface| i.select == InterfaceMatch::Name(name.to_owned());
            self.network.interfaces.iter().any(|i| is_it(i) && (i.bond.is_some() || i.vlan.is_some()))
        };
        let found = crate::network::nic(self.facts, select).map(|nic| nic.name.clone());
        match (found, select) {
            (Some(name), _) => Some(name),
            (None, InterfaceMatch::Name(name)) if made(name) => Some(name.clone()),
            (None, InterfaceMatch::Name(what) | InterfaceMatch::Mac(what)) => {
                let has = crate::network::list(self.facts);
                out.push(Finding::error(path, format!("no interface is {what}; the machine has {has}")));
                None
            }
        }
    }

    fn families(&self, line: Line, interface: &Interface, path: &str, out: Out<'_>) -> Line {
        let mut line = match &interface.ipv4 {
            None => line.flag("noipv4"),
            Some(Family4::Dhcp) => line.option("bootproto", "dhcp"),
            Some(Family4::Static(ip)) => {
                no_routes(!ip.routes.is_empty(), &format!("{path}.ipv4.static.routes"), out);
                let mask = Ipv4Addr::from(u32::MAX.checked_shl(32 - u32::from(ip.prefix)).unwrap_or(0));
                let line = line.option("bootproto", "static").option("ip", ip.address);
                line.option("netmask", mask).maybe("gateway", ip.gateway)
            }
        };
        line = match &interface.ipv6 {
            None => line.flag("noipv6"),
            Some(Family6::Slaac) => line.option("ipv6", "auto"),
            Some(Family6::Static(ip)) => {
                no_routes(!ip.routes.is_empty(), &format!("{path}.ipv6.static.routes"), out);
                let line = line.option("ipv6", format!("{}/{}", ip.address, ip.prefix));
                line.maybe("ipv6gateway", ip.gateway)
            }
        };
        self.names(line, interface, out)
    }

    /// Name servers and search domains, for the families that the interface has.
    fn names(&self, line: Line, interface: &Interface, out: Out<'_>) -> Line {
        let (v4, v6) = (interface.ipv4.is_some(), interface.ipv6.is_some());
        let servers: Vec<&IpAddr> =
            self.network.dns.iter().filter(|ip| if ip.is_ipv4() { v4 } else { v6 }).collect();
        let mut line = line.list("nameserver", &servers);
        let automatic4 = interface.ipv4 == Some(Family4::Dhcp);
        let automatic6 = interface.ipv6 == Some(Family6::Slaac);
        let replaced = !self.network.dns.is_empty();
        let search = crate::network::search(self.network);
        if self.words.network_dns {
            for (family, there, automatic) in [("ipv4", v4, automatic4), ("ipv6", v6, automatic6)] {
                line = line.list(&format!("{family}-dns-search"), if there { &search } else { &[] });
                line = line.flag_if(&format!("{family}-ignore-auto-dns"), automatic && replaced);
            }
            return line;
        }
        let mut warn = |path: &str, message: &str| {
            if !out.iter().any(|finding| finding.path == path) {
                out.push(Finding::warning(path, message));
            }
        };
        if !self.network.search.is_empty() {
            let message = "this release's kickstart has no word for search domains: they are left out";
            warn("network.search", message);
        }
        if replaced && (automatic4 || automatic6) {
            let message = "this release's kickstart cannot switch off the servers that the network offers: \
                           they are used beside these";
            warn("network.dns", message);
        }
        line
    }
}

fn no_routes(some: bool, path: &str, out: Out<'_>) {
    if some {
        let message = "kickstart has no word for routes: leave them to a `post` script";
        out.push(Finding::error(path, message));
    }
}

/// The kernel's name of a bonding mode.
fn mode(mode: BondMode) -> &'static str {
    match mode {
        BondMode::BalanceRr => "balance-rr",
        BondMode::ActiveBackup => "active-backup",
        BondMode::BalanceXor => "balance-xor",
        BondMode::Broadcast => "broadcast",
        BondMode::Lacp => "802.3ad",
        BondMode::BalanceTlb => "balance-tlb",
        BondMode::BalanceAlb => "balance-alb",
    }
}
