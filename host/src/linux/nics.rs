//! The network interfaces of a machine, as facts: /sys/class/net (Documentation/ABI/testing/sysfs-class-net).

use std::fs;
use std::path::Path;

use anyhow::Context;
use plan::facts::Nic;

use super::disk::survey::natural;

/// ARPHRD_LOOPBACK of linux/if_arp.h.
const LOOPBACK: u32 = 772;

/// All interfaces but the loopback, by kernel name, without leases.
///
/// # Errors
/// When /sys cannot be read.
pub fn list(sys: &Path) -> anyhow::Result<Vec<Nic>> {
    let directory = sys.join("class/net");
    let mut nics = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry.with_context(|| format!("reading {}", directory.display()))?.path();
        let read = |file: &str| fs::read_to_string(path.join(file)).ok().map(|text| text.trim().to_owned());
        let Some(kind) = read("type").and_then(|text| text.parse().ok()).filter(|kind| *kind != LOOPBACK)
        else {
            // Not an interface (bonding_masters), or one that went away.
            continue;
        };
        let driver = fs::read_link(path.join("device/driver")).ok();
        nics.push(Nic {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            mac: read("address").unwrap_or_default().to_lowercase(),
            driver: driver.and_then(|link| Some(link.file_name()?.to_string_lossy().into_owned())),
            // EINVAL while the interface is down.
            carrier: read("carrier").map(|text| text == "1"),
            kind,
            lease: None,
        });
    }
    nics.sort_by_cached_key(|nic| natural(&nic.name));
    Ok(nics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_interfaces_with_drivers() {
        let root = tempfile::tempdir().unwrap();
        let net = root.path().join("class/net");
        for (name, kind, mac) in
            [("lo", "772", "00:00:00:00:00:00"), ("eth10", "1", "52:54:00:AA:BB:CC"), ("eth2", "1", "x")]
        {
            fs::create_dir_all(net.join(name).join("device")).unwrap();
            fs::write(net.join(name).join("type"), format!("{kind}\n")).unwrap();
            fs::write(net.join(name).join("address"), format!("{mac}\n")).unwrap();
        }
        fs::write(net.join("bonding_masters"), "").unwrap();
        fs::write(net.join("eth10/carrier"), "1\n").unwrap();
        std::os::unix::fs::symlink("../../../bus/virtio/drivers/virtio_net", net.join("eth10/device/driver"))
            .unwrap();
        let nics = list(root.path()).unwrap();
        assert_eq!(nics.iter().map(|nic| nic.name.as_str()).collect::<Vec<_>>(), ["eth2", "eth10"]);
        assert_eq!(nics[1].mac, "52:54:00:aa:bb:cc");
        assert_eq!(nics[1].driver.as_deref(), Some("virtio_net"));
        assert_eq!((nics[0].carrier, nics[1].carrier), (None, Some(true)));
    }
}
