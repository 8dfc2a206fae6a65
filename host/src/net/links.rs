//! Network interfaces as /sys/class/net shows them (Documentation/ABI/testing/sysfs-class-net), and bringing them up.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::netlink;

const SYS: &str = "/sys/class/net";
/// ARPHRD_ETHER of linux/if_arp.h.
const ETHERNET: u32 = 1;
/// How often a carrier is looked for; netlink would tell, but sysfs is the same answer and one thing less to break.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Kernel name.
    pub name: String,
    /// Kernel index.
    pub index: u32,
    /// MAC address, lower case with colons.
    pub mac: String,
    /// Whether it was a plain Ethernet interface: no bridge, bond, VLAN or wireless one.
    pub ethernet: bool,
}

impl Link {
    /// The interface of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn find(name: &str) -> Result<Self> {
        let read = |file: &str| -> Result<String> {
            let path = Path::new(SYS).join(name).join(file);
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            Ok(text.trim().to_owned())
        };
        let index = read("ifindex").with_context(|| format!("there is no network interface {name}"))?;
        // Only special kinds of interfaces say a DEVTYPE.
        let plain = !read("uevent")?.lines().any(|line| line.starts_with("DEVTYPE="));
        Ok(Self {
            name: name.to_owned(),
            index: index.parse().with_context(|| format!("reading the index of {name}"))?,
            mac: read("address")?,
            ethernet: plain && read("type")?.parse() == Ok(ETHERNET),
        })
    }

    /// Sets it up.
    ///
    /// # Errors
    /// The kernel's.
    pub fn up(&self) -> Result<()> {
        netlink::set_up(self.index).with_context(|| format!("setting {} up", self.name))
    }

    /// Takes its addresses and routes away and sets it down: as it was before anybody configured it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn clear(&self) -> Result<()> {
        while netlink::remove_address(self.index)
            .with_context(|| format!("taking the addresses of {} away", self.name))?
        {}
        netlink::set_down(self.index).with_context(|| format!("setting {} down", self.name))
    }

    /// Whether it has a carrier; false while it is down.
    pub fn carrier(&self) -> bool {
        fs::read_to_string(Path::new(SYS).join(&self.name).join("carrier"))
            .is_ok_and(|text| text.trim() == "1")
    }

    /// Waits until it has a carrier; whether it came in time.
    pub fn wait_carrier(&self, patience: Duration) -> bool {
        wait_until(patience, || self.carrier())
    }

    /// Its MTU now.
    pub fn mtu(&self) -> Option<u32> {
        fs::read_to_string(Path::new(SYS).join(&self.name).join("mtu")).ok()?.trim().parse().ok()
    }
}

/// The plain Ethernet interfaces, by kernel index.
///
/// # Errors
/// /sys/class/net cannot be read. An interface that goes away meanwhile is left out.
pub fn ethernet() -> Result<Vec<Link>> {
    let entries = fs::read_dir(SYS).with_context(|| format!("reading {SYS}"))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut links: Vec<Link> =
        names.filter_map(|name| Link::find(&name).ok()).filter(|link| link.ethernet).collect();
    links.sort_by_key(|link| link.index);
    Ok(links)
}

/// Looks at `condition` until it holds or time is up; whether it held.
pub fn wait_until(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
