//! Letting go of what the kernel has built on disks: mounts, swap, device-mapper devices, arrays. No tool is asked: the
//! initrds of others have none, and each is one call of the kernel.
//!
//! What is not there any more is fine. What is busy may be so for a moment (udevd, the looks of others), so it is tried
//! again for a while; then the error says who uses it.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use plan::op::Holder;
use rustix::fs::{FileType, Mode};
use rustix::io::Errno;
use rustix::ioctl::{NoArg, Opcode, Updater, ioctl, opcode};
use rustix::mount::UnmountFlags;

use super::device::find_mapped;
use crate::linux::patience::{comes_true, patiently};
use crate::linux::{mounts, processes};

/// `STOP_ARRAY` of linux/raid/md_u.h.
const STOP_ARRAY: Opcode = opcode::none(9, 0x32);
/// `DM_DEV_REMOVE` of linux/dm-ioctl.h.
const DM_DEV_REMOVE: Opcode = opcode::read_write::<DmIoctl>(0xfd, 4);
/// The oldest version of device-mapper's interface that has all this; kernels take any minor version below theirs.
const DM_VERSION: [u32; 3] = [4, 0, 0];
const DM_CONTROL: &str = "/dev/mapper/control";

/// `struct dm_ioctl` of linux/dm-ioctl.h.
#[repr(C)]
struct DmIoctl {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event_number: u32,
    padding: u32,
    device: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
}

/// Lets go of it; programs that run in `new_root` are ended if it is a mount there.
///
/// # Errors
/// When it is in use and stays so, with its users; when it is not the one that is meant; when the kernel refuses.
pub fn release(sys: &Path, new_root: &Path, holder: &Holder) -> anyhow::Result<()> {
    match holder {
        Holder::Mount { path } => unmount(Path::new(path), new_root),
        Holder::Swap { device } => stop_swapping(device),
        Holder::Mapped { name, uuid } => unmap(sys, name, uuid.as_deref()),
        Holder::Array { node } => stop_array(sys, Path::new(node)),
    }
}

/// Unmounts `path` and what is below it, the last first. Never lazily.
///
/// # Errors
/// When something is in use and stays so.
pub fn unmount(path: &Path, new_root: &Path) -> anyhow::Result<()> {
    if path.starts_with(new_root) {
        processes::end_all_in(new_root);
    }
    for mount in mounts::below(path)?.iter().rev() {
        match patiently(|| rustix::mount::unmount(&mount.path, UnmountFlags::NOFOLLOW)) {
            // Nothing is mounted there: it went together with another.
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
            Err(Errno::BUSY) => {
                let inside = mounts::below(Path::new(&mount.path))?;
                let inside = inside.iter().filter(|inner| inner.path != mount.path);
                let mut users = processes::users(Path::new(&mount.path));
                users.extend(inside.map(|inner| format!("the mount on {}", inner.path)));
                return Err(busy(&users)).with_context(|| format!("unmounting {}", mount.path));
            }
            Err(error) => return Err(error).with_context(|| format!("unmounting {}", mount.path)),
        }
    }
    Ok(())
}

/// swapoff(2).
///
/// # Errors
/// When there is too little memory for what is in it, or the device fails.
pub fn stop_swapping(device: &str) -> anyhow::Result<()> {
    let path = CString::new(device).context("a device's name has a zero byte")?;
    // SAFETY: the call reads a string that ends in zero.
    if unsafe { libc::swapoff(path.as_ptr()) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match Errno::from_io_error(&error) {
        // Not swapped on, or no such node.
        Some(Errno::INVAL | Errno::NOENT | Errno::NXIO) => Ok(()),
        _ => Err(error).with_context(|| format!("stopping to swap on {device}")),
    }
}

/// Takes a device-mapper device away, and the nodes and links that tools made for it where no udevd does.
///
/// # Errors
/// When it has another uuid than `uuid`, or is in use and stays so.
pub fn unmap(sys: &Path, name: &str, uuid: Option<&str>) -> anyhow::Result<()> {
    let Some((kernel, found)) = find_mapped(sys, name)? else {
        forget_nodes(name);
        return Ok(());
    };
    if let Some(wanted) = uuid {
        ensure!(found == wanted, "{name} is {found}, not {wanted}; it was not touched");
    }
    let control = dm_control(sys)?;
    let removed = patiently(|| {
        let mut request = removal(name)?;
        // SAFETY: the opcode reads and writes a `struct dm_ioctl` of the size that it says, and no data behind it.
        unsafe { ioctl(&control, Updater::<DM_DEV_REMOVE, DmIoctl>::new(&mut request)) }
    });
    match removed {
        Ok(()) | Err(Errno::NXIO) => {
            forget_nodes(name);
            Ok(())
        }
        Err(Errno::BUSY) => Err(busy(&users(sys, &kernel, &[&format!("/dev/mapper/{name}")])?))
            .with_context(|| format!("taking the mapping {name} ({kernel}) away")),
        Err(error) => Err(error).with_context(|| format!("taking the mapping {name} ({kernel}) away")),
    }
}

/// Stops an array, and waits until the kernel has forgotten it.
///
/// # Errors
/// When it is in use and stays so.
pub fn stop_array(sys: &Path, node: &Path) -> anyhow::Result<()> {
    let kernel = node.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // The node alone says nothing: opening it would make an array.
    let state = sys.join("class/block").join(&kernel).join("md/array_state");
    let is_gone = || fs::read_to_string(&state).map_or(true, |state| state.trim() == "clear");
    if is_gone() {
        return Ok(());
    }
    let stopped = patiently(|| {
        let array = File::open(node).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        // SAFETY: the opcode takes no argument.
        unsafe { ioctl(&array, NoArg::<STOP_ARRAY>::new()) }
    });
    match stopped {
        Ok(()) => {}
        Err(_) if is_gone() => return Ok(()),
        Err(Errno::BUSY) => {
            return Err(busy(&users(sys, &kernel, &[])?))
                .with_context(|| format!("stopping the array {}", node.display()));
        }
        Err(error) => {
            return Err(error).with_context(|| format!("stopping the array {}", node.display()));
        }
    }
    ensure!(comes_true(is_gone), "the array {} was stopped, and does not go", node.display());
    Ok(())
}

/// Whoever uses a block device: what lies on it, mounts, programs that have its node (or one of `nodes`) open.
fn users(sys: &Path, kernel: &str, nodes: &[&str]) -> anyhow::Result<Vec<String>> {
    let directory = sys.join("class/block").join(kernel);
    let holders = fs::read_dir(directory.join("holders")).into_iter().flatten().flatten();
    let mut users: Vec<String> =
        holders.map(|holder| holder.file_name().to_string_lossy().into_owned()).collect();
    let number = fs::read_to_string(directory.join("dev")).unwrap_or_default();
    let mounted = mounts::below(Path::new("/"))?;
    let here = mounted.into_iter().filter(|mount| mount.device == number.trim());
    users.extend(here.map(|mount| format!("the mount on {}", mount.path)));
    let node = PathBuf::from(format!("/dev/{kernel}"));
    let nodes = nodes.iter().map(PathBuf::from).chain([node]);
    users.extend(nodes.flat_map(|node| processes::users(&node)));
    Ok(users)
}

fn busy(users: &[String]) -> anyhow::Error {
    let users = if users.is_empty() { "something that /proc does not show".into() } else { users.join(", ") };
    anyhow::Error::new(Errno::BUSY).context(format!("it is in use by: {users}"))
}

/// A request to remove the device of this name.
fn removal(name: &str) -> Result<DmIoctl, Errno> {
    let mut request = DmIoctl {
        version: DM_VERSION,
        data_size: size_of::<DmIoctl>() as u32,
        data_start: 0,
        target_count: 0,
        open_count: 0,
        flags: 0,
        event_number: 0,
        padding: 0,
        device: 0,
        name: [0; 128],
        uuid: [0; 129],
        data: [0; 7],
    };
    // One byte stays zero: it ends the name.
    let place = request.name[..127].get_mut(..name.len()).ok_or(Errno::NAMETOOLONG)?;
    place.copy_from_slice(name.as_bytes());
    Ok(request)
}

/// Device-mapper's control device. Where nothing made its node it is made here, with the number that sysfs says.
fn dm_control(sys: &Path) -> anyhow::Result<File> {
    let path = Path::new(DM_CONTROL);
    if !path.exists() {
        let number = sys.join("class/misc/device-mapper/dev");
        let text = fs::read_to_string(&number).with_context(|| format!("reading {}", number.display()))?;
        let Some((Ok(major), Ok(minor))) = text.trim().split_once(':').map(|(a, b)| (a.parse(), b.parse()))
        else {
            bail!("{} says `{}`, which is no device number", number.display(), text.trim());
        };
        fs::create_dir_all("/dev/mapper").context("making /dev/mapper")?;
        let (mode, number) = (Mode::RUSR | Mode::WUSR, rustix::fs::makedev(major, minor));
        rustix::fs::mknodat(rustix::fs::CWD, path, FileType::CharacterDevice, mode, number)
            .with_context(|| format!("making {DM_CONTROL}"))?;
    }
    File::open(path).with_context(|| format!("opening {DM_CONTROL}"))
}

/// Removes what dmsetup, lvm and cryptsetup make for a device where no udevd does. Left behind, `vgcreate` would refuse a
/// group's name because its directory is there. With udevd, it was faster, or they are links that it removes as well.
fn forget_nodes(name: &str) {
    let _ = fs::remove_file(Path::new("/dev/mapper").join(name));
    let Some((group, volume)) = volume_of(name) else { return };
    let directory = Path::new("/dev").join(group);
    let link = directory.join(volume);
    if link.is_symlink() && fs::remove_file(&link).is_ok() {
        // Refused while other volumes are in it.
        let _ = fs::remove_dir(&directory);
    }
}

/// Group and volume of the name of a logical volume: `GROUP-VOLUME`, with hyphens of either doubled.
fn volume_of(name: &str) -> Option<(String, String)> {
    let hidden = name.replace("--", "\0");
    let (group, volume) = hidden.split_once('-')?;
    Some((group.replace('\0', "-"), volume.replace('\0', "-")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_gets_what_it_expects() {
        assert_eq!(size_of::<DmIoctl>(), 312);
        assert_eq!(std::mem::offset_of!(DmIoctl, name), 48);
        assert_eq!((STOP_ARRAY, DM_DEV_REMOVE), (0x932, 0xc138_fd04));
        let request = removal("vg0-root").unwrap();
        assert_eq!(request.name[..9], *b"vg0-root\0");
        assert!(removal(&"x".repeat(127)).is_ok() && removal(&"x".repeat(128)).is_err());
    }

    #[test]
    fn a_volumes_name_is_taken_apart() {
        let parts = |name| volume_of(name);
        assert_eq!(parts("vg0-root"), Some(("vg0".into(), "root".into())));
        assert_eq!(parts("my--vg-a--b"), Some(("my-vg".into(), "a-b".into())));
        assert_eq!(parts("cryptdata"), None);
    }

    #[test]
    fn what_is_not_there_is_fine() {
        let sys = tempfile::tempdir().unwrap();
        fs::create_dir_all(sys.path().join("block")).unwrap();
        let root = tempfile::tempdir().unwrap();
        for holder in [
            Holder::Mount { path: root.path().to_string_lossy().into_owned() },
            Holder::Swap { device: "/dev/no-such-swap".into() },
            Holder::Mapped { name: "no-such-mapping".into(), uuid: None },
            Holder::Array { node: "/dev/md4711".into() },
        ] {
            release(sys.path(), root.path(), &holder).unwrap();
        }
    }

    #[test]
    fn another_mapping_of_that_name_is_left_alone() {
        let sys = tempfile::tempdir().unwrap();
        let dm = sys.path().join("block/dm-0/dm");
        fs::create_dir_all(&dm).unwrap();
        fs::write(dm.join("name"), "data\n").unwrap();
        fs::write(dm.join("uuid"), "CRYPT-LUKS2-aa-data\n").unwrap();
        let error = unmap(sys.path(), "data", Some("CRYPT-LUKS2-bb-data")).unwrap_err();
        assert!(error.to_string().contains("is CRYPT-LUKS2-aa-data, not CRYPT-LUKS2-bb-data"), "{error}");
    }
}
