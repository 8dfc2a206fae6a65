//! Loop devices (loop(4), linux/loop.h): a part of a block device as a device of its own, which cannot be written to and goes
//! away by itself.

use std::ffi::{c_int, c_void};
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rustix::fs::{FileType, Mode};
use rustix::io::Errno;
use rustix::ioctl::{IntegerSetter, Ioctl, IoctlOutput, NoArg, Opcode, Setter, ioctl};

use super::contents::bytes::Extent;

const CONTROL: &str = "/dev/loop-control";
/// `MISC_MAJOR` and `LOOP_CTRL_MINOR` of linux/major.h and linux/miscdevice.h.
const CONTROL_NUMBER: (u32, u32) = (10, 237);
const LOOP_SET_FD: Opcode = 0x4c00;
const LOOP_CLR_FD: Opcode = 0x4c01;
const LOOP_SET_STATUS64: Opcode = 0x4c04;
const LOOP_CTL_GET_FREE: Opcode = 0x4c82;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
/// Others may take a free device before us, as often as this.
const TRIES: usize = 16;

/// `struct loop_info64` of linux/loop.h.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// A read-only loop device. When this is dropped and nothing else has it open or mounted, the kernel takes it away.
pub struct Loop {
    path: PathBuf,
    _open: File,
}

impl Loop {
    /// One over a part of a block device.
    ///
    /// # Errors
    /// When the kernel has no loop devices, or refuses.
    pub fn over(extent: &Extent) -> anyhow::Result<Self> {
        let control = control()?;
        let name = extent.device.display();
        // Opened for reading: that makes the loop device read-only.
        let below = File::open(&extent.device).with_context(|| format!("opening {name}"))?;
        let (path, open) =
            bound(&control, &below).with_context(|| format!("making a loop device over {name}"))?;
        let set = set(&open, extent).with_context(|| format!("telling {} its place", path.display()));
        if set.is_err() {
            // SAFETY: the opcode takes no argument. Nothing else ends a device that does not know yet that it ends by itself.
            let _ = unsafe { ioctl(&open, NoArg::<LOOP_CLR_FD>::new()) };
        }
        set.map(|()| Self { path, _open: open })
    }

    /// Its node.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether the kernel has loop devices.
pub fn are_there() -> bool {
    control().is_ok()
}

/// The device that gives others. Where nothing made its node it is made here: opening it lets the kernel ask the initrd's
/// modprobe, if there is one, for the module.
fn control() -> anyhow::Result<File> {
    let path = Path::new(CONTROL);
    let made = !path.exists();
    if made {
        let (mode, number) =
            (Mode::RUSR | Mode::WUSR, rustix::fs::makedev(CONTROL_NUMBER.0, CONTROL_NUMBER.1));
        rustix::fs::mknodat(rustix::fs::CWD, path, FileType::CharacterDevice, mode, number)
            .with_context(|| format!("making {CONTROL}"))?;
    }
    match File::open(path) {
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NODEV | Errno::NXIO)) => {
            if made {
                let _ = fs::remove_file(path);
            }
            bail!("this initrd has no loop devices: its kernel module `loop` is missing")
        }
        control => control.with_context(|| format!("opening {CONTROL}")),
    }
}

/// A free device that has `below` behind it.
fn bound(control: &File, below: &File) -> anyhow::Result<(PathBuf, File)> {
    let descriptor = usize::try_from(below.as_raw_fd()).context("a descriptor is negative")?;
    for _ in 0..TRIES {
        // SAFETY: the opcode takes no argument, and its result is a number.
        let number = unsafe { ioctl(control, GetFree) }.context("looking for a free one")?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let open = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        // SAFETY: the opcode takes a file descriptor, which is open.
        match unsafe { ioctl(&open, IntegerSetter::<LOOP_SET_FD>::new_usize(descriptor)) } {
            Ok(()) => return Ok((path, open)),
            Err(Errno::BUSY) => {}
            Err(error) => return Err(error).with_context(|| format!("binding {}", path.display())),
        }
    }
    bail!("others took every free one, {TRIES} times")
}

fn set(open: &File, extent: &Extent) -> rustix::io::Result<()> {
    let info = LoopInfo {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: extent.start,
        size_limit: extent.length,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: LO_FLAGS_AUTOCLEAR,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
    // SAFETY: the opcode reads a `struct loop_info64`.
    unsafe { ioctl(open, Setter::<LOOP_SET_STATUS64, LoopInfo>::new(info)) }
}

/// `LOOP_CTL_GET_FREE`: the number is the return value.
struct GetFree;

// SAFETY: the opcode neither reads nor writes memory of ours.
unsafe impl Ioctl for GetFree {
    type Output = c_int;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        LOOP_CTL_GET_FREE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> rustix::io::Result<c_int> {
        Ok(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_gets_what_it_expects() {
        assert_eq!(size_of::<LoopInfo>(), 232);
        assert_eq!(std::mem::offset_of!(LoopInfo, flags), 52);
    }
}
