//! The mounts that everything else needs.

use std::fs;
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

/// File system, mount point, flags, options.
const EARLY: &[(&str, &str, MountFlags, &str)] = &[
    ("proc", "/proc", QUIET, ""),
    ("sysfs", "/sys", QUIET, ""),
    ("devtmpfs", "/dev", MountFlags::NOSUID, "mode=0755"),
    ("tmpfs", "/run", MountFlags::NOSUID.union(MountFlags::NODEV), "mode=0755"),
    ("tmpfs", "/tmp", MountFlags::NOSUID.union(MountFlags::NODEV), "mode=1777"),
];
const QUIET: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Mounts them and makes /run/camphor. What did not work, in sentences: the machine may do without.
pub fn early() -> Vec<String> {
    let mut problems = Vec::new();
    for (kind, target, flags, options) in EARLY {
        let _ = fs::create_dir(target);
        let data = std::ffi::CString::new(*options).unwrap_or_default();
        match mount(*kind, *target, *kind, *flags, data.as_c_str()) {
            // The kernel may have mounted /dev already.
            Ok(()) | Err(Errno::BUSY) => {}
            Err(error) => problems.push(format!("mounting {kind} on {target}: {error}")),
        }
    }
    if let Err(error) = fs::create_dir_all("/run/camphor") {
        problems.push(format!("making /run/camphor: {error}"));
    }
    // efibootmgr and friends want it; BIOS machines have no such directory.
    let efi = "/sys/firmware/efi/efivars";
    if Path::new(efi).exists() {
        let _ = mount("efivarfs", efi, "efivarfs", QUIET, c"");
    }
    problems
}
