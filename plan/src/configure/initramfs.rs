//! The image's kernels and their initramfs: which the node can boot, and when an initramfs is made again.
//!
//! A host-only initramfs has the drivers of the machine that the image was made on, and does not find another's disks.

use nii::v1::Rebuild;

use super::{Context, run, storage};
use crate::install::Inputs;
use crate::op::{Guard, Op};
use crate::os::{is_debian, is_redhat, version_key};

const UPDATE_INITRAMFS: &str = "usr/sbin/update-initramfs";

/// A kernel of the image that the installed system can boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BootKernel {
    /// `uname -r`.
    pub version: String,
    /// Where the image has it, below the root.
    pub from: String,
    /// Where boot loaders find it, below the root: in `boot/`.
    pub vmlinuz: String,
    /// Its initramfs, in `boot/`.
    pub initrd: String,
}

/// The bootable kernels, newest first: those with a kernel file and an initramfs, which a Red Hat root may leave to
/// dracut on the node.
pub(crate) fn kernels(inputs: &Inputs<'_>) -> Vec<BootKernel> {
    let dracut = is_redhat(&inputs.manifest.os) && inputs.nii.boot.rebuild_initramfs != Rebuild::Never;
    let one = |kernel: &nii::manifest::Kernel| {
        let version = kernel.version.clone();
        let from = kernel.vmlinuz.clone()?;
        let vmlinuz =
            if from.starts_with("boot/") { from.clone() } else { format!("boot/vmlinuz-{version}") };
        let made = || dracut.then(|| format!("boot/initramfs-{version}.img"));
        let initrd = kernel.initrd.clone().filter(|path| path.starts_with("boot/")).or_else(made)?;
        Some(BootKernel { version, from, vmlinuz, initrd })
    };
    let mut kernels: Vec<BootKernel> = inputs.manifest.kernels.iter().filter_map(one).collect();
    kernels.sort_by_key(|kernel| std::cmp::Reverse(version_key(&kernel.version)));
    kernels
}

pub(super) fn ops(context: &Context<'_>) -> Vec<Op> {
    let rebuild = context.inputs.nii.boot.rebuild_initramfs;
    if rebuild == Rebuild::Never {
        return Vec::new();
    }
    let os = &context.inputs.manifest.os;
    let mut ops = Vec::new();
    for kernel in kernels(context.inputs) {
        // initramfs-tools goes first where both are. EL 7 has dracut in sbin only.
        let in_bin = Guard::has("usr/bin/dracut").but_not(UPDATE_INITRAMFS);
        let in_sbin = Guard::has("usr/sbin/dracut").but_not("usr/bin/dracut").but_not(UPDATE_INITRAMFS);
        for guard in [Some(in_bin), (!is_debian(os)).then_some(in_sbin)].into_iter().flatten() {
            let image = format!("/{}", kernel.initrd);
            let argv = ["dracut", "--force", "--no-hostonly", &image, &kernel.version];
            ops.push(run(&argv, "dracut's initramfs may be for the image's birthplace only").when(guard));
        }
    }
    if is_redhat(os) {
        return ops;
    }
    let tools = Guard::has(UPDATE_INITRAMFS);
    let update = ["update-initramfs", "-u", "-k", "all"];
    ops.push(match rebuild {
        Rebuild::Auto if storage::is_stacked(context) => {
            run(&update, "the image's initramfs does not know the node's arrays and volumes").when(tools)
        }
        Rebuild::Auto => run(&update, "the image's driver policy made its initramfs for its birthplace only")
            .when(tools.and("etc/initramfs-tools/conf.d/driver-policy")),
        _ => run(&update, "the NII wants the initramfs made again").when(tools),
    });
    ops
}
