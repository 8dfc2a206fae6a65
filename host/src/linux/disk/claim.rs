//! Whether disks are still those that a plan was made for, and nobody's.

use std::path::Path;

use anyhow::{Context, ensure};
use plan::op::DiskId;

use super::block::Device;
use super::survey;

/// Looks at each of them, and changes nothing. After a reset of its bus a disk may have the path of another.
///
/// # Errors
/// When one is gone, is another one, or something has it.
pub fn check(sys: &Path, disks: &[DiskId]) -> anyhow::Result<()> {
    let found: Vec<DiskId> = survey::list(sys, &[])?.iter().map(DiskId::from).collect();
    for wanted in disks {
        let there = found.iter().find(|disk| disk.path == wanted.path);
        let there = there.with_context(|| format!("{wanted} is gone"))?;
        ensure!(
            there == wanted,
            "{} is another disk than it was: now {there} of {} bytes, before {wanted} of {} bytes",
            wanted.path,
            there.size,
            wanted.size
        );
        Device::exclusive(Path::new(&wanted.path)).with_context(|| {
            format!("something has {wanted}, or a part of it; what does, the kernel does not say")
        })?;
    }
    Ok(())
}
