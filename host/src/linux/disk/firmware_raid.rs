//! Disks that belong to an array of the firmware's ("fake RAID"): their metadata are at the end of the disk, and writing
//! to one member by itself would destroy the array.

use std::path::Path;

use super::block::{Block, Device};

/// Intel RST (IMSM): the anchor is in the last but one block of 512 bytes, or of the disk's own size
/// (mdadm, super-intel.c: `MPB_SIGNATURE`).
const INTEL: &[u8] = b"Intel Raid ISM Cfg Sig. ";
/// SNIA DDF 2.0, section 5.4: the anchor header is in the last block.
const DDF: &[u8] = &[0xde, 0x11, 0xde, 0x11];
/// Bytes at the end that are looked at.
const END: u64 = 16 << 10;

/// Whose member the disk is, if anybody's.
///
/// # Errors
/// When the disk cannot be read.
pub fn detect(path: &Path) -> anyhow::Result<Option<String>> {
    let mut device = Device::read_only(path)?;
    if device.size() < END {
        return Ok(None);
    }
    let (offset, sector) = (device.size() - END, device.sector() as usize);
    Ok(of(&device.read(offset, END as usize)?, sector).map(str::to_owned))
}

fn of(end: &[u8], sector: usize) -> Option<&'static str> {
    let block = |from_end: usize, size: usize| end.len().checked_sub(from_end * size).map(|at| &end[at..]);
    let intel = [512, sector].iter().any(|size| block(2, *size).is_some_and(|b| b.starts_with(INTEL)));
    let ddf = [512, sector].iter().any(|size| block(1, *size).is_some_and(|b| b.starts_with(DDF)));
    match (intel, ddf) {
        (true, _) => Some("Intel RST"),
        (_, true) => Some("DDF"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_found_where_they_must_be() {
        let mut end = vec![0; END as usize];
        assert_eq!(of(&end, 512), None);
        let length = end.len();
        end[length - 1024..][..INTEL.len()].copy_from_slice(INTEL);
        assert_eq!(of(&end, 512), Some("Intel RST"));
        assert_eq!(of(&end[..length - 512], 512), None, "elsewhere it means nothing");
        let mut end = vec![0; END as usize];
        end[length - 4096..][..4].copy_from_slice(DDF);
        assert_eq!((of(&end, 512), of(&end, 4096)), (None, Some("DDF")));
    }
}
