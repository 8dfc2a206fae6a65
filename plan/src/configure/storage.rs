//! What the installed system must know of the devices below its file systems: fstab, mdadm.conf, crypttab and its keys.

use nii::v1::{Luks, Raid};

use super::{Context, file, file_with_mode};
use crate::filesystems::{fstab, mount_points};
use crate::op::{Act, BlockDevice, Content, Op};
use crate::stack::ops::key;
use crate::stack::tools::md_uuid;
use crate::stack::{Stack, below, group};

/// Where systemd-cryptsetup(8) looks for keys by itself.
const KEYS: &str = "etc/cryptsetup-keys.d";

pub(super) fn ops(context: &Context<'_>) -> Vec<Op> {
    let reason = "the node's own file systems, by UUID";
    let mut ops = vec![file("etc/fstab", fstab(context.inputs, context.placed), reason)];
    ops.extend(mount_points(context.inputs, context.placed));
    let Some(stack) = &context.stack else { return ops };
    ops.extend(arrays(stack, &context.inputs.nii.network.hostname));
    ops.extend(encrypted(context, stack));
    if !stack.storage.logical_volumes.is_empty() {
        let any = ["usr/sbin/lvm", "sbin/lvm", "usr/bin/lvm"];
        ops.push(require(&any, "the image has no LVM; install lvm2 in it", "the node has logical volumes"));
        // Red Hat's installer writes one, and LVM sees no other devices then.
        let list = Act::Remove { path: "etc/lvm/devices/*.devices".into() };
        ops.push(Op::new(list, "the image's list is of its birthplace's devices"));
    }
    ops
}

fn require(any: &[&str], missing: &str, reason: &str) -> Op {
    let any = any.iter().map(ToString::to_string).collect();
    Op::new(Act::Require { any, missing: missing.into() }, reason)
}

/// mdadm.conf(5), at Debian's place and at Red Hat's. Arrays are known by their UUIDs; an initramfs starts no others.
fn arrays(stack: &Stack<'_>, host: &str) -> Vec<Op> {
    if stack.storage.raid.is_empty() {
        return Vec::new();
    }
    let line = |raid: &Raid| {
        let uuid = md_uuid(stack.array(raid)?.uuid);
        Some(format!("ARRAY /dev/md/{} UUID={uuid}\n", raid.name))
    };
    let lines: String = stack.storage.raid.iter().filter_map(line).collect();
    let text = format!("# Written by camphor from the node's NII.\nHOMEHOST {host}\nMAILADDR root\n{lines}");
    let any = ["usr/sbin/mdadm", "sbin/mdadm", "usr/bin/mdadm"];
    let reason = "the node's arrays";
    vec![
        require(&any, "the image has no mdadm; install mdadm in it", "the node has arrays"),
        file("etc/mdadm/mdadm.conf", text.clone(), reason),
        file("etc/mdadm.conf", text, reason),
    ]
}

/// crypttab(5), with keys that only root reads.
fn encrypted(context: &Context<'_>, stack: &Stack<'_>) -> Vec<Op> {
    if stack.storage.luks.is_empty() {
        return Vec::new();
    }
    let any = [
        "usr/lib/systemd/systemd-cryptsetup",
        "lib/systemd/systemd-cryptsetup",
        "usr/bin/systemd-cryptsetup",
        "usr/sbin/cryptsetup",
        "sbin/cryptsetup",
    ];
    let mut ops = vec![
        require(
            &any,
            "the image opens no encrypted devices; install cryptsetup (and systemd-cryptsetup, where it is a package of its own) in it",
            "the node has encrypted devices",
        ),
        Op::new(Act::Mkdir { path: KEYS.into(), mode: 0o700 }, "only root reads keys"),
    ];
    let mut text = "# Written by camphor from the node's NII.\n".to_owned();
    for luks in &stack.storage.luks {
        let Some(key) = key(context.inputs.nii, &luks.name) else { continue };
        let path = format!("{KEYS}/{}.key", luks.name);
        text.push_str(&format!("{} {} /{path} luks\n", luks.name, below_luks(stack, luks)));
        let reason = format!("the encrypted device `{}` is opened with it at boot", luks.name);
        ops.push(file_with_mode(&path, Content::Secret(key.clone()), 0o400, reason));
    }
    ops.push(file("etc/crypttab", text, "the node's encrypted devices"));
    ops
}

/// What an encrypted device is on, as crypttab names it.
fn below_luks(stack: &Stack<'_>, luks: &Luks) -> String {
    match stack.device(&luks.device) {
        Some(device @ BlockDevice::Volume(_)) => device.path(),
        _ => format!("UUID={}", stack.crypt(luks).map(|crypt| crypt.uuid.to_string()).unwrap_or_default()),
    }
}

/// What dracut's initramfs must be told to start for the root, and for /usr: by itself it starts nothing. Others do not mind.
pub(crate) fn kernel_arguments(context: &Context<'_>) -> Vec<String> {
    let Some(stack) = &context.stack else { return Vec::new() };
    let storage = stack.storage;
    let mut arguments = Vec::new();
    for name in ["/", "/usr"].iter().filter_map(|path| Some(&storage.mounted_at(path)?.device)) {
        let labels = below(storage, name);
        let under = |raid: &&Raid| raid.devices.iter().any(|label| labels.contains(&label.as_str()));
        let arrays = storage.raid.iter().filter(under).filter_map(|raid| stack.array(raid));
        arguments.extend(arrays.map(|array| format!("rd.md.uuid={}", md_uuid(array.uuid))));
        let volume = storage.logical_volumes.iter().find(|volume| {
            group(storage, volume).is_some() && *name == format!("{}/{}", volume.group, volume.name)
        });
        arguments.extend(volume.map(|volume| format!("rd.lvm.lv={}/{}", volume.group, volume.name)));
    }
    arguments.dedup();
    arguments
}

/// Whether the initramfs must be made on the node to find its root.
pub(crate) fn is_stacked(context: &Context<'_>) -> bool {
    let boots = ["/", "/usr", "/boot"].into_iter().filter_map(|path| context.mounted_at(path));
    boots.into_iter().any(|placed| !matches!(placed.device, BlockDevice::Partition(_)))
}
