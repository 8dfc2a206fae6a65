//! Finding what an op names again: the partition, array, volume or encrypted device, and no other.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use plan::op::{ArrayRef, BlockDevice, CryptRef, VolumeRef};

use super::contents::bytes::Extent;
use super::contents::md;
use super::table;

/// The node of the device, after checking that it is the one that is meant.
///
/// # Errors
/// When there is none, or the kernel has another one there.
pub fn find(sys: &Path, device: &BlockDevice) -> anyhow::Result<PathBuf> {
    match device {
        BlockDevice::Partition(partition) => {
            table::find(sys, partition)?;
            Ok(partition.path().into())
        }
        BlockDevice::Array(array) => array_node(sys, array),
        BlockDevice::Volume(volume) => volume_node(sys, volume),
        BlockDevice::Crypt(crypt) => crypt_node(sys, crypt),
    }
}

/// The kernel's name of a device-mapper device, and its uuid: `LVM-…`, `CRYPT-LUKS2-…`.
///
/// # Errors
/// When device-mapper has none of that name.
pub fn mapped(sys: &Path, name: &str) -> anyhow::Result<(String, String)> {
    find_mapped(sys, name)?.with_context(|| format!("device-mapper has no {name}"))
}

/// As [`mapped`]; nothing if there is none of that name.
///
/// # Errors
/// When sysfs cannot be read.
pub fn find_mapped(sys: &Path, name: &str) -> anyhow::Result<Option<(String, String)>> {
    let directory = sys.join("block");
    let entries = fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("reading {}", directory.display()))?.path();
        let read = |file: &str| fs::read_to_string(path.join("dm").join(file));
        if read("name").is_ok_and(|found| found.trim_end() == name) {
            let uuid = read("uuid").with_context(|| format!("reading the uuid of {name}"))?;
            let kernel = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Ok(Some((kernel, uuid.trim_end().to_owned())));
        }
    }
    Ok(None)
}

/// The array's superblock is read from its first member.
fn array_node(sys: &Path, array: &ArrayRef) -> anyhow::Result<PathBuf> {
    let name = array.node.trim_start_matches("/dev/");
    let slaves = sys.join("class/block").join(name).join("slaves");
    let mut members =
        fs::read_dir(&slaves).with_context(|| format!("array {} is not there", array.node))?.flatten();
    let first = members.next().with_context(|| format!("array {} has no member", array.node))?;
    let member = Path::new("/dev").join(first.file_name());
    let mut bytes = Extent::whole(&member)?.open()?;
    let found = md::read(&mut bytes)?.with_context(|| format!("{} is no member", member.display()))?;
    ensure!(found.array == array.uuid, "{} has the UUID {}, not {}", array.node, found.array, array.uuid);
    Ok(PathBuf::from(&array.node))
}

fn volume_node(sys: &Path, volume: &VolumeRef) -> anyhow::Result<PathBuf> {
    let name = volume.mapper();
    let (kernel, uuid) = mapped(sys, &name)?;
    ensure!(uuid.starts_with("LVM-"), "{name} is no logical volume, but {uuid}");
    Ok(Path::new("/dev").join(kernel))
}

fn crypt_node(sys: &Path, crypt: &CryptRef) -> anyhow::Result<PathBuf> {
    let (kernel, uuid) = mapped(sys, &crypt.crypt)?;
    let wanted = format!("CRYPT-LUKS2-{}-", crypt.uuid.simple());
    ensure!(uuid.starts_with(&wanted), "{} is {uuid}, not {wanted}…", crypt.crypt);
    Ok(Path::new("/dev").join(kernel))
}
