//! Boot loaders of the installed system: their configuration first, then labels, and last, with all of that on the
//! disk, what firmware starts.
//!
//! None of them touches the firmware's boot order: the network stays first, and firmware finds the loader at the
//! removable-media path of the ESP or in the MBR.

mod console;
mod grub;
mod redhat;
mod systemd_boot;

use nii::Finding;
use nii::v1::{Format, Loader, PartitionType, RaidLevel, Storage};

use crate::configure::initramfs::{BootKernel, kernels};
use crate::configure::{self, Context, selinux};
use crate::disks::Planned;
use crate::facts::Firmware;
use crate::filesystems::Placed;
use crate::install::Inputs;
use crate::op::{Act, Op};
use crate::stack::{self, Stack};

/// The only machine whose loaders are known here.
const ARCH: &str = "x86_64";
/// Seconds that a menu stays.
const TIMEOUT: u32 = 3;

/// What the loaders' files are made from.
struct Boot<'a> {
    context: &'a Context<'a>,
    /// Newest first; at least one, or there was a finding.
    kernels: Vec<BootKernel>,
    /// `root=UUID=… ro …`, without the loader's own.
    command_line: String,
    /// Where the ESP is mounted, below the root and without slashes around; empty on BIOS.
    esp: String,
    /// Disks for the MBR; none on UEFI.
    disks: Vec<String>,
}

impl Boot<'_> {
    /// The file system with the kernels.
    fn boot_filesystem(&self) -> Option<&Placed<'_>> {
        self.context.mounted_at("/boot").or_else(|| self.context.mounted_at("/"))
    }

    /// Path of a file of `boot/` as a loader sees it on that file system.
    fn loader_path(&self, path: &str) -> String {
        let own = self.context.mounted_at("/boot").is_some();
        let mount = if own { "/boot" } else { "/" };
        let subvolume = self.boot_filesystem().and_then(|placed| placed.subvolume_at(mount));
        let above = subvolume.map(|name| format!("/{name}")).unwrap_or_default();
        format!("{above}/{}", if own { path.strip_prefix("boot/").unwrap_or(path) } else { path })
    }
}

/// The ops of the step `bootloader`.
pub(crate) fn ops(context: &Context<'_>, stack: &Stack<'_>) -> Vec<Op> {
    let inputs = context.inputs;
    let efi = inputs.facts.firmware == Firmware::Efi;
    let esp = esp(context.placed).filter(|_| efi).and_then(|esp| esp.wanted.mount.as_deref());
    let boot = Boot {
        context,
        kernels: kernels(inputs),
        command_line: command_line(context),
        esp: esp.unwrap_or_default().trim_matches('/').to_owned(),
        disks: if efi { Vec::new() } else { bios_disks(stack.disks) },
    };
    let (mut ops, last) = match inputs.nii.boot.loader {
        Loader::Grub => grub::ops(&boot),
        Loader::SystemdBoot => systemd_boot::ops(&boot),
    };
    ops.extend(selinux::ops(context));
    ops.push(Op::new(Act::Sync, "what the loader starts must be on the disk before the loader is"));
    ops.extend(last);
    ops
}

/// The arguments that every loader passes to the kernel.
pub(crate) fn command_line(context: &Context<'_>) -> String {
    let root = context.mounted_at("/");
    let subvolume = root.and_then(|root| root.subvolume_at("/"));
    let mut all: Vec<String> = root.map(|root| format!("root={}", root.source())).into_iter().collect();
    all.push("ro".to_owned());
    all.extend(subvolume.map(|name| format!("rootflags=subvol={name}")));
    all.extend(arguments(context));
    all.join(" ")
}

/// Those of the NII, and what the initramfs needs to find the root.
fn arguments(context: &Context<'_>) -> Vec<String> {
    let own = context.inputs.nii.boot.kernel_args.iter().cloned();
    own.chain(configure::storage::kernel_arguments(context)).collect()
}

/// Loads the newest kernel for kexec.
pub(crate) fn load_kernel(context: &Context<'_>) -> Option<Op> {
    let kernel = kernels(context.inputs).into_iter().next()?;
    let act = Act::LoadKernel {
        kernel: kernel.from,
        initrd: Some(kernel.initrd),
        command_line: command_line(context),
    };
    Some(Op::new(act, "the hand-off starts it without firmware"))
}

/// What stands against booting this machine from its disk.
pub(crate) fn check(inputs: &Inputs<'_>, stack: &Stack<'_>, placed: &[Placed<'_>], out: &mut Vec<Finding>) {
    let loader = inputs.nii.boot.loader;
    if inputs.facts.arch != ARCH {
        let message = format!("boot loaders are installed on {ARCH} only, and this is {}", inputs.facts.arch);
        out.push(Finding::error("boot.loader", message));
    }
    if kernels(inputs).is_empty() {
        let message =
            "the image has no kernel with an initramfs in /boot; install one in it and import it again";
        out.push(Finding::error("image", message));
    }
    check_kept(stack.disks, out);
    match (inputs.facts.firmware, loader) {
        (Firmware::Bios, Loader::SystemdBoot) => {
            let message = "systemd-boot needs UEFI and this machine booted by BIOS; use `grub`, or set the firmware to UEFI";
            out.push(Finding::error("boot.loader", message));
        }
        (Firmware::Bios, Loader::Grub) => check_bios(stack, placed, out),
        (Firmware::Efi, loader) => {
            check_efi(stack, placed, out);
            if loader == Loader::Grub {
                redhat::check(inputs, placed, out);
            }
        }
    }
}

/// What firmware starts from is the new system's alone: a loader that stays could start what is not there any more, or is there
/// by half, and ours may be written to the wrong one of two. What the NII calls the partition says nothing of its type.
pub(crate) fn check_kept(disks: &[Planned<'_>], out: &mut Vec<Finding>) {
    let kinds = [
        (PartitionType::Esp, "an ESP"),
        (PartitionType::BiosBoot, "a BIOS boot partition"),
        (PartitionType::Xbootldr, "an XBOOTLDR partition"),
    ];
    for (index, planned) in disks.iter().enumerate() {
        let entries = planned.layout.table.partitions.iter();
        for entry in entries.filter(|entry| planned.layout.keep.contains(&entry.number)) {
            let Some((_, what)) = kinds.iter().find(|(kind, _)| kind.guid() == entry.kind) else { continue };
            let message = format!(
                "partition {} `{}` of {} is {what} by its type, and cannot be kept: the new system's loader needs to be \
                 the only one, also after an install that was cut off",
                entry.number, entry.label, planned.disk.path
            );
            out.push(Finding::error(format!("storage.disks[{index}].partitions"), message));
        }
    }
}

fn check_bios(stack: &Stack<'_>, placed: &[Placed<'_>], out: &mut Vec<Finding>) {
    let Some(root) = placed.iter().find(|placed| placed.is_at("/")) else { return };
    let below = stack.below(&root.wanted.device);
    let first = below.first().map(|(planned, _)| planned.disk.path.as_str());
    let Some(index) = stack.disks.iter().position(|disk| Some(disk.disk.path.as_str()) == first) else {
        return;
    };
    if bios_disks(stack.disks).is_empty() {
        let message = "this machine booted by BIOS, and GRUB needs a place for its core image: add \
                       `{\"label\": \"bios\", \"type\": \"bios-boot\", \"size_mib\": 1}`";
        out.push(Finding::error(format!("storage.disks[{index}].partitions"), message));
    }
}

fn check_efi(stack: &Stack<'_>, placed: &[Placed<'_>], out: &mut Vec<Finding>) {
    let mounts: Vec<&str> = esps(placed).filter_map(|esp| esp.wanted.mount.as_deref()).collect();
    if mounts.len() > 1 {
        let message = format!(
            "have ESPs at {}, and a loader goes to one: make one array (raid1) of them, or mount the others nowhere",
            mounts.join(" and ")
        );
        out.push(Finding::error("storage.filesystems", message));
    }
    let on = |device: &str| -> Vec<&str> {
        stack.below(device).iter().map(|(planned, _)| planned.disk.path.as_str()).collect()
    };
    let boot = placed.iter().find(|p| p.is_at("/boot")).or_else(|| placed.iter().find(|p| p.is_at("/")));
    if let (Some(esp), Some(boot)) = (esp(placed), boot) {
        let (starts, mirrors) = (on(&esp.wanted.device), mirrors(stack.storage, &boot.wanted.device));
        let without: Vec<&str> =
            on(&boot.wanted.device).into_iter().filter(|disk| !starts.contains(disk)).collect();
        if mirrors && !without.is_empty() {
            let message = format!(
                "the ESP is on {} only: without that disk the firmware finds nothing to start on {}; make an ESP on each, \
                 and an array (raid1) of them",
                starts.join(" and "),
                without.join(" and ")
            );
            out.push(Finding::warning("storage.filesystems", message));
        }
    }
    if esp(placed).is_none() {
        let message = "this machine booted by UEFI, which starts loaders from an ESP: add a partition \
                       `{\"label\": \"esp\", \"type\": \"esp\", \"size_mib\": 512}` and a file system \
                       `{\"partition\": \"esp\", \"format\": \"vfat\", \"mount\": \"/boot/efi\"}`";
        out.push(Finding::error("storage", message));
    }
}

fn esp<'a, 'b>(placed: &'a [Placed<'b>]) -> Option<&'a Placed<'b>> {
    esps(placed).next()
}

/// The ESPs that are mounted.
fn esps<'a, 'b>(placed: &'a [Placed<'b>]) -> impl Iterator<Item = &'a Placed<'b>> {
    let is_esp = |p: &&Placed<'_>| {
        p.kind == PartitionType::Esp && p.wanted.format == Format::Vfat && p.wanted.mount.is_some()
    };
    placed.iter().filter(is_esp)
}

/// Whether a device outlives the loss of a disk.
fn mirrors(storage: &Storage, device: &str) -> bool {
    let labels = stack::below(storage, device);
    let redundant = storage.raid.iter().filter(|raid| raid.level != RaidLevel::Raid0);
    redundant.flat_map(|raid| &raid.devices).any(|label| labels.contains(&label.as_str()))
}

fn bios_disks(disks: &[Planned<'_>]) -> Vec<String> {
    let has = |disk: &&Planned<'_>| disk.wanted.partitions.iter().any(|p| p.kind == PartitionType::BiosBoot);
    disks.iter().filter(has).map(|disk| disk.disk.path.clone()).collect()
}
