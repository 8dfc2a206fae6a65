//! `storage.luks`, and its keys.

use super::Out;
use super::stack::{Used, below};
use super::words::is_name;
use crate::Finding;
use crate::v1::{Device, Luks, Nii, PartitionType, Storage};

/// What cryptsetup(8) reads of a passphrase that is typed.
const PASSPHRASE_MAX: usize = 512;
/// What 128 random bits need when they are written in hexadecimal digits.
const RANDOM_MIN: usize = 32;

pub(super) fn luks<'a>(storage: &'a Storage, used: &mut Used<'a>, out: Out<'_>) {
    for (i, luks) in storage.luks.iter().enumerate() {
        let path = format!("storage.luks[{i}]");
        name(storage, luks, &format!("{path}.name"), out);
        let path = format!("{path}.device");
        let Luks { name, device, .. } = luks;
        let message = match storage.device(device) {
            Some(Device::Partition(_, partition)) if partition.kind != PartitionType::Luks => {
                format!("`{device}` must have the type `luks`")
            }
            Some(Device::Luks(_)) => format!("`{device}` is encrypted already"),
            Some(Device::LogicalVolume(volume)) if volume.thin_pool => {
                format!("`{device}` is a pool: name a volume that takes its space from it")
            }
            Some(_)
                if below(storage, device)
                    .iter()
                    .any(|on| matches!(on, Device::Luks(l) if l.name == *name)) =>
            {
                format!("`{name}` would be on itself: `{device}` is made of it")
            }
            Some(_) => {
                used.take(device, path, &format!("the encrypted device `{name}`"), out);
                continue;
            }
            None => format!("there is no partition, array or volume `{device}`"),
        };
        out.push(Finding::error(path, message));
    }
}

fn name(storage: &Storage, luks: &Luks, path: &str, out: Out<'_>) {
    let name = &luks.name;
    // /dev/mapper/control is device-mapper's own.
    if !is_name(name) || name == "control" {
        let message = "must be letters, digits, `-`, `_` and `.`, 1 to 64 of them, and not `control`";
        out.push(Finding::error(path, message));
    }
    let mapped = |volume: &str| volume.replace('-', "--");
    let volumes = storage.logical_volumes.iter();
    if let Some(volume) =
        volumes.into_iter().find(|v| format!("{}-{}", mapped(&v.group), mapped(&v.name)) == *name)
    {
        let message = format!("/dev/mapper/{name} is the volume `{}/{}`", volume.group, volume.name);
        out.push(Finding::error(path, message));
    }
}

/// Each encrypted device has a key. The public form has no keys.
pub(super) fn keys(nii: &Nii, out: Out<'_>) {
    let Some(secrets) = &nii.secrets else { return };
    for luks in &nii.storage.luks {
        let Some(key) = secrets.luks_keys.get(&luks.name) else {
            let message = format!("has no key of the encrypted device `{}`", luks.name);
            out.push(Finding::error("secrets.luks_keys", message));
            continue;
        };
        if luks.random_key && key.expose().len() < RANDOM_MIN {
            let message = format!("must be random and have {RANDOM_MIN} bytes: its device has `random_key`");
            out.push(Finding::error(format!("secrets.luks_keys.{}", luks.name), message));
        }
    }
    for (name, key) in &secrets.luks_keys {
        let path = format!("secrets.luks_keys.{name}");
        let key = key.expose();
        if key.is_empty() || key.len() > PASSPHRASE_MAX || key.contains(char::is_control) {
            let message =
                format!("must be one line of 1 to {PASSPHRASE_MAX} bytes, which somebody could type");
            out.push(Finding::error(path.as_str(), message));
        }
        if !nii.storage.luks.iter().any(|luks| luks.name == *name) {
            out.push(Finding::warning(path, "there is no encrypted device of this name"));
        }
    }
}
