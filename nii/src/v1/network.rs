//! The network section.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Host name, name servers and interfaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The host name, without the domain.
    pub hostname: String,
    /// The domain; the node's full name is `hostname.domain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Name servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<std::net::IpAddr>,
    /// Search domains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// The interfaces to configure; others are left alone.
    #[serde(default)]
    pub interfaces: Vec<Interface>,
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Which one it is.
    #[serde(rename = "match")]
    pub select: InterfaceMatch,
    /// IPv4; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<Family4>,
    /// IPv6; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Family6>,
    /// MTU in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// It is a bond that is made, under the name of `match`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bond: Option<Bond>,
    /// It is a VLAN that is made, under the name of `match`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vlan>,
}

/// A bond.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bond {
    /// How its members share the traffic.
    pub mode: BondMode,
    /// The interfaces that it is made of; they have no addresses of their own.
    pub members: Vec<InterfaceMatch>,
    /// Further options by the kernel's names, as in `miimon`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// Bonding modes, by the kernel's names (Documentation/networking/bonding.rst).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BondMode {
    /// Round robin.
    #[serde(rename = "balance-rr")]
    BalanceRr,
    /// One member at a time.
    #[serde(rename = "active-backup")]
    ActiveBackup,
    /// By hash.
    #[serde(rename = "balance-xor")]
    BalanceXor,
    /// On all members.
    #[serde(rename = "broadcast")]
    Broadcast,
    /// LACP.
    #[serde(rename = "802.3ad")]
    Lacp,
    /// Outgoing by load.
    #[serde(rename = "balance-tlb")]
    BalanceTlb,
    /// Both ways by load.
    #[serde(rename = "balance-alb")]
    BalanceAlb,
}

/// A VLAN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vlan {
    /// Its id, 1-4094.
    pub id: u16,
    /// The interface that it is on.
    pub parent: InterfaceMatch,
}

/// How an interface is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InterfaceMatch {
    /// By MAC address, lower case with colons.
    Mac(String),
    /// By the kernel's name.
    Name(String),
}

/// IPv4 of an interface: `"dhcp"` or `{"static": {…}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family4 {
    /// From DHCP.
    Dhcp,
    /// As written here.
    Static(Static4),
}

/// IPv6 of an interface: `"slaac"` or `{"static": {…}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family6 {
    /// Stateless, from router advertisements.
    Slaac,
    /// As written here.
    Static(Static6),
}

/// A static IPv4 route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route4 {
    /// Network address.
    pub to: Ipv4Addr,
    /// Its prefix length.
    pub prefix: u8,
    /// The next hop.
    pub via: Ipv4Addr,
}

/// A static IPv6 route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route6 {
    /// Network address.
    pub to: Ipv6Addr,
    /// Its prefix length.
    pub prefix: u8,
    /// The next hop.
    pub via: Ipv6Addr,
}

/// A static IPv4 address with its routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Static4 {
    /// The address.
    pub address: Ipv4Addr,
    /// Prefix length, 0-32.
    pub prefix: u8,
    /// Default gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Ipv4Addr>,
    /// Further routes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route4>,
}

/// A static IPv6 address with its routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Static6 {
    /// The address.
    pub address: Ipv6Addr,
    /// Prefix length, 0-128.
    pub prefix: u8,
    /// Default gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Ipv6Addr>,
    /// Further routes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route6>,
}
