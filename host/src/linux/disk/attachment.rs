//! How a disk is attached, and its name below `/dev/disk/by-path`, which udev would make: an initrd of ours has no
//! udev. Rules: systemd's `udev-builtin-path_id.c`, and lsblk(8)'s `TRAN`.

use std::fs;
use std::path::{Path, PathBuf};

/// Where a disk is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Attachment {
    /// As lsblk(8) calls it; `nvme-of` where NVMe comes over a network.
    pub transport: Option<String>,
    /// Its name below `/dev/disk/by-path`; none for what is not on PCI, and for SAS, Fibre Channel and iSCSI.
    pub by_path: Option<String>,
}

/// Reads it off the path of the disk's device below /sys/devices.
pub(super) fn of(sys: &Path, name: &str) -> Attachment {
    let Ok(device) = fs::canonicalize(sys.join("class/block").join(name)) else {
        return Attachment::default();
    };
    let parts: Vec<&str> = device.iter().filter_map(|part| part.to_str()).collect();
    let transport = transport(sys, &device, &parts, name);
    let by_path = transport.and_then(|transport| by_path(sys, &device, &parts, name, transport));
    Attachment { transport: transport.map(str::to_owned), by_path }
}

fn transport(sys: &Path, device: &Path, parts: &[&str], name: &str) -> Option<&'static str> {
    let below = |prefix: &str| numbered(parts, prefix).is_some();
    Some(match () {
        () if name.starts_with("nvme") => nvme(device),
        () if name.starts_with("mmcblk") => "mmc",
        () if below("usb") => "usb",
        () if below("session") => "iscsi",
        () if below("rport-") => "fc",
        () if below("end_device-") => "sas",
        () if below("ata") => ata(sys, parts),
        () if below("virtio") && name.starts_with("vd") => "virtio",
        () if below("host") => "scsi",
        () => return None,
    })
}

/// By the transports of its controllers, which it lies below, or which its subsystem has (nvme(4): `transport`).
fn nvme(device: &Path) -> &'static str {
    let above = device.parent().unwrap_or(device);
    let controllers = fs::read_dir(above).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_remote = |controller: PathBuf| {
        fs::read_to_string(controller.join("transport"))
            .is_ok_and(|transport| ["tcp", "rdma", "fc", "loop"].contains(&transport.trim()))
    };
    if controllers.chain([above.to_owned()]).any(is_remote) { "nvme-of" } else { "nvme" }
}

/// Serial ATA, or its parallel ancestor: the driver's name says it.
fn ata(sys: &Path, parts: &[&str]) -> &'static str {
    let host = numbered(parts, "host").unwrap_or_default();
    let driver =
        fs::read_to_string(sys.join("class/scsi_host").join(host).join("proc_name")).unwrap_or_default();
    if driver.contains("ahci") || driver.contains("sata") { "sata" } else { "ata" }
}

fn by_path(sys: &Path, device: &Path, parts: &[&str], name: &str, transport: &str) -> Option<String> {
    let pci = format!("pci-{}", parts.iter().rev().find(|part| is_pci(part))?);
    let place = match transport {
        "virtio" => return Some(pci),
        "nvme" => format!("nvme-{}", name.rsplit_once('n')?.1),
        "sata" | "ata" => {
            let port = numbered(parts, "ata")?;
            let number = fs::read_to_string(sys.join("class/ata_port").join(port).join("port_no")).ok()?;
            // The device behind a port multiplier, or the second on a cable.
            let target = parts.iter().rev().find_map(|part| part.strip_prefix("target")?.split_once(':'));
            match target.map(|(_, rest)| rest) {
                None | Some("0:0") => format!("ata-{}", number.trim()),
                Some(rest) => format!("ata-{}.{}", number.trim(), rest.rsplit(':').next()?),
            }
        }
        "scsi" => scsi(device)?,
        "usb" => format!("usb-0:{}-{}", usb(parts)?, scsi(device)?),
        _ => return None,
    };
    Some(format!("{pci}-{place}"))
}

/// `scsi-HOST:CHANNEL:TARGET:LUN`; hosts are numbered anew below their parent, as the kernel's numbers change.
fn scsi(device: &Path) -> Option<String> {
    let address = device.iter().filter_map(|part| part.to_str()).rev().find(|part| {
        let numbers: Vec<&str> = part.split(':').collect();
        numbers.len() == 4 && numbers.iter().all(|number| is_number(number))
    })?;
    let (host, rest) = address.split_once(':')?;
    let folder = device.ancestors().find(|folder| folder.ends_with(format!("host{host}")))?.parent()?;
    let hosts = fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("host")?.parse::<u32>().ok());
    let first = hosts.min()?;
    Some(format!("scsi-{}:{rest}", host.parse::<u32>().ok()?.checked_sub(first)?))
}

/// `1.2:1.0` of the interface `3-1.2:1.0`.
fn usb<'a>(parts: &[&'a str]) -> Option<&'a str> {
    let interface = |part: &&'a str| {
        let (bus, rest) = part.split_once('-')?;
        (is_number(bus) && rest.contains(':')).then_some(rest)
    };
    parts.iter().rev().find_map(interface)
}

/// The last part of the path that is the prefix and then a number: `ata3`, `rport-0:0-1`.
fn numbered<'a>(parts: &[&'a str], prefix: &str) -> Option<&'a str> {
    let is_it = |part: &&&str| {
        part.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    };
    parts.iter().rev().find(is_it).copied()
}

/// `0000:00:1f.2`.
fn is_pci(part: &str) -> bool {
    let fields: Vec<&str> = part.split([':', '.']).collect();
    let hex = |field: &&str| !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_hexdigit());
    fields.len() == 4 && part.matches(':').count() == 2 && fields.iter().all(hex)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk whose device is at `path`, and what is read off it.
    fn read(path: &str, files: &[(&str, &str)]) -> (Option<String>, Option<String>) {
        let sys = tempfile::tempdir().unwrap();
        let device = sys.path().join("devices").join(path);
        fs::create_dir_all(&device).unwrap();
        fs::create_dir_all(sys.path().join("class/block")).unwrap();
        for (file, text) in files {
            let file = sys.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let name = path.rsplit('/').next().unwrap();
        std::os::unix::fs::symlink(&device, sys.path().join("class/block").join(name)).unwrap();
        let Attachment { transport, by_path } = of(sys.path(), name);
        (transport, by_path)
    }

    /// Pairs of /sys paths and names that udev made on real machines.
    #[test]
    fn as_udev_names_them() {
        let sata = "pci0000:00/0000:00:1f.2/ata3/host2/target2:0:0/2:0:0:0/block/sda";
        let ahci = [("class/scsi_host/host2/proc_name", "ahci\n"), ("class/ata_port/ata3/port_no", "3\n")];
        let usb = "pci0000:00/0000:00:14.0/usb2/2-1/2-1.4/2-1.4:1.0/host6/target6:0:0/6:0:0:0/block/sdc";
        let virtio_scsi = "pci0000:00/0000:00:05.0/virtio1/host7/target7:0:1/7:0:1:0/block/sdb";
        let sas = "pci0000:80/0000:80:02.0/0000:82:00.0/host0/port-0:0/end_device-0:0/target0:0:0/0:0:0:0/block/sdd";
        for (path, files, transport, by_path) in [
            (sata, &ahci[..], "sata", Some("pci-0000:00:1f.2-ata-3")),
            (usb, &[], "usb", Some("pci-0000:00:14.0-usb-0:1.4:1.0-scsi-0:0:0:0")),
            (virtio_scsi, &[], "scsi", Some("pci-0000:00:05.0-scsi-0:0:1:0")),
            ("pci0000:00/0000:00:04.0/virtio1/block/vda", &[], "virtio", Some("pci-0000:00:04.0")),
            (
                "pci0000:00/0000:00:1d.0/0000:3d:00.0/nvme/nvme0/nvme0n1",
                &[],
                "nvme",
                Some("pci-0000:3d:00.0-nvme-1"),
            ),
            (sas, &[], "sas", None),
            ("virtual/nvme-subsystem/nvme-subsys0/nvme0n2", &[], "nvme", None),
            (
                "pci0000:00/0000:00:1d.0/0000:3e:00.0/nvme/nvme1/nvme1n1",
                &[("devices/pci0000:00/0000:00:1d.0/0000:3e:00.0/nvme/nvme1/transport", "pcie\n")],
                "nvme",
                Some("pci-0000:3e:00.0-nvme-1"),
            ),
            (
                "virtual/nvme-fabrics/ctl/nvme2/nvme2n1",
                &[("devices/virtual/nvme-fabrics/ctl/nvme2/transport", "rdma\n")],
                "nvme-of",
                None,
            ),
            (
                "virtual/nvme-subsystem/nvme-subsys3/nvme3n1",
                &[("devices/virtual/nvme-subsystem/nvme-subsys3/nvme3/transport", "tcp\n")],
                "nvme-of",
                None,
            ),
        ] {
            assert_eq!(read(path, files), (Some(transport.into()), by_path.map(String::from)), "{path}");
        }
        assert_eq!(read("virtual/block/pmem0", &[]), (None, None));
    }
}
