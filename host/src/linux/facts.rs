//! The machine itself, as facts: firmware, kernel, memory, and the programs of the initrd.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;
use plan::facts::{Facts, Firmware};
use uuid::Uuid;

use super::disk::{groups, holders, survey};
use super::{nics, processes};
use crate::machine::Watch;

/// The programs that a plan may ask for.
const TOOLS: [&str; 10] = [
    "busybox",
    "cryptsetup",
    "hdparm",
    "lvm",
    "mdadm",
    "mkfs.btrfs",
    "mkfs.ext4",
    "mkfs.vfat",
    "mkfs.xfs",
    "nvme",
];

/// Reads everything, but for leases: those are the network's to know.
///
/// # Errors
/// When /sys or /proc cannot be read.
pub fn read(sys: &Path, proc: &Path, watch: &mut dyn Watch) -> anyhow::Result<Facts> {
    let meminfo = proc.join("meminfo");
    let meminfo = fs::read_to_string(&meminfo).with_context(|| format!("reading {}", meminfo.display()))?;
    let uname = rustix::system::uname();
    let tools = processes::present(&TOOLS);
    let stacked = holders::survey(sys, proc)?;
    let disks = survey::disks(sys, &stacked, watch)?;
    Ok(Facts {
        firmware: if sys.join("firmware/efi").exists() { Firmware::Efi } else { Firmware::Bios },
        arch: uname.machine().to_string_lossy().into_owned(),
        kernel: uname.release().to_string_lossy().into_owned(),
        memory_total: memory(&meminfo, "MemTotal").context("/proc/meminfo has no MemTotal")?,
        memory_available: memory(&meminfo, "MemAvailable").context("/proc/meminfo has no MemAvailable")?,
        uuid: smbios_uuid(sys),
        groups: groups::on(&disks, watch),
        disks,
        stacked,
        nics: nics::list(sys)?,
        tool_versions: versions(&tools),
        tools,
    })
}

/// VmHWM of /proc/self/status (proc(5)): the most memory that was resident, in KiB.
pub fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// A row of proc_meminfo(5), in bytes.
fn memory(text: &str, row: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(row)?.strip_prefix(':'))?;
    Some(rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// SMBIOS type 1; boards whose maker left it empty have all zeroes or all ones.
fn smbios_uuid(sys: &Path) -> Option<Uuid> {
    let text = fs::read_to_string(sys.join("class/dmi/id/product_uuid")).ok()?;
    Uuid::parse_str(text.trim()).ok().filter(|uuid| !uuid.is_nil() && !uuid.is_max())
}

/// What `mkfs.xfs -V` says: `mkfs.xfs version 6.1.0`.
fn versions(tools: &[String]) -> BTreeMap<String, String> {
    let asked = tools.iter().filter(|tool| *tool == "mkfs.xfs");
    asked.filter_map(|tool| Some((tool.clone(), version(tool)?))).collect()
}

fn version(tool: &str) -> Option<String> {
    let program = processes::find(Path::new("/"), tool).ok()?;
    let output = Command::new(program).arg("-V").stdin(Stdio::null()).output().ok()?;
    String::from_utf8_lossy(&output.stdout).split_whitespace().next_back().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_in_bytes() {
        let text = "MemTotal:       24668752 kB\nMemFree:  1 kB\nMemAvailable:   20000000 kB\n";
        assert_eq!(memory(text, "MemTotal"), Some(24_668_752 * 1024));
        assert_eq!(memory(text, "MemAvailable"), Some(20_000_000 * 1024));
        assert_eq!(memory(text, "Mem"), None);
    }

    #[test]
    fn a_process_has_a_peak() {
        assert!(peak_kib() > 0);
    }

    #[test]
    fn useless_uuids_are_none() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("class/dmi/id");
        fs::create_dir_all(&directory).unwrap();
        let read = |text: &str| {
            fs::write(directory.join("product_uuid"), text).unwrap();
            smbios_uuid(root.path())
        };
        assert_eq!(read("00000000-0000-0000-0000-000000000000\n"), None);
        assert_eq!(read("FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF\n"), None);
        assert_eq!(
            read("4C4C4544-0042-3510-8052-B4C04F4E4D31\n"),
            Some(Uuid::from_u128(0x4c4c4544_0042_3510_8052_b4c04f4e4d31))
        );
    }
}
