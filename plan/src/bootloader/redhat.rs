//! GRUB as the Red Hat family has it: menu entries as files of the Boot Loader Specification, and on UEFI the signed
//! shim and GRUB of the packages, which grub2-install must not replace.

use nii::Finding;
use nii::manifest::Os;

use super::grub::{GRUB2_MKCONFIG, settings};
use super::{Boot, esp};
use crate::configure::{file, run};
use crate::filesystems::Placed;
use crate::ids::filesystem_text;
use crate::install::Inputs;
use crate::op::{Act, Guard, Op};
use crate::os::is_redhat;

/// Where the packages put their loaders; fixed, since RPMs own the files.
const ESP: &str = "boot/efi";
/// In EL 8 and newer: kernels have entries of the Boot Loader Specification.
const BLS: &str = "usr/lib/kernel/install.d/20-grub.install";

/// The directory of the vendor on the ESP, by the ID of os-release.
fn vendor(os: &Os) -> &str {
    match os.id.as_str() {
        "rhel" | "ol" => "redhat",
        other => other,
    }
}

/// Path of the vendor's signed GRUB below the root.
pub(super) fn grub_image(boot: &Boot<'_>) -> String {
    format!("{ESP}/EFI/{}/grubx64.efi", vendor(&boot.context.inputs.manifest.os))
}

/// What stands against a Red Hat system's UEFI loader.
pub(super) fn check(inputs: &Inputs<'_>, placed: &[Placed<'_>], out: &mut Vec<Finding>) {
    let mount = esp(placed).and_then(|esp| Some((esp.index, esp.wanted.mount.as_deref()?)));
    if let Some((index, mount)) = mount
        && is_redhat(&inputs.manifest.os)
        && mount.trim_matches('/') != ESP
    {
        let message = format!("{} has its loaders in /{ESP}: mount the ESP there", inputs.manifest.os.id);
        out.push(Finding::error(format!("storage.filesystems[{index}].mount"), message));
    }
}

/// Settings, entries and menu.
pub(super) fn config(boot: &Boot<'_>) -> Vec<Op> {
    let redhat = Guard::has(GRUB2_MKCONFIG);
    let bls = redhat.clone().and(BLS);
    let more = "GRUB_ENABLE_BLSCFG=true\nGRUB_DEFAULT=saved\nGRUB_DISABLE_RECOVERY=true\n";
    let mut ops = vec![
        file("etc/default/grub", settings(boot, more), "kernel arguments and console of the NII")
            .when(redhat.clone()),
    ];
    let old = Act::Remove { path: "boot/loader/entries/*.conf".into() };
    ops.push(Op::new(old, "the image's entries are for its birthplace").when(bls.clone()));
    for kernel in &boot.kernels {
        let path = format!("boot/loader/entries/{}-{}.conf", boot.context.machine_id(), kernel.version);
        let os = &boot.context.inputs.manifest.os;
        let text = format!(
            "title {} ({version})\nversion {version}\nlinux {}\ninitrd {}\noptions {}\n\
             grub_users $grub_users\ngrub_arg --unrestricted\ngrub_class {}\n",
            os.pretty_name,
            boot.loader_path(&kernel.vmlinuz),
            boot.loader_path(&kernel.initrd),
            boot.command_line,
            os.id,
            version = kernel.version,
        );
        ops.push(file(&path, text, "GRUB's entry of this kernel").when(bls.clone()));
    }
    let line = format!("{}\n", boot.command_line);
    ops.push(file("etc/kernel/cmdline", line, "kernels installed later get the same arguments").when(bls));
    let mkconfig = run(&["grub2-mkconfig", "-o", "/boot/grub2/grub.cfg"], "GRUB's menu");
    ops.push(mkconfig.when(redhat));
    ops
}

/// What the loader needs beside itself: the GRUB that shim starts, and a configuration that goes on to the menu.
pub(super) fn beside_loader(boot: &Boot<'_>) -> Vec<Op> {
    let Some(filesystem) = boot.boot_filesystem() else { return Vec::new() };
    let vendor = vendor(&boot.context.inputs.manifest.os);
    let grub = grub_image(boot);
    let stub = format!(
        "search --no-floppy --fs-uuid --set=dev {}\nset prefix=($dev){}\nexport prefix\nconfigfile $prefix/grub.cfg\n",
        filesystem_text(filesystem.wanted.format, filesystem.uuid),
        boot.loader_path("boot/grub2"),
    );
    let guard = Guard::has(&grub).and(GRUB2_MKCONFIG);
    let menu = |directory: &str| {
        file(&format!("{ESP}/EFI/{directory}/grub.cfg"), stub.clone(), "the menu is in /boot")
    };
    let copy = Act::CopyFile { from: grub, to: format!("{ESP}/EFI/BOOT/grubx64.efi") };
    let ops = [menu(vendor), menu("BOOT"), Op::new(copy, "shim starts the GRUB beside it")];
    ops.map(|op| op.when(guard.clone())).to_vec()
}

/// A copy of the vendor's loader at the path that firmware starts.
pub(super) fn loader(boot: &Boot<'_>) -> Vec<Op> {
    let grub = grub_image(boot);
    let shim = format!("{ESP}/EFI/{}/shimx64.efi", vendor(&boot.context.inputs.manifest.os));
    let guard = Guard::has(&grub).and(GRUB2_MKCONFIG);
    let copy = |from: &str| {
        let act = Act::CopyFile { from: from.into(), to: format!("{ESP}/EFI/BOOT/BOOTX64.EFI") };
        Op::new(act, "firmware starts the removable-media path; its boot order stays as it is")
    };
    vec![copy(&shim).when(guard.clone().and(&shim)), copy(&grub).when(guard.but_not(&shim))]
}
