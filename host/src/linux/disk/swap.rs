//! Swap space: the header in its first page, version 1 (`union swap_header` of include/linux/swap.h; the UUID and the
//! label lie in what the kernel calls padding, as mkswap(8) puts them).
//!
//! | bytes | of the page, in the machine's byte order |
//! | --- | --- |
//! | 0-1023 | nothing |
//! | 1024-1027 | version, 1 |
//! | 1028-1031 | the last page's number |
//! | 1032-1035 | number of bad pages, 0 |
//! | 1036-1051 | UUID |
//! | 1052-1067 | label, padded with NUL |
//! | the last 10 | `SWAPSPACE2` |

use std::path::Path;

use anyhow::{Context, ensure};
use uuid::Uuid;

use super::block::{Block, Device};

const MAGIC: &[u8] = b"SWAPSPACE2";
const LABEL: usize = 16;
/// The kernel refuses less (`MIN_SWAP_PAGES` of mkswap).
const MIN_PAGES: u64 = 10;

/// Makes a device swap space, of pages as this kernel has them.
///
/// # Errors
/// When the device or the label has no fitting size, someone uses the device, or it fails.
pub fn make(path: &Path, uuid: Uuid, label: Option<&str>) -> anyhow::Result<()> {
    let mut device = Device::exclusive(path)?;
    let page = header(device.size(), rustix::param::page_size(), uuid, label.unwrap_or_default())
        .with_context(|| format!("making swap space on {}", path.display()))?;
    let written = device.write(0, &page).and_then(|()| device.flush());
    written.with_context(|| format!("writing to {}", path.display()))
}

fn header(size: u64, page_size: usize, uuid: Uuid, label: &str) -> anyhow::Result<Vec<u8>> {
    let pages = size / page_size as u64;
    ensure!(pages >= MIN_PAGES, "it holds {pages} pages, swap space needs {MIN_PAGES}");
    ensure!(label.len() <= LABEL, "the label `{label}` has more than {LABEL} bytes");
    // What lies behind page 2^32 stays unused, as with mkswap.
    let last = u32::try_from(pages - 1).unwrap_or(u32::MAX);
    let mut page = vec![0; page_size];
    page[1024..1028].copy_from_slice(&1_u32.to_ne_bytes());
    page[1028..1032].copy_from_slice(&last.to_ne_bytes());
    page[1036..1052].copy_from_slice(uuid.as_bytes());
    page[1052..1052 + label.len()].copy_from_slice(label.as_bytes());
    page[page_size - MAGIC.len()..].copy_from_slice(MAGIC);
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_place_is_refused() {
        let error = |size, label| format!("{:#}", header(size, 4096, Uuid::nil(), label).unwrap_err());
        assert_eq!(error(10 * 4096 - 1, ""), "it holds 9 pages, swap space needs 10");
        assert!(error(1 << 30, "seventeen-bytes--").contains("more than 16 bytes"));
    }

    #[test]
    fn pages_are_counted_to_the_last_and_no_further_than_the_field() {
        let last = |size| {
            let page = header(size, 65536, Uuid::nil(), "").unwrap();
            assert_eq!(page.len(), 65536);
            u32::from_ne_bytes(page[1028..1032].try_into().unwrap())
        };
        assert_eq!(last((20 << 16) + 4096), 19);
        assert_eq!(last(1 << 60), u32::MAX);
    }
}
