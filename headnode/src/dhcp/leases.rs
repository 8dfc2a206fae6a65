//! Which MAC address is behind an IP address: by the kernel's ARP table, else by dnsmasq's leases.

use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::addresses::Mac;

/// `ATF_COM` of linux/if_arp.h: the entry has an answer.
const ARP_COMPLETE: u32 = 0x2;

/// Where to look.
#[derive(Clone, Debug)]
pub struct Link {
    /// dnsmasq's lease file.
    pub leases: PathBuf,
    /// As `/proc/net/arp`.
    pub arp: PathBuf,
}

impl Link {
    /// The MAC behind `address`. What the link says counts: whoever took another's address has no lease for it, but
    /// answers to it. Leases are for addresses that the link does not know.
    ///
    /// # Errors
    /// When a file is there and cannot be read.
    pub fn mac_of(&self, address: IpAddr) -> Result<Option<Mac>> {
        Ok(match in_arp(&read(&self.arp)?, address) {
            Some(mac) => Some(mac),
            None => in_leases(&read(&self.leases)?, address),
        })
    }
}

fn read(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        other => other.with_context(|| format!("reading {}", path.display())),
    }
}

/// proc(5): a heading, then address, hardware type, flags, MAC, mask, device.
fn in_arp(table: &str, address: IpAddr) -> Option<Mac> {
    table.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace();
        let (ip, flags, mac) = (words.next()?, words.nth(1)?, words.next()?);
        let complete = u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok()? & ARP_COMPLETE != 0;
        (complete && ip.parse() == Ok(address)).then(|| mac.parse().ok())?
    })
}

/// dnsmasq(8): end of the lease, MAC, address, name, client id.
fn in_leases(leases: &str, address: IpAddr) -> Option<Mac> {
    leases.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (_ends, mac, ip) = (words.next()?, words.next()?, words.next()?);
        (ip.parse() == Ok(address)).then(|| mac.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARP: &str = "IP address       HW type     Flags       HW address            Mask     Device\n\
        10.1.0.11        0x1         0x2         52:54:00:00:00:01     *        br0\n\
        10.1.0.12        0x1         0x0         00:00:00:00:00:00     *        br0\n\
        10.1.0.13        0x1         0x6         52:54:00:00:00:03     *        br0\n";
    const LEASES: &str = "1763830000 52:54:00:00:00:09 10.1.0.11 * 01:52:54:00:00:00:09\n\
        1763830000 52:54:00:00:00:02 10.1.0.12 n002 *\n\
        duid 00:01\n";

    #[test]
    fn the_link_counts_before_the_lease() {
        let folder = tempfile::tempdir().unwrap();
        let link = Link { leases: folder.path().join("leases"), arp: folder.path().join("arp") };
        let mac = |ip: &str| link.mac_of(ip.parse().unwrap()).unwrap().map(|mac| mac.to_string());
        assert_eq!(mac("10.1.0.11"), None);
        fs::write(&link.leases, LEASES).unwrap();
        assert_eq!(mac("10.1.0.11").as_deref(), Some("52:54:00:00:00:09"));
        fs::write(&link.arp, ARP).unwrap();
        assert_eq!(mac("10.1.0.11").as_deref(), Some("52:54:00:00:00:01"));
        assert_eq!(
            mac("10.1.0.12").as_deref(),
            Some("52:54:00:00:00:02"),
            "an unanswered ARP entry says nothing"
        );
        assert_eq!(mac("10.1.0.13").as_deref(), Some("52:54:00:00:00:03"));
        assert_eq!(mac("10.1.0.14"), None);
    }
}
