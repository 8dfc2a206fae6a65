//! What an ATA disk says of its security feature set, without which, or with which frozen, it does not erase itself.

use std::path::Path;

use anyhow::Context as _;
use plan::facts::AtaSecurity;
use rustix::ioctl::{Getter, Opcode, ioctl};

use super::block::Device;

/// `HDIO_GET_IDENTITY` of linux/hdreg.h: the 256 words of IDENTIFY DEVICE, as the kernel read them.
const IDENTITY: Opcode = 0x030d;
/// The word "security status" (ACS-4, 7.13.6.51), and its bits.
const STATUS: usize = 128;
const SUPPORTED: u16 = 1 << 0;
const LOCKED: u16 = 1 << 2;
const FROZEN: u16 = 1 << 3;

/// What stands against an erasure by the disk itself; `None` if nothing does.
///
/// # Errors
/// When the disk cannot be asked.
pub fn security(path: &Path) -> anyhow::Result<Option<AtaSecurity>> {
    let device = Device::read_only(path)?;
    // SAFETY: the opcode writes 256 words (libata, `ata_get_identity`).
    let words = unsafe { ioctl(device.file(), Getter::<IDENTITY, [u16; 256]>::new()) };
    let words = words.with_context(|| format!("asking {} what it is", path.display()))?;
    Ok(of(words[STATUS]))
}

fn of(status: u16) -> Option<AtaSecurity> {
    match status {
        _ if status & SUPPORTED == 0 => Some(AtaSecurity::Absent),
        _ if status & LOCKED != 0 => Some(AtaSecurity::Locked),
        _ if status & FROZEN != 0 => Some(AtaSecurity::Frozen),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words as hdparm(8) shows them: "supported", "not enabled", "not locked", "frozen" and so on.
    #[test]
    fn words_of_disks() {
        for (status, security) in [
            (0x0000, Some(AtaSecurity::Absent)),
            (0x0021, None),
            (0x0029, Some(AtaSecurity::Frozen)),
            (0x0023, None),
            (0x0027, Some(AtaSecurity::Locked)),
        ] {
            assert_eq!(of(status), security, "{status:#06x}");
        }
    }
}
