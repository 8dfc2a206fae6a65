//! What an initrd consists of, and how two of them differ. Computes; `output` prints.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;

use crate::archive::Segment;
use crate::codec::Codec;
use crate::cpio::{Member, TYPE};

/// What a file is for, told by its path: also right for the initrds of dracut and initramfs-tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// `/init`, and systemd where that is it.
    Init,
    /// Kernel modules and their indexes.
    Modules,
    /// Firmware and microcode.
    Firmware,
    /// Shared libraries.
    Libraries,
    /// Programs.
    Tools,
    /// The rest: configuration, links, directories.
    Other,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Init => "init",
            Self::Modules => "modules",
            Self::Firmware => "firmware",
            Self::Libraries => "libraries",
            Self::Tools => "tools",
            Self::Other => "other",
        })
    }
}

/// The share of one group.
#[derive(Debug, PartialEq, Eq)]
pub struct Share {
    /// Which group.
    pub group: Group,
    /// How many entries.
    pub entries: usize,
    /// Their bytes, unpacked.
    pub bytes: usize,
    /// Their bytes in the file: an estimate, for what is compressed together cannot be parted exactly.
    pub stored: usize,
}

/// One difference between two initrds.
#[derive(Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Only in the second.
    Added(&'a Member),
    /// Only in the first.
    Removed(&'a Member),
    /// In both, with other contents, mode, owner or device.
    Changed(&'a Member, &'a Member),
}

/// Tells the group of a member.
pub fn group_of(member: &Member) -> Group {
    let path = member.path.strip_prefix("usr/").unwrap_or(&member.path);
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| path.starts_with(prefix));
    let file = path.rsplit('/').next().unwrap_or(path);
    let executable = member.mode & TYPE == 0o100_000 && member.mode & 0o111 != 0;
    if path == "init" || path == "lib/systemd/systemd" {
        Group::Init
    } else if starts(&["lib/modules/"]) {
        Group::Modules
    } else if starts(&["lib/firmware/", "kernel/x86/microcode/"]) {
        Group::Firmware
    } else if starts(&["lib"]) && (file.ends_with(".so") || file.contains(".so.")) {
        Group::Libraries
    } else if starts(&["bin/", "sbin/", "libexec/", "local/"]) || executable {
        Group::Tools
    } else {
        Group::Other
    }
}

/// Parts the bytes of an initrd among the groups.
pub fn shares(segments: &[Segment]) -> Result<Vec<Share>> {
    let mut total: BTreeMap<Group, Share> = BTreeMap::new();
    for segment in segments {
        let mut contents: BTreeMap<Group, Vec<u8>> = BTreeMap::new();
        for member in &segment.members {
            let group = group_of(member);
            let share = total.entry(group).or_insert(Share { group, entries: 0, bytes: 0, stored: 0 });
            share.entries += 1;
            share.bytes += member.data.len();
            let bytes = contents.entry(group).or_default();
            bytes.extend_from_slice(member.path.as_bytes());
            bytes.extend_from_slice(&member.data);
        }
        for (group, stored) in parted(segment, &contents)? {
            if let Some(share) = total.get_mut(&group) {
                share.stored += stored;
            }
        }
    }
    Ok(total.into_values().collect())
}

/// Parts a segment's stored bytes by what each group takes when it is compressed alone, fast.
fn parted(segment: &Segment, contents: &BTreeMap<Group, Vec<u8>>) -> Result<Vec<(Group, usize)>> {
    let mut weights = Vec::new();
    for (group, bytes) in contents {
        let weight = match segment.codec {
            Codec::Plain => bytes.len(),
            _ => zstd::bulk::compress(bytes, 1)?.len(),
        };
        weights.push((*group, weight));
    }
    let sum: usize = weights.iter().map(|(_, weight)| weight).sum();
    Ok(weights.into_iter().map(|(group, weight)| (group, segment.stored * weight / sum.max(1))).collect())
}

/// The largest files, largest first.
pub fn largest(segments: &[Segment], count: usize) -> Vec<&Member> {
    let mut members: Vec<&Member> = segments.iter().flat_map(|segment| &segment.members).collect();
    members.sort_by_key(|member| std::cmp::Reverse(member.data.len()));
    members.truncate(count);
    members
}

/// All differences by path. A later segment replaces what an earlier one has, as in the kernel; times do not count.
pub fn changes<'a>(a: &'a [Segment], b: &'a [Segment]) -> Vec<Change<'a>> {
    let (a, b) = (by_path(a), by_path(b));
    let mut changes = Vec::new();
    for (path, old) in &a {
        match b.get(path) {
            None => changes.push(Change::Removed(old)),
            Some(new) if differ(old, new) => changes.push(Change::Changed(old, new)),
            Some(_) => {}
        }
    }
    changes.extend(b.iter().filter(|(path, _)| !a.contains_key(*path)).map(|(_, new)| Change::Added(new)));
    changes
}

fn by_path(segments: &[Segment]) -> BTreeMap<&str, &Member> {
    segments
        .iter()
        .flat_map(|segment| &segment.members)
        .map(|member| (member.path.as_str(), member))
        .collect()
}

fn differ(a: &Member, b: &Member) -> bool {
    (a.mode, a.owner, a.device, &a.data) != (b.mode, b.owner, b.device, &b.data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(path: &str, mode: u32, data: &[u8]) -> Member {
        Member { path: path.into(), mode, owner: (0, 0), mtime: 0, device: (0, 0), data: data.into() }
    }

    #[test]
    fn groups_by_path() {
        let group = |path: &str| group_of(&member(path, 0o100_755, b""));
        assert_eq!(group("init"), Group::Init);
        assert_eq!(group("lib/modules/6.1/kernel/a.ko"), Group::Modules);
        assert_eq!(group("usr/lib/firmware/a"), Group::Firmware);
        assert_eq!(group("usr/lib/x86_64-linux-gnu/libc.so.6"), Group::Libraries);
        assert_eq!(group("usr/lib64/libfoo.so"), Group::Libraries);
        assert_eq!(group("usr/lib/dracut/hooks/x.sh"), Group::Tools);
        assert_eq!(group("sbin/mkfs.xfs"), Group::Tools);
        assert_eq!(group_of(&member("etc/hosts", 0o100_644, b"")), Group::Other);
    }

    #[test]
    fn shares_add_up() {
        let members = vec![member("init", 0o100_755, &[7; 5000]), member("etc/a", 0o100_644, b"abc")];
        let segments = [Segment { codec: Codec::Zstd, stored: 100, members }];
        let shares = shares(&segments).unwrap();
        assert_eq!(
            shares.iter().map(|share| (share.group, share.bytes)).collect::<Vec<_>>(),
            [(Group::Init, 5000), (Group::Other, 3)]
        );
        assert!((98..=100).contains(&shares.iter().map(|share| share.stored).sum::<usize>()));
        assert_eq!(largest(&segments, 1)[0].path, "init");
    }

    #[test]
    fn every_kind_of_change_and_the_last_segment_wins() {
        let segment = |members| Segment { codec: Codec::Plain, stored: 1, members };
        let a = [segment(vec![member("gone", 1, b""), member("same", 1, b"x"), member("mode", 1, b"")])];
        let b = [
            segment(vec![member("same", 1, b"overridden"), member("mode", 2, b"")]),
            segment(vec![member("same", 1, b"x"), member("new", 1, b"")]),
        ];
        let names: Vec<String> = changes(&a, &b)
            .iter()
            .map(|change| match change {
                Change::Added(member) => format!("+{}", member.path),
                Change::Removed(member) => format!("-{}", member.path),
                Change::Changed(member, _) => format!("~{}", member.path),
            })
            .collect();
        assert_eq!(names, ["-gone", "~mode", "+new"]);
    }
}
