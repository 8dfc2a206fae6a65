//! The layouts, on disks with the serial numbers `camphor0` and so on.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tests::run::{cmd, output};
use tests::storage::Case;
use tests::vm::empty_disk;

/// First byte and length of the kept partition on the disk of [`old_system`].
pub const KEPT: (u64, u64) = (64 << 20, 32 << 20);

pub fn disk(name: &str, number: u32, partitions: &Value) -> Value {
    json!({"name": name, "select": {"serial": format!("camphor{number}")}, "partitions": partitions})
}

pub fn ext4_swap() -> Case {
    let partitions = json!([
        {"label": "bios", "type": "bios-boot", "size_mib": 1},
        {"label": "swap", "type": "swap", "size_mib": 32},
        {"label": "root", "type": "root"},
    ]);
    let filesystems = json!([
        {"device": "root", "format": "ext4", "label": "root", "mount": "/"},
        {"device": "swap", "format": "swap"},
    ]);
    Case::new("ext4-swap", json!({"disks": [disk("system", 2, &partitions)], "filesystems": filesystems}))
}

pub fn esp_boot_xfs() -> Case {
    let partitions = json!([
        {"label": "bios", "type": "bios-boot", "size_mib": 1},
        {"label": "esp", "type": "esp", "size_mib": 40},
        {"label": "boot", "type": "xbootldr", "size_mib": 40},
        {"label": "root", "type": "root"},
    ]);
    let filesystems = json!([
        {"device": "esp", "format": "vfat", "label": "ESP", "mount": "/boot/efi"},
        {"device": "boot", "format": "ext4", "mount": "/boot"},
        {"device": "root", "format": "xfs", "mount": "/"},
    ]);
    Case::new("esp-boot-xfs", json!({"disks": [disk("system", 0, &partitions)], "filesystems": filesystems}))
}

pub fn several_disks() -> Case {
    let system = json!([
        {"label": "bios", "type": "bios-boot", "size_mib": 1},
        {"label": "root", "type": "root"},
    ]);
    let disks = [
        disk("scratch", 0, &json!([{"label": "scratch"}])),
        disk("system", 1, &system),
        disk("logs", 2, &json!([{"label": "logs"}])),
    ];
    let filesystems = json!([
        {"device": "scratch", "format": "xfs", "mount": "/scratch"},
        {"device": "root", "format": "ext4", "mount": "/"},
        {"device": "logs", "format": "ext4", "mount": "/var/log"},
    ]);
    Case::new("several-disks", json!({"disks": disks, "filesystems": filesystems}))
}

/// Before and behind the partition that [`old_system`] has, on the disk of this number.
pub fn kept_partition(number: u32) -> Case {
    let partitions = json!([
        {"label": "bios", "type": "bios-boot", "size_mib": 1},
        {"label": "swap", "type": "swap", "size_mib": 32},
        {"label": "root", "type": "root"},
        {"label": "home", "preserve": true},
    ]);
    let filesystems = json!([
        {"device": "root", "format": "ext4", "mount": "/"},
        {"device": "swap", "format": "swap"},
        {"device": "home", "format": "ext4", "mount": "/home", "preserve": true},
    ]);
    let storage = json!({"disks": [disk("system", number, &partitions)], "filesystems": filesystems});
    let name = format!("kept-partition-{number}");
    Case::new(&name, storage).keeping(&format!("camphor{number}"), KEPT.0, KEPT.1)
}

/// A disk with an old system: a root, and `home` with a file system whose every free byte is something. And the digest of
/// `home`, in hex.
pub fn old_system(scratch: &Path) -> Result<(PathBuf, String)> {
    let disk = empty_disk(scratch.join("old-system"), 220)?;
    let table = scratch.join("old-system.sfdisk");
    let (start, size) = (KEPT.0 >> 9, KEPT.1 >> 9);
    let text =
        format!("label: gpt\nstart=2048, size=100000, name=old\nstart={start}, size={size}, name=home\n");
    fs::write(&table, text).context("writing a table")?;
    let script = r#"sfdisk --quiet "$1" <"$2" && mkfs.ext4 -q -E "offset=$3" "$1" "$4""#;
    let arguments = [disk.display().to_string(), table.display().to_string(), KEPT.0.to_string()];
    let mut command = cmd("sh", ["-ec", script, "sh"]);
    output(command.args(arguments).arg(format!("{}k", KEPT.1 >> 10)))?;
    let file = fs::OpenOptions::new().read(true).write(true).open(&disk).context("opening the old disk")?;
    let mut bytes = vec![0; KEPT.1 as usize];
    file.read_exact_at(&mut bytes, KEPT.0).context("reading what is kept")?;
    // What only a copy of every byte keeps.
    for (n, block) in bytes.chunks_exact_mut(4096).enumerate().filter(|(n, _)| n % 64 == 63) {
        if block.iter().all(|byte| *byte == 0) {
            block.fill((n >> 6) as u8 | 1);
        }
    }
    file.write_all_at(&bytes, KEPT.0).context("filling what is kept")?;
    Ok((disk, blake3::hash(&bytes).to_string()))
}
