//! What stands against making the devices of an NII, or keeping them.

use nii::v1::Device;
use nii::{Finding, Nii};

use super::ops::key;
use super::{Stack, below};

type Out<'a> = &'a mut Vec<Finding>;

pub(crate) fn check(stack: &Stack<'_>, nii: &Nii, out: Out<'_>) {
    tools(stack, out);
    keys(stack, nii, out);
    kept(stack, out);
}

/// Programs that the initrd must have.
fn tools(stack: &Stack<'_>, out: Out<'_>) {
    let storage = stack.storage;
    let mut need = |field: &str, tool: &str, set: &str, is_used: bool| {
        if is_used && !stack.facts.tools.iter().any(|known| known == tool) {
            let message = format!("this initrd has no {tool}; build it with `--tool-set {set}`");
            out.push(Finding::error(format!("storage.{field}"), message));
        }
    };
    need("raid", "mdadm", "raid", storage.raid.iter().any(|raid| !raid.preserve));
    need("luks", "cryptsetup", "luks", storage.luks.iter().any(|luks| !luks.preserve));
    need("logical_volumes", "lvm", "lvm", storage.logical_volumes.iter().any(|volume| !volume.preserve));
}

/// Passphrases: of those that are made, and of those that are kept, which the installed system opens.
fn keys(stack: &Stack<'_>, nii: &Nii, out: Out<'_>) {
    for luks in stack.storage.luks.iter().filter(|luks| key(nii, &luks.name).is_none()) {
        let message = format!("has no passphrase for the encrypted device `{}`", luks.name);
        out.push(Finding::error("secrets.luks_keys", message));
    }
}

/// What is kept must be there.
fn kept(stack: &Stack<'_>, out: Out<'_>) {
    let storage = stack.storage;
    let raid = storage.raid.iter().enumerate().filter(|(_, raid)| raid.preserve);
    for (i, raid) in raid {
        let path = format!("storage.raid[{i}].preserve");
        members(stack, &path, &raid.name, "linux_raid_member", out);
    }
    for (i, luks) in storage.luks.iter().enumerate().filter(|(_, luks)| luks.preserve) {
        if let Some(Device::Partition(..)) = storage.device(&luks.device) {
            let path = format!("storage.luks[{i}].preserve");
            members(stack, &path, &luks.name, "crypto_LUKS", out);
        } else {
            let message = "only an encrypted device that is on a partition can be kept";
            out.push(Finding::error(format!("storage.luks[{i}].preserve"), message));
        }
    }
    for (i, group) in storage.volume_groups.iter().enumerate().filter(|(_, group)| group.preserve) {
        for device in &group.devices {
            if let Some(Device::Partition(..)) = storage.device(device) {
                members(stack, &format!("storage.volume_groups[{i}].preserve"), device, "LVM2_member", out);
            }
        }
    }
}

/// Every partition below a device must hold what it is to be kept with.
fn members(stack: &Stack<'_>, path: &str, name: &str, kind: &str, out: Out<'_>) {
    for label in below(stack.storage, name) {
        let Some(partition) = stack.partition(label) else { continue };
        let found = stack.found(label).map_or("nothing that is known", |content| &content.kind);
        if found != kind {
            let message =
                format!("`{name}` is to be kept: {} must hold {kind}, and holds {found}", partition.path());
            out.push(Finding::error(path, message));
        }
    }
}
