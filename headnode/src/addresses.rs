//! Addresses as people write them and as the store keeps them.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use anyhow::{Context as _, bail, ensure};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// A MAC address; its text is lower case with colons, as everywhere on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Mac(String);

impl TryFrom<String> for Mac {
    type Error = anyhow::Error;

    fn try_from(text: String) -> anyhow::Result<Self> {
        text.parse()
    }
}

impl Mac {
    /// As it is on the wire.
    pub fn from_bytes(bytes: [u8; 6]) -> Self {
        Self(bytes.map(|byte| format!("{byte:02x}")).join(":"))
    }

    /// As pxelinux and dracut's `BOOTIF=` write it: the hardware type (01, Ethernet), then dashes.
    pub fn bootif(&self) -> String {
        format!("01-{}", self.0.replace(':', "-"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Mac {
    type Err = anyhow::Error;

    /// Colons, dashes or nothing between the bytes, in either case.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let is_separator = |byte: &u8| matches!(byte, b':' | b'-');
        let separators = text.bytes().filter(is_separator).count();
        let mut mac = String::with_capacity(17);
        for digit in text.bytes().filter(|byte| !is_separator(byte)) {
            if mac.len() % 3 == 2 {
                mac.push(':');
            }
            mac.push(char::from(digit.to_ascii_lowercase()));
        }
        let right = mac.len() == 17 && mac.bytes().all(|byte| byte == b':' || byte.is_ascii_hexdigit());
        ensure!(
            right && [0, 5].contains(&separators),
            "`{text}` is no MAC address such as 52:54:00:12:34:56"
        );
        Ok(Self(mac))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A machine's own id (SMBIOS). Boards whose maker never set it have zeros or ones; that is nobody's.
pub fn machine_id(id: Uuid) -> Option<Uuid> {
    let bytes = id.as_bytes();
    bytes.iter().any(|byte| *byte != bytes[0]).then_some(id)
}

/// The same id with its first three fields in the other byte order: firmware of both persuasions is about.
pub fn swapped(id: Uuid) -> Uuid {
    Uuid::from_bytes_le(id.into_bytes())
}

/// An IPv4 network in CIDR form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    base: Ipv4Addr,
    /// Prefix length, 1 to 30.
    pub prefix: u8,
}

impl Subnet {
    /// The network's own address.
    pub fn base(self) -> Ipv4Addr {
        self.base
    }

    /// The netmask.
    pub fn mask(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::MAX << (32 - u32::from(self.prefix)))
    }

    /// Whether `address` may be a host's in this network.
    pub fn has_host(self, address: Ipv4Addr) -> bool {
        let mask = u32::from(self.mask());
        let host = u32::from(address) & !mask;
        u32::from(address) & mask == u32::from(self.base) && host != 0 && host != !mask
    }
}

impl Subnet {
    /// The lowest address that may be a host's.
    pub fn first_host(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) + 1)
    }

    /// Whether the two have addresses in common: then one is in the other.
    pub fn overlaps(self, other: Self) -> bool {
        let mask = u32::from(self.mask()) & u32::from(other.mask());
        u32::from(self.base) & mask == u32::from(other.base) & mask
    }
}

/// As text, in documents and JSON.
macro_rules! serde_as_text {
    ($($kind:ty),*) => {$(
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(|error| D::Error::custom(format_args!("{error:#}")))
            }
        }
    )*};
}

serde_as_text!(Subnet, Range);

impl FromStr for Subnet {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (base, prefix) =
            text.split_once('/').with_context(|| format!("`{text}` is no subnet such as 10.1.0.0/24"))?;
        let base: Ipv4Addr = base.parse().with_context(|| format!("reading `{base}` as an IPv4 address"))?;
        let prefix: u8 = prefix.parse().with_context(|| format!("reading `{prefix}` as a prefix length"))?;
        ensure!((1..=30).contains(&prefix), "the prefix length of a subnet is 1 to 30, not {prefix}");
        let subnet = Self { base, prefix };
        let first = Ipv4Addr::from(u32::from(base) & u32::from(subnet.mask()));
        ensure!(first == base, "{text} has host bits set: write {first}/{prefix}");
        Ok(subnet)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

/// The first and the last address of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub first: Ipv4Addr,
    /// The last.
    pub last: Ipv4Addr,
}

impl FromStr for Range {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let Some((first, last)) = text.split_once('-') else {
            bail!("`{text}` is no range such as 10.1.0.100-10.1.0.200");
        };
        let read =
            |text: &str| text.trim().parse().with_context(|| format!("reading `{text}` as an IPv4 address"));
        let (first, last): (Ipv4Addr, Ipv4Addr) = (read(first)?, read(last)?);
        ensure!(first <= last, "the range {text} ends before it begins");
        Ok(Self { first, last })
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_have_one_form() {
        for text in ["52:54:00:AB:cd:01", "52-54-00-ab-cd-01", "525400ABCD01"] {
            assert_eq!(text.parse::<Mac>().unwrap().as_str(), "52:54:00:ab:cd:01");
        }
        assert_eq!("52:54:00:ab:cd:01".parse::<Mac>().unwrap().bootif(), "01-52-54-00-ab-cd-01");
        for text in [
            "",
            "52:54:00:ab:cd",
            "52:54:00:ab:cd:0g",
            "525400ab:cd01",
            "52:54:00:ab:cd:01:02",
            "ä2:54:00:ab:cd:01",
            // Longer in lower case.
            "\u{23a}",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }

    #[test]
    fn subnets_know_their_hosts() {
        let subnet: Subnet = "10.1.2.0/23".parse().unwrap();
        assert_eq!(subnet.mask().to_string(), "255.255.254.0");
        for (address, host) in [
            ("10.1.2.1", true),
            ("10.1.3.254", true),
            ("10.1.2.0", false),
            ("10.1.3.255", false),
            ("10.1.4.1", false),
        ] {
            assert_eq!(subnet.has_host(address.parse().unwrap()), host, "{address}");
        }
        for text in ["10.1.2.0", "10.1.2.1/24", "10.1.2.0/31", "x/24", "10.1.2.0/x"] {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
    }

    #[test]
    fn subnets_that_share_addresses_overlap() {
        let overlap = |a: &str, b: &str| {
            let (a, b): (Subnet, Subnet) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!(a.overlaps(b), b.overlaps(a));
            a.overlaps(b)
        };
        assert!(overlap("10.1.0.0/16", "10.1.2.0/24") && overlap("10.1.2.0/24", "10.1.2.0/24"));
        assert!(!overlap("10.1.2.0/24", "10.1.3.0/24") && !overlap("10.0.0.0/9", "10.128.0.0/24"));
    }

    #[test]
    fn ranges_run_forwards() {
        assert_eq!("10.1.0.5-10.1.0.9".parse::<Range>().unwrap().to_string(), "10.1.0.5-10.1.0.9");
        for text in ["10.1.0.5", "10.1.0.9-10.1.0.5", "a-b"] {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
    }
}
