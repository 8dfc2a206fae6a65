//! Mounting below the new root, unmounting it, and writing it out. What is mounted is read from the kernel each time
//! (/proc/self/mountinfo); nothing is remembered that could be wrong.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

use super::patience::patiently;
use super::processes;

/// One line of /proc/self/mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPoint {
    /// `major:minor` of the file system.
    pub device: String,
    /// Where.
    pub path: String,
    /// File system type.
    pub format: String,
    /// What is mounted, as in `/dev/vda2`.
    pub source: String,
}

/// Parses proc_pid_mountinfo(5), in the order of mounting.
pub fn parse_mountinfo(text: &str) -> Vec<MountPoint> {
    let parse = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(2);
        let mut right = right.split(' ');
        Some(MountPoint {
            device: left.next()?.to_owned(),
            path: unescape(left.nth(1)?),
            format: right.next()?.to_owned(),
            source: unescape(right.next()?),
        })
    };
    text.lines().filter_map(parse).collect()
}

/// Undoes the kernel's `\040` for spaces and the like.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(char::from(byte));
                out.push_str(&part[3..]);
            }
            None => {
                out.push('\\');
                out.push_str(part);
            }
        }
    }
    out
}

/// What is mounted on `root` and below, in the order of mounting.
///
/// # Errors
/// When /proc cannot be read.
pub fn below(root: &Path) -> anyhow::Result<Vec<MountPoint>> {
    let text = fs::read_to_string("/proc/self/mountinfo").context("reading /proc/self/mountinfo")?;
    Ok(parse_mountinfo(&text).into_iter().filter(|mount| Path::new(&mount.path).starts_with(root)).collect())
}

/// What is to be mounted.
pub struct Mount<'a> {
    /// The device's node, or the name of a virtual file system.
    pub source: &'a str,
    /// File system type.
    pub format: &'a str,
    /// Options as in fstab(5); those of userland (`nofail`, `x-…`) mean nothing here.
    pub options: &'a [String],
}

/// Mounts on an open directory, whose path is `path`. Does nothing if the same is mounted there already.
///
/// # Errors
/// When something else is mounted there, or the kernel refuses.
pub fn mount(what: &Mount<'_>, directory: &OwnedFd, path: &Path) -> anyhow::Result<()> {
    if let Some(there) = below(path)?.iter().rev().find(|mount| Path::new(&mount.path) == path) {
        let same = there.source == what.source && there.format == what.format;
        ensure!(same, "{} ({}) is mounted on {} already", there.source, there.format, path.display());
        return Ok(());
    }
    let (flags, data) = split_options(what.options);
    // The directory was resolved within the new root; its path could lead elsewhere by now.
    let target = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let data = CString::new(data).context("a mount option has a zero byte")?;
    rustix::mount::mount(what.source, target, what.format, flags, data.as_c_str())
        .with_context(|| format!("mounting {} on {}", what.source, path.display()))
}

/// Flags, and the data for the file system itself.
fn split_options(options: &[String]) -> (MountFlags, String) {
    let mut flags = MountFlags::empty();
    let mut data: Vec<&str> = Vec::new();
    for option in options {
        match option.as_str() {
            "ro" => flags |= MountFlags::RDONLY,
            "noatime" => flags |= MountFlags::NOATIME,
            "nodiratime" => flags |= MountFlags::NODIRATIME,
            "relatime" => flags |= MountFlags::RELATIME,
            "strictatime" => flags |= MountFlags::STRICTATIME,
            "lazytime" => flags |= MountFlags::LAZYTIME,
            "nodev" => flags |= MountFlags::NODEV,
            "nosuid" => flags |= MountFlags::NOSUID,
            "noexec" => flags |= MountFlags::NOEXEC,
            "sync" => flags |= MountFlags::SYNCHRONOUS,
            "dirsync" => flags |= MountFlags::DIRSYNC,
            "defaults" | "rw" | "auto" | "noauto" | "nofail" | "nouser" | "user" | "users" | "owner"
            | "group" | "atime" | "diratime" | "dev" | "suid" | "exec" | "async" | "_netdev" => {}
            other if other.starts_with("x-") || other.starts_with("comment=") => {}
            other => data.push(other),
        }
    }
    (flags, data.join(","))
}

/// Writes all file systems on and below `root` out.
///
/// # Errors
/// A write that failed since it was last asked for (syncfs(2)), with the mount point's name.
pub fn sync(root: &Path) -> anyhow::Result<()> {
    for mount in below(root)? {
        let directory = File::open(&mount.path).with_context(|| format!("opening {}", mount.path))?;
        rustix::fs::syncfs(&directory).with_context(|| format!("writing {} out", mount.path))?;
    }
    Ok(())
}

/// Unmounts everything below `root`, and `root`, the last first, after ending the programs that still run in it. Never
/// lazily: what is unmounted is on the disk.
///
/// # Errors
/// When something is still in use; by whom, as far as /proc tells.
pub fn unmount(root: &Path) -> anyhow::Result<()> {
    processes::end_all_in(root);
    sync(root)?;
    for mount in below(root)?.iter().rev() {
        let unmount = || rustix::mount::unmount(&mount.path, UnmountFlags::NOFOLLOW);
        let unmounted = match unmount() {
            // Who had it is gone by now, or about to be: a process between its fork and its exec, an ended one.
            Err(Errno::BUSY) if processes::users(Path::new(&mount.path)).is_empty() => patiently(unmount),
            unmounted => unmounted,
        };
        match unmounted {
            Ok(()) => {}
            Err(Errno::BUSY) => {
                let users = processes::users(Path::new(&mount.path)).join(", ");
                bail!(
                    anyhow::Error::new(Errno::BUSY)
                        .context(format!("unmounting {}, in use by: {users}", mount.path))
                )
            }
            Err(error) => return Err(error).with_context(|| format!("unmounting {}", mount.path)),
        }
    }
    Ok(())
}

/// Whether the kernel has this file system (proc(5), /proc/filesystems).
pub fn kernel_has(format: &str) -> bool {
    let text = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    text.lines().any(|line| line.split_whitespace().next_back() == Some(format))
}

/// The kernel's own file systems, for programs that run in the new root: source, type, place.
/// With `efi` the firmware's variables too, for efibootmgr.
pub fn kernel_filesystems(efi: bool) -> Vec<(&'static str, PathBuf)> {
    let mut list = vec![
        ("devtmpfs", PathBuf::from("dev")),
        ("devpts", PathBuf::from("dev/pts")),
        ("proc", PathBuf::from("proc")),
        ("sysfs", PathBuf::from("sys")),
        ("tmpfs", PathBuf::from("run")),
    ];
    if efi {
        list.push(("efivarfs", PathBuf::from("sys/firmware/efi/efivars")));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_with_optional_fields_and_escapes() {
        let text = "36 35 98:0 /mnt1 /mnt/my\\040disk rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n\
                    37 35 0:5 / /dev rw - devtmpfs devtmpfs rw\n";
        let mounts = parse_mountinfo(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!(
            mounts[0],
            MountPoint {
                device: "98:0".into(),
                path: "/mnt/my disk".into(),
                format: "ext3".into(),
                source: "/dev/root".into(),
            }
        );
        assert_eq!((mounts[1].path.as_str(), mounts[1].format.as_str()), ("/dev", "devtmpfs"));
    }

    #[test]
    fn options_are_flags_data_or_nothing() {
        let options =
            ["defaults", "noatime", "nodev", "x-systemd.growfs", "nofail", "discard", "data=ordered"];
        let (flags, data) = split_options(&options.map(str::to_owned));
        assert_eq!(flags, MountFlags::NOATIME | MountFlags::NODEV);
        assert_eq!(data, "discard,data=ordered");
    }
}
