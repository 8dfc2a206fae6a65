//! Loading the next kernel: kexec_file_load(2), which Secure Boot's lockdown allows for signed kernels.

use std::ffi::{CString, c_int, c_long, c_ulong};
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, ensure};

/// KEXEC_FILE_NO_INITRAMFS of linux/kexec.h.
const NO_INITRAMFS: c_ulong = 4;

/// Loads a kernel with its initrd; reboot(2) with LINUX_REBOOT_CMD_KEXEC starts it.
///
/// # Errors
/// When the kernel refuses: no such support, a wrong signature, no memory.
pub fn load(kernel: &OwnedFd, initrd: Option<&OwnedFd>, command_line: &str) -> anyhow::Result<()> {
    let text = CString::new(command_line).context("the kernel's command line has a zero byte")?;
    let (initrd, flags) = match initrd {
        Some(initrd) => (initrd.as_raw_fd(), 0),
        None => (-1, NO_INITRAMFS),
    };
    let (kernel, length): (c_int, c_ulong) = (kernel.as_raw_fd(), text.as_bytes_with_nul().len() as c_ulong);
    // SAFETY: the system call reads `length` bytes of `text`, its final zero among them, and the two files, all of
    // which live until it returns; it writes no memory of ours.
    let result: c_long =
        unsafe { libc::syscall(libc::SYS_kexec_file_load, kernel, initrd, length, text.as_ptr(), flags) };
    let error = std::io::Error::last_os_error();
    ensure!(result == 0, anyhow::Error::new(error).context("loading the kernel for kexec"));
    Ok(())
}
