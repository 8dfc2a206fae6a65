//! GUIDs and UUIDs: UUIDv5 of the arming and a name, so that each attempt of one arming makes the same and another
//! arming new ones (CONTRACTS: disk order, journal, GUIDs).

use nii::v1::Format;
use uuid::Uuid;

/// What an id is for; a partition and the file system on it have different ones.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Disk,
    Partition,
    Array,
    Luks,
    Filesystem,
    Connection,
    Machine,
}

/// The id of the thing of that kind and name.
pub(crate) fn of(arming: Uuid, kind: Kind, name: &str) -> Uuid {
    let kind = match kind {
        Kind::Disk => "disk",
        Kind::Partition => "partition",
        Kind::Array => "array",
        Kind::Luks => "luks",
        Kind::Filesystem => "filesystem",
        Kind::Connection => "connection",
        Kind::Machine => "machine",
    };
    Uuid::new_v5(&arming, format!("{kind}:{name}").as_bytes())
}

/// How fstab(5), blkid(8) and `root=UUID=` write a file system's UUID. FAT has a serial number of 32 bits only: the
/// first four bytes, as `1A2B-3C4D`.
pub fn filesystem_text(format: Format, uuid: Uuid) -> String {
    match format {
        Format::Vfat => {
            let [a, b, c, d, ..] = uuid.into_bytes();
            format!("{a:02X}{b:02X}-{c:02X}{d:02X}")
        }
        Format::Ext4 | Format::Xfs | Format::Btrfs | Format::Swap | Format::Tmpfs => uuid.to_string(),
    }
}
