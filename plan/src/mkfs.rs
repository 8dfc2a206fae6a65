//! How file systems are made: features that the *image's* kernel, fsck and GRUB understand, whatever newer defaults
//! the initrd's mkfs has (CONTRACTS: more traps), and the command lines.

use nii::manifest::Os;
use nii::v1::Format;

use crate::ids::filesystem_text;
use crate::op::Act;
use crate::os::{is_at_least, major_minor};

/// The program that makes a format; none for swap space, which is one page that `host`
/// writes itself, and for tmpfs, which is on no device.
pub fn tool(format: Format) -> Option<&'static str> {
    match format {
        Format::Ext4 => Some("mkfs.ext4"),
        Format::Xfs => Some("mkfs.xfs"),
        Format::Vfat => Some("mkfs.vfat"),
        Format::Btrfs => Some("mkfs.btrfs"),
        Format::Swap | Format::Tmpfs => None,
    }
}

/// ext4 as e2fsprogs 1.41 made it. `none` drops mke2fs.conf's own list; every name here is known to every mke2fs,
/// while `^orphan_file` would be an error to those before 1.47.
const EXT4: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,flex_bg,sparse_super,\
                    large_file,huge_file,dir_nlink,extra_isize";
/// What e2fsprogs 1.43 added, and who has a fsck for it. Unlike what came later (`metadata_csum_seed`,
/// `orphan_file`) every GRUB of these systems reads it.
const EXT4_CHECKSUMS: &str = "metadata_csum,64bit";
const EXT4_CHECKSUMS_SINCE: &[(&str, u32)] = &[("debian", 9), ("ubuntu", 18), ("rhel", 8), ("fedora", 26)];

/// A feature of XFS that newer mkfs.xfs turn on by default.
struct Feature {
    /// The options that turn it off.
    off: [&'static str; 2],
    /// The first mkfs.xfs that knows them; older ones never turn it on.
    known_since: (u32, u32),
    /// The systems whose kernel and GRUB read it.
    read_since: &'static [(&'static str, u32)],
}

/// mkfs.xfs(8) and the GRUB sources (`grub-core/fs/xfs.c`): bigtime is read from 2.06 on, nrext64 from 2.12 on, parent
/// pointers by none yet.
const XFS: &[Feature] = &[
    Feature {
        off: ["-i", "sparse=0"],
        known_since: (4, 5),
        read_since: &[("debian", 10), ("ubuntu", 18), ("rhel", 8), ("fedora", 28)],
    },
    Feature {
        off: ["-m", "reflink=0"],
        known_since: (4, 9),
        read_since: &[("debian", 10), ("ubuntu", 18), ("rhel", 8), ("fedora", 28)],
    },
    Feature {
        off: ["-m", "bigtime=0,inobtcount=0"],
        known_since: (5, 10),
        read_since: &[("debian", 11), ("ubuntu", 22), ("rhel", 9), ("fedora", 34)],
    },
    Feature {
        off: ["-i", "nrext64=0"],
        known_since: (5, 19),
        read_since: &[("debian", 13), ("ubuntu", 24), ("rhel", 10), ("fedora", 40)],
    },
    Feature { off: ["-i", "exchange=0"], known_since: (6, 10), read_since: &[] },
    Feature { off: ["-n", "parent=0"], known_since: (6, 10), read_since: &[] },
];

/// Options that keep a file system readable for the image's system. `version` is the tool's; without it nothing can
/// be said for XFS, since its options are errors to tools that do not know them.
pub(crate) fn options(format: Format, os: &Os, version: Option<&str>) -> Vec<String> {
    match format {
        Format::Ext4 if is_at_least(os, EXT4_CHECKSUMS_SINCE) => {
            vec!["-O".into(), format!("{EXT4},{EXT4_CHECKSUMS}")]
        }
        Format::Ext4 => vec!["-O".into(), EXT4.into()],
        Format::Xfs => {
            let version = version.and_then(major_minor).unwrap_or_default();
            let off = XFS.iter().filter(|f| version >= f.known_since && !is_at_least(os, f.read_since));
            off.flat_map(|feature| feature.off).map(Into::into).collect()
        }
        Format::Vfat | Format::Btrfs | Format::Swap | Format::Tmpfs => Vec::new(),
    }
}

/// The command line of an [`Act::Mkfs`]; `None` for any other act, and for a format without a [`tool`].
pub fn argv(act: &Act) -> Option<Vec<String>> {
    let Act::Mkfs { device, format, uuid, label, options } = act else { return None };
    let program = tool(*format)?;
    let serial = filesystem_text(*format, *uuid).replace('-', "");
    let (fixed, label_flag): (Vec<String>, _) = match format {
        Format::Ext4 => (vec!["-F".into(), "-q".into(), "-U".into(), uuid.to_string()], "-L"),
        Format::Xfs => (vec!["-f".into(), "-q".into(), "-m".into(), format!("uuid={uuid}")], "-L"),
        // `-I`: on what is no partition, too.
        Format::Vfat => (vec!["-I".into(), "-i".into(), serial], "-n"),
        Format::Btrfs => (vec!["-f".into(), "-q".into(), "-U".into(), uuid.to_string()], "-L"),
        Format::Swap | Format::Tmpfs => return None,
    };
    let label = label.iter().flat_map(|label| [label_flag.to_owned(), label.clone()]);
    Some(
        std::iter::once(program.to_owned())
            .chain(fixed)
            .chain(label)
            .chain(options.iter().cloned())
            .chain([device.path()])
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::op::PartitionRef;

    fn os(id: &str, version: &str) -> Os {
        Os { id: id.into(), version_id: version.into(), ..Os::default() }
    }

    fn xfs(id: &str, version: &str, tool: Option<&str>) -> String {
        options(Format::Xfs, &os(id, version), tool).join(" ")
    }

    #[test]
    fn xfs_turns_off_what_the_tool_knows_and_the_image_does_not() {
        assert_eq!(xfs("debian", "12", Some("6.1.0")), "-i nrext64=0");
        assert_eq!(xfs("debian", "12", Some("5.18.0")), "");
        assert_eq!(xfs("debian", "13", Some("6.13.0")), "-i exchange=0 -n parent=0");
        assert_eq!(xfs("rhel", "8.10", Some("5.10.0")), "-m bigtime=0,inobtcount=0");
        assert_eq!(xfs("centos", "7", Some("4.9.0")), "-i sparse=0 -m reflink=0");
        assert_eq!(
            xfs("arch", "", Some("6.1.0")),
            "-i sparse=0 -m reflink=0 -m bigtime=0,inobtcount=0 -i nrext64=0"
        );
        assert_eq!(xfs("arch", "", None), "", "what an unknown tool does not know is an error to it");
    }

    #[test]
    fn ext4_names_its_features_and_never_those_of_newer_tools() {
        let features = |id, version| options(Format::Ext4, &os(id, version), None).join(" ");
        assert!(features("debian", "12").starts_with("-O none,has_journal,"));
        assert!(features("debian", "12").ends_with(",metadata_csum,64bit"));
        assert!(!features("centos", "7").contains("metadata_csum"));
        assert!(!features("debian", "13").contains("^"));
    }

    #[test]
    fn command_lines() {
        let line = |format, label: Option<&str>, options: &[&str]| {
            let partition = PartitionRef { disk: "/dev/nvme0n1".into(), number: 2, guid: Uuid::nil() };
            let uuid = Uuid::from_u128(0x1a2b3c4d_0000_5000_8000_000000000000);
            let options = options.iter().map(ToString::to_string).collect();
            argv(&Act::Mkfs { device: partition.into(), format, uuid, label: label.map(Into::into), options })
                .unwrap()
                .join(" ")
        };
        let uuid = "1a2b3c4d-0000-5000-8000-000000000000";
        assert_eq!(
            line(Format::Ext4, Some("root"), &["-m", "1"]),
            format!("mkfs.ext4 -F -q -U {uuid} -L root -m 1 /dev/nvme0n1p2")
        );
        assert_eq!(line(Format::Xfs, None, &[]), format!("mkfs.xfs -f -q -m uuid={uuid} /dev/nvme0n1p2"));
        assert_eq!(line(Format::Vfat, Some("ESP"), &[]), "mkfs.vfat -I -i 1A2B3C4D -n ESP /dev/nvme0n1p2");
        assert_eq!(argv(&Act::Sync), None);
    }
}
