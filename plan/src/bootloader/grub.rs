//! GRUB 2, on BIOS and UEFI. Debian calls its programs `grub-…`, Red Hat `grub2-…`; guards tell them apart.

use super::console::serial;
use super::{Boot, TIMEOUT, arguments, redhat};
use crate::configure::{file, run};
use crate::ids::filesystem_text;
use crate::op::{Act, Guard, Op};
use crate::os::{is_debian, is_redhat};

pub(super) const GRUB_INSTALL: &str = "usr/sbin/grub-install";
pub(super) const GRUB2_MKCONFIG: &str = "usr/sbin/grub2-mkconfig";

/// The configuration, and what starts it.
pub(super) fn ops(boot: &Boot<'_>) -> (Vec<Op>, Vec<Op>) {
    let mut ops = require(boot);
    for kernel in boot.kernels.iter().filter(|kernel| kernel.from != kernel.vmlinuz) {
        let act = Act::CopyFile { from: kernel.from.clone(), to: kernel.vmlinuz.clone() };
        ops.push(Op::new(act, "GRUB finds kernels in /boot"));
    }
    ops.extend(by_uuid(boot));
    let os = &boot.context.inputs.manifest.os;
    if !is_redhat(os) {
        let debian = Guard::has(GRUB_INSTALL);
        let config = "etc/default/grub.d/camphor.cfg";
        ops.push(
            file(config, settings(boot, ""), "kernel arguments and console of the NII").when(debian.clone()),
        );
        let directory = Act::Mkdir { path: "boot/grub".into(), mode: 0o755 };
        ops.push(Op::new(directory, "grub-mkconfig does not make it").when(debian.clone()));
        let mkconfig = run(&["grub-mkconfig", "-o", "/boot/grub/grub.cfg"], "GRUB's menu");
        ops.push(mkconfig.when(debian));
    }
    if !is_debian(os) {
        ops.extend(redhat::config(boot));
        if boot.disks.is_empty() {
            ops.extend(redhat::beside_loader(boot));
        }
    }
    let last = if boot.disks.is_empty() { efi(boot) } else { bios(boot) };
    (ops, last)
}

/// /etc/default/grub is shell; arguments were checked to have no character that means something in double quotes.
pub(super) fn settings(boot: &Boot<'_>, more: &str) -> String {
    let args = &arguments(boot.context);
    let mut text = format!(
        "# Written by camphor from the node's NII.\nGRUB_TIMEOUT={TIMEOUT}\nGRUB_RECORDFAIL_TIMEOUT={TIMEOUT}\n\
         GRUB_CMDLINE_LINUX=\"{}\"\nGRUB_CMDLINE_LINUX_DEFAULT=\"\"\nGRUB_DISABLE_OS_PROBER=true\n",
        args.join(" ")
    );
    match serial(args) {
        Some(port) => text.push_str(&format!(
            "GRUB_TERMINAL=\"console serial\"\nGRUB_SERIAL_COMMAND=\"serial --unit={} --speed={}\"\n",
            port.unit, port.speed
        )),
        None => text.push_str("GRUB_TERMINAL=console\n"),
    }
    text + more
}

/// Without GRUB in the image everything below would be skipped, and the node would not boot.
fn require(boot: &Boot<'_>) -> Vec<Op> {
    let need = |any: &[&str], missing: &str| {
        let act =
            Act::Require { any: any.iter().map(ToString::to_string).collect(), missing: missing.to_owned() };
        Op::new(act, "the node boots with GRUB")
    };
    let programs = need(
        &[GRUB_INSTALL, GRUB2_MKCONFIG],
        "the image has no GRUB; install grub2-common (Debian) or grub2-tools (Red Hat) in it",
    );
    let modules = if boot.disks.is_empty() {
        let mut any = vec!["usr/lib/grub/x86_64-efi"];
        let redhat = redhat::grub_image(boot);
        if !is_debian(&boot.context.inputs.manifest.os) {
            any.push(&redhat);
        }
        need(
            &any,
            "the image has no GRUB for UEFI; install grub-efi-amd64-bin (Debian) or grub2-efi-x64 and shim-x64 (Red Hat) in it",
        )
    } else {
        need(
            &["usr/lib/grub/i386-pc"],
            "the image has no GRUB for BIOS; install grub-pc-bin (Debian) or grub2-pc (Red Hat) in it",
        )
    };
    vec![programs, modules]
}

/// grub-mkconfig writes `root=UUID=…` only where udev's link is (`/etc/grub.d/10_linux`), and a kernel name otherwise,
/// which is another one when a disk is added. The initrd has no udev.
fn by_uuid(boot: &Boot<'_>) -> Option<Op> {
    let root = boot.context.mounted_at("/")?;
    let path = format!("dev/disk/by-uuid/{}", filesystem_text(root.wanted.format, root.uuid));
    let act = Act::Symlink { path, target: root.device.path() };
    Some(Op::new(act, "so that GRUB's menu names the root by UUID"))
}

fn bios(boot: &Boot<'_>) -> Vec<Op> {
    let os = &boot.context.inputs.manifest.os;
    let debian = (!is_redhat(os)).then_some(("grub-install", GRUB_INSTALL));
    let redhat = (!is_debian(os)).then_some(("grub2-install", GRUB2_MKCONFIG));
    let mut ops = Vec::new();
    for disk in &boot.disks {
        for (program, guard) in debian.into_iter().chain(redhat) {
            let install = run(&[program, "--target=i386-pc", disk], "BIOS starts the disk's first sector");
            ops.push(install.when(Guard::has(guard)));
        }
    }
    ops
}

fn efi(boot: &Boot<'_>) -> Vec<Op> {
    let os = &boot.context.inputs.manifest.os;
    let mut ops = if is_debian(os) { Vec::new() } else { redhat::loader(boot) };
    if !is_redhat(os) {
        let esp = format!("--efi-directory=/{}", boot.esp);
        let argv = ["grub-install", "--target=x86_64-efi", &esp, "--removable", "--no-nvram"];
        let reason = "firmware starts the removable-media path; its boot order stays as it is";
        ops.push(run(&argv, reason).when(Guard::has(GRUB_INSTALL)));
    }
    // Shim's fallback would put an entry of its own before the network in the firmware's boot order.
    let fallback = Act::Remove { path: format!("{}/EFI/BOOT/fbx64.efi", boot.esp) };
    ops.push(Op::new(fallback, "shim's fallback would change the firmware's boot order"));
    ops
}
