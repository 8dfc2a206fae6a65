//! What the kernel has built on disks, and where they are in use, as facts: /sys/block/NAME/slaves says what lies on what,
//! mountinfo and /proc/swaps who uses it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use plan::facts::{Stacked, StackedKind};

use super::partitions;
use super::survey::natural;
use crate::linux::mounts::{MountPoint, parse_mountinfo};

/// Block devices that lie on files or memory.
const NOT_ON_DISKS: [&str; 4] = ["loop", "ram", "zram", "fd"];

/// Everything that is built on disks, by kernel name, and the disks and partitions that are mounted or swapped on.
///
/// # Errors
/// When /sys or /proc cannot be read.
pub fn survey(sys: &Path, proc: &Path) -> anyhow::Result<Vec<Stacked>> {
    let directory = sys.join("block");
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))? {
        let name = entry.with_context(|| format!("reading {}", directory.display()))?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.retain(|name| !NOT_ON_DISKS.iter().any(|prefix| name.starts_with(prefix)));
    names.sort_by_cached_key(|name| natural(name));
    let users = Users::read(sys, proc, &names)?;
    let mut found = Vec::new();
    for name in &names {
        let block = sys.join("class/block").join(name);
        let on: Vec<String> = folder(&block.join("slaves")).iter().map(|below| node(below)).collect();
        let is_stacked = !on.is_empty();
        let kind = if is_stacked { kind(&block, name) } else { StackedKind::Plain };
        let whole = users.of(name, &block, kind, on);
        found.extend(Some(whole).filter(|one| is_stacked || is_used(one)));
        for part in partitions::known(sys, name)? {
            let on = if is_stacked { vec![node(name)] } else { Vec::new() };
            let one = users.of(&part.name, &block.join(&part.name), StackedKind::Plain, on);
            found.extend(Some(one).filter(|one| is_stacked || is_used(one)));
        }
    }
    Ok(found)
}

fn is_used(one: &Stacked) -> bool {
    one.swap || !one.mounts.is_empty()
}

fn kind(block: &Path, name: &str) -> StackedKind {
    let read =
        |file: &str| fs::read_to_string(block.join("dm").join(file)).map(|text| text.trim_end().to_owned());
    match read("name") {
        Ok(name) => StackedKind::Mapped { name, uuid: read("uuid").unwrap_or_default() },
        Err(_) if name.starts_with("md") => StackedKind::Array,
        Err(_) => StackedKind::Other,
    }
}

fn node(name: &str) -> String {
    format!("/dev/{}", name.replace('!', "/"))
}

/// Names in a folder, sorted; none if there is no such folder.
fn folder(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_by_cached_key(|name| natural(name));
    names
}

/// Mounts and swap of this system.
struct Users {
    mounts: Vec<MountPoint>,
    /// Nodes, and their numbers where there are such.
    swaps: Vec<(String, Option<String>)>,
    /// Device-mapper names and nodes.
    mapped: Vec<(String, String)>,
    /// The nodes of each btrfs that is mounted: mountinfo says but one, and a number of no device.
    btrfs: Vec<Vec<String>>,
}

impl Users {
    fn read(sys: &Path, proc: &Path, names: &[String]) -> anyhow::Result<Self> {
        let mountinfo = proc.join("self/mountinfo");
        let text =
            fs::read_to_string(&mountinfo).with_context(|| format!("reading {}", mountinfo.display()))?;
        // A kernel without swap support has no such file.
        let swaps = parse_swaps(&fs::read_to_string(proc.join("swaps")).unwrap_or_default());
        let number = |path: &String| {
            let found = fs::metadata(path).ok()?.rdev();
            Some(format!("{}:{}", rustix::fs::major(found), rustix::fs::minor(found)))
        };
        let swaps = swaps.into_iter().map(|path| (path.clone(), number(&path))).collect();
        let mapped = names.iter().filter_map(|name| {
            let of = fs::read_to_string(sys.join("class/block").join(name).join("dm/name")).ok()?;
            Some((format!("/dev/mapper/{}", of.trim_end()), node(name)))
        });
        let btrfs = sys.join("fs/btrfs");
        let members = folder(&btrfs).into_iter().map(|uuid| folder(&btrfs.join(uuid).join("devices")));
        Ok(Self {
            mounts: parse_mountinfo(&text),
            swaps,
            mapped: mapped.collect(),
            btrfs: members.map(|names| names.iter().map(|name| node(name)).collect()).collect(),
        })
    }

    /// A device with its uses.
    fn of(&self, name: &str, directory: &Path, kind: StackedKind, on: Vec<String>) -> Stacked {
        let node = node(name);
        let number = fs::read_to_string(directory.join("dev")).unwrap_or_default().trim().to_owned();
        let is_it =
            |path: &str| path == node || self.mapped.iter().any(|(mapper, of)| mapper == path && *of == node);
        let is_on = |mount: &&MountPoint| {
            let members = || self.btrfs.iter().filter(|members| members.contains(&node));
            mount.device == number
                || is_it(&mount.source)
                || members().any(|members| members.contains(&self.kernel(&mount.source)))
        };
        let mounts = self.mounts.iter().filter(is_on).map(|mount| mount.path.clone()).collect();
        let swap = self.swaps.iter().any(|(path, found)| is_it(path) || found.as_ref() == Some(&number));
        Stacked { node, kind, on, mounts, swap }
    }

    /// The kernel's node for a path that may be device-mapper's.
    fn kernel(&self, path: &str) -> String {
        let mapped = self.mapped.iter().find(|(mapper, _)| mapper == path).map(|(_, node)| node.as_str());
        mapped.unwrap_or(path).to_owned()
    }
}

/// The devices of /proc/swaps (proc(5)): first column, after a line of headings.
fn parse_swaps(text: &str) -> Vec<String> {
    text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree::tree;
    use super::*;

    /// A block device with its number, on others; and its partitions.
    fn block(root: &Path, name: &str, number: &str, on: &[&str], partitions: u32) {
        let block = format!("sys/class/block/{name}");
        fs::create_dir_all(root.join("sys/block").join(name)).unwrap();
        tree(root, &[(&format!("{block}/dev"), &format!("{number}\n"))]);
        on.iter().for_each(|below| tree(root, &[(&format!("{block}/slaves/{below}"), "")]));
        let separator = if name.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
        let (major, minor) = number.split_once(':').unwrap();
        for part in 1..=partitions {
            let folder = format!("{block}/{name}{separator}{part}");
            let minor = minor.parse::<u32>().unwrap() + part;
            tree(
                root,
                &[
                    (&format!("{folder}/partition"), &format!("{part}\n")),
                    (&format!("{folder}/start"), "2048\n"),
                    (&format!("{folder}/size"), "2048\n"),
                    (&format!("{folder}/dev"), &format!("{major}:{minor}\n")),
                ],
            );
        }
    }

    fn mapped(root: &Path, number: u32, name: &str, uuid: &str, on: &[&str]) {
        let kernel = format!("dm-{number}");
        block(root, &kernel, &format!("253:{number}"), on, 0);
        let dm = format!("sys/class/block/{kernel}/dm");
        tree(
            root,
            &[(&format!("{dm}/name"), &format!("{name}\n")), (&format!("{dm}/uuid"), &format!("{uuid}\n"))],
        );
    }

    /// One line for each: `/dev/dm-0 on /dev/md127 at /mnt swap`.
    fn lines(root: &Path) -> Vec<String> {
        let found = survey(&root.join("sys"), &root.join("proc")).unwrap();
        let line = |one: &Stacked| {
            let on = if one.on.is_empty() { String::new() } else { format!(" on {}", one.on.join("+")) };
            let at = one.mounts.iter().map(|path| format!(" at {path}")).collect::<String>();
            let kind = match &one.kind {
                StackedKind::Plain => "plain".to_owned(),
                StackedKind::Array => "array".to_owned(),
                StackedKind::Mapped { name, uuid } => format!("{name} [{uuid}]"),
                StackedKind::Other => "other".to_owned(),
            };
            format!("{} {kind}{on}{at}{}", one.node, if one.swap { " swap" } else { "" })
        };
        found.iter().map(line).collect()
    }

    fn used(root: &Path, mounts: &str, swaps: &str) {
        let swaps = format!("Filename\tType\tSize\tUsed\tPriority\n{swaps}");
        tree(root, &[("proc/self/mountinfo", mounts), ("proc/swaps", &swaps)]);
    }

    #[test]
    fn volumes_and_luks_on_a_raid1() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        block(root, "sda", "8:0", &[], 2);
        block(root, "sdb", "8:16", &[], 2);
        block(root, "md127", "9:127", &["sda2", "sdb2"], 0);
        mapped(root, 0, "vg0-root", "LVM-aaaa", &["md127"]);
        mapped(root, 1, "vg0-swap", "LVM-aabb", &["md127"]);
        mapped(root, 2, "secret", "CRYPT-LUKS2-11-secret", &["dm-1"]);
        block(root, "loop0", "7:0", &[], 0);
        used(
            root,
            "22 1 253:0 / /newroot rw - ext4 /dev/mapper/vg0-root rw\n23 22 8:1 / /newroot/boot rw - ext4 /dev/sda1 rw\n\
             24 1 7:0 / /live rw - squashfs /dev/loop0 rw\n",
            "/dev/mapper/secret partition 1048572 0 -2\n/dev/sdb1 partition 1048572 0 -2\n",
        );
        assert_eq!(
            lines(root),
            [
                "/dev/dm-0 vg0-root [LVM-aaaa] on /dev/md127 at /newroot",
                "/dev/dm-1 vg0-swap [LVM-aabb] on /dev/md127",
                "/dev/dm-2 secret [CRYPT-LUKS2-11-secret] on /dev/dm-1 swap",
                "/dev/md127 array on /dev/sda2+/dev/sdb2",
                "/dev/sda1 plain at /newroot/boot",
                "/dev/sdb1 plain swap",
            ]
        );
    }

    /// A btrfs of several devices is mounted from one, and has a device number of its own.
    #[test]
    fn what_is_seen_otherwise() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        block(root, "nvme0n1", "259:0", &[], 1);
        block(root, "sda", "8:0", &[], 1);
        block(root, "sdb", "8:16", &[], 0);
        mapped(root, 0, "mpatha", "mpath-3600", &["sdb"]);
        block(root, "bcache0", "252:0", &["sda1"], 0);
        block(root, "md126", "9:126", &["sda1"], 1);
        tree(root, &[("sys/fs/btrfs/11-22/devices/nvme0n1p1", ""), ("sys/fs/btrfs/11-22/devices/dm-0", "")]);
        used(root, "22 1 0:45 / /data rw - btrfs /dev/mapper/mpatha rw\n", "");
        assert_eq!(
            lines(root),
            [
                "/dev/bcache0 other on /dev/sda1",
                "/dev/dm-0 mpatha [mpath-3600] on /dev/sdb at /data",
                "/dev/md126 array on /dev/sda1",
                "/dev/md126p1 plain on /dev/md126",
                "/dev/nvme0n1p1 plain at /data",
            ]
        );
    }
}
