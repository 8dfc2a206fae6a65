//! systemd-boot, on UEFI: entries of the Boot Loader Specification (type 1), with kernels on the ESP where
//! kernel-install(8) would put them.

use super::{Boot, TIMEOUT};
use crate::configure::file;
use crate::op::{Act, Op};

const LOADER: &str = "usr/lib/systemd/boot/efi/systemd-bootx64.efi";

/// The configuration, and what starts it. Copies rather than bootctl(1), which wants to see udev's idea of the ESP.
pub(super) fn ops(boot: &Boot<'_>) -> (Vec<Op>, Vec<Op>) {
    let (esp, machine) = (&boot.esp, boot.context.machine_id());
    let missing = "the image has no systemd-boot; install systemd-boot-efi (Debian) or systemd-boot-unsigned (Fedora) in it";
    let require = Act::Require { any: vec![LOADER.into()], missing: missing.into() };
    let mut ops = vec![Op::new(require, "the node boots with systemd-boot")];
    let os = &boot.context.inputs.manifest.os;
    for kernel in &boot.kernels {
        let version = &kernel.version;
        for (from, name) in [(&kernel.from, "linux"), (&kernel.initrd, "initrd")] {
            let act = Act::CopyFile { from: from.clone(), to: format!("{esp}/{machine}/{version}/{name}") };
            ops.push(Op::new(act, "systemd-boot reads nothing but the ESP"));
        }
        let text = format!(
            "title {}\nversion {version}\nmachine-id {machine}\nsort-key {}\noptions {}\n\
             linux /{machine}/{version}/linux\ninitrd /{machine}/{version}/initrd\n",
            os.pretty_name, os.id, boot.command_line
        );
        let path = format!("{esp}/loader/entries/{machine}-{version}.conf");
        ops.push(file(&path, text, "systemd-boot's entry of this kernel"));
    }
    let line = format!("{}\n", boot.command_line);
    ops.push(file("etc/kernel/cmdline", line, "kernels installed later get the same arguments"));
    ops.push(file(
        &format!("{esp}/loader/loader.conf"),
        format!("timeout {TIMEOUT}\n"),
        "systemd-boot's menu",
    ));
    let copy = |to: &str, reason: &str| {
        Op::new(Act::CopyFile { from: LOADER.into(), to: format!("{esp}/EFI/{to}") }, reason)
    };
    ops.push(copy("systemd/systemd-bootx64.efi", "where bootctl update looks"));
    let reason = "firmware starts the removable-media path; its boot order stays as it is";
    (ops, vec![copy("BOOT/BOOTX64.EFI", reason)])
}
