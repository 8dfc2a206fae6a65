//! One look at one file system: mounted where nobody sees it, and never written.

use std::ffi::{CString, c_int};
use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, anyhow};
use nii::secret::Secret;
use nii::v1::SshHostKey;
use rustix::io::Errno;
use rustix::ioctl::{Getter, Setter, ioctl};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
use rustix::thread::UnshareFlags;

use crate::linux::disk::contents::bytes::Extent;
use crate::linux::disk::loops::Loop;
use crate::linux::root::Root;

/// The keys that sshd has by default; older kinds are not worth keeping.
const KINDS: [&str; 3] = ["ed25519", "ecdsa", "rsa"];
/// No key is longer.
const KEY_MAX: u64 = 64 << 10;
/// Where a root may be on a btrfs: itself, or a subvolume by the names of Fedora, openSUSE and Ubuntu, Debian.
const ROOTS: [&str; 4] = ["", "root/", "@/", "@rootfs/"];
/// linux/fs.h: _IO(0x12, 93), _IO(0x12, 94), with a pointer to an int.
const BLKROSET: rustix::ioctl::Opcode = 0x125d;
const BLKROGET: rustix::ioctl::Opcode = 0x125e;

/// Keys that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The keys.
    pub keys: Vec<SshHostKey>,
    /// When the newest was written, in seconds since 1970.
    pub modified: i64,
}

/// Looks for host keys on a device, or a part of one, with a file system of this format; `None` if there are none.
///
/// # Errors
/// When it cannot be mounted or read.
pub fn at(place: &Extent, format: &str) -> anyhow::Result<Option<Found>> {
    // A thread of its own: the namespace is the thread's, and ends with it.
    let looked = std::thread::scope(|scope| scope.spawn(|| alone(place, format)).join());
    looked.map_err(|_| anyhow!("a panic"))?
}

fn alone(place: &Extent, format: &str) -> anyhow::Result<Option<Found>> {
    let _guard = ReadOnly::set(&place.device)?;
    let part = if place.is_whole()? { None } else { Some(Loop::over(place)?) };
    let device = part.as_ref().map_or(place.device.as_path(), Loop::path);
    let folder = folder()?;
    // SAFETY: this thread shares no file descriptor table by this flag; only its mounts and its own working directory
    // become its own.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.context("making a mount namespace")?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context("making the mounts private")?;
    mount_read_only(device, format, &folder.0)?;
    let found = keys(&Root::open(&folder.0)?);
    unmount(&folder.0, UnmountFlags::NOFOLLOW).context("unmounting it")?;
    found
}

/// A folder to mount on; it is removed afterwards.
struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

fn folder() -> anyhow::Result<Folder> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("camphor-salvage-{}-{number}", std::process::id()));
    fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
    Ok(Folder(path))
}

/// Options that keep the kernel from replaying the log; the first that it knows is taken.
fn options(format: &str) -> &'static [&'static str] {
    match format {
        "ext4" => &["noload"],
        // Both halves of a mirror have the same id.
        "xfs" => &["norecovery,nouuid"],
        "btrfs" => &["rescue=nologreplay", "nologreplay"],
        _ => &[],
    }
}

fn mount_read_only(device: &Path, format: &str, folder: &Path) -> anyhow::Result<()> {
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let mut result = Err(Errno::INVAL);
    for data in options(format) {
        let data = CString::new(*data).context("a mount option has a zero byte")?;
        result = mount(device, folder, format, flags, data.as_c_str());
        if result != Err(Errno::INVAL) {
            break;
        }
    }
    result.with_context(|| format!("mounting it read-only as {format}"))
}

fn keys(root: &Root) -> anyhow::Result<Option<Found>> {
    for prefix in ROOTS {
        let mut found = Found { keys: Vec::new(), modified: i64::MIN };
        for kind in KINDS {
            let path = format!("{prefix}etc/ssh/ssh_host_{kind}_key");
            let private = root.read_small(&path, KEY_MAX)?;
            let public = root.read_small(&format!("{path}.pub"), KEY_MAX)?;
            let (Some((private, modified)), Some((public, _))) = (private, public) else { continue };
            let (Ok(private), Ok(public)) = (String::from_utf8(private), String::from_utf8(public)) else {
                continue;
            };
            if private.starts_with("-----BEGIN ") && !public.trim().is_empty() {
                let (private, public) = (Secret::new(private), public.trim().to_owned());
                found.keys.push(SshHostKey { kind: kind.to_owned(), private, public });
                found.modified = found.modified.max(modified);
            }
        }
        if !found.keys.is_empty() {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// A block device that the kernel refuses writes to, until this is dropped.
struct ReadOnly {
    device: File,
    before: c_int,
}

impl ReadOnly {
    fn set(path: &Path) -> anyhow::Result<Self> {
        let device = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        // SAFETY: the opcode stores an int.
        let before = unsafe { ioctl(&device, Getter::<BLKROGET, c_int>::new()) }
            .context("asking whether it is write-protected")?;
        let guard = Self { device, before };
        guard.write(1).context("write-protecting it")?;
        Ok(guard)
    }

    fn write(&self, value: c_int) -> rustix::io::Result<()> {
        // SAFETY: the opcode reads an int.
        unsafe { ioctl(&self.device, Setter::<BLKROSET, c_int>::new(value)) }
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = self.write(self.before);
    }
}
