//! What can be known to go wrong before anything is touched, beside disks and boot loaders.

use nii::Finding;
use nii::manifest::{Manifest, Payload};
use nii::v1::After;

use crate::facts::Facts;
use crate::install::Inputs;
use crate::os::major_minor;
use crate::units::{MIB, human};

/// What the node program and the programs that it runs need beside the image, at the peak.
pub const WORKING_MEMORY: u64 = 96 * MIB;
/// The first Linux whose tmpfs keeps `user.*` attributes.
const TMPFS_USER_XATTRS: (u32, u32) = (6, 6);

/// Size and inodes of a root in RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RamRoot {
    pub size: u64,
    pub inodes: u64,
}

/// What concerns every image install.
pub(crate) fn common(inputs: &Inputs<'_>, out: &mut Vec<Finding>) {
    let Inputs { facts, nii, manifest, .. } = inputs;
    if manifest.arch != "unknown" && manifest.arch != facts.arch {
        let message =
            format!("image `{}` is for {}, this machine is {}", manifest.name, manifest.arch, facts.arch);
        out.push(Finding::error("image", message));
    }
    // The only payload that `image` unpacks.
    if manifest.payload != Payload::TarZst {
        let message = format!(
            "image `{}` is no tar.zst archive, and nodes unpack nothing else; import it again",
            manifest.name
        );
        out.push(Finding::error("image", message));
    }
    if nii.image.is_none() {
        out.push(Finding::error("image", "is missing"));
    }
}

/// What concerns a node that boots from its disks.
pub(crate) fn disked(inputs: &Inputs<'_>, out: &mut Vec<Finding>) {
    let Inputs { facts, nii, manifest, .. } = inputs;
    if facts.memory_available < WORKING_MEMORY {
        let message = format!("the install needs {}, {}", human(WORKING_MEMORY), memory(facts));
        out.push(Finding::error("install", message));
    }
    if nii.install.after == After::SwitchRoot {
        kernel_is_inside(facts, manifest, "install.after", "; use `kexec` or `reboot`", out);
    }
}

/// What concerns a node that runs from RAM; the size of its root.
pub(crate) fn diskless(inputs: &Inputs<'_>, out: &mut Vec<Finding>) -> RamRoot {
    let Inputs { facts, nii, manifest, .. } = inputs;
    kernel_is_inside(facts, manifest, "install.type", "; boot the node with a kernel of the image", out);
    if !nii.storage.disks.is_empty() || !nii.storage.filesystems.is_empty() {
        out.push(Finding::error("storage", "a diskless node has no storage: leave the section out"));
    }
    if manifest.xattr_namespaces.iter().any(|name| name == "user")
        && major_minor(&facts.kernel).is_none_or(|version| version < TMPFS_USER_XATTRS)
    {
        let message = format!(
            "the image has `user.*` extended attributes, and tmpfs keeps them from Linux {}.{} on; this is {}",
            TMPFS_USER_XATTRS.0, TMPFS_USER_XATTRS.1, facts.kernel
        );
        out.push(Finding::error("image", message));
    }
    let image = manifest.ram_bytes;
    let needs = image + WORKING_MEMORY;
    if facts.memory_available < needs {
        let message = format!("the image needs {} of RAM, {}", human(needs), memory(facts));
        out.push(Finding::error("image", message));
    }
    let wanted = nii.image.as_ref().and_then(|image| image.tmpfs_mib).map(|mib| mib.saturating_mul(MIB));
    if let Some(size) = wanted.filter(|size| *size < image) {
        let message = format!("the image needs {}, the limit is {}", human(image), human(size));
        out.push(Finding::error("image.tmpfs_mib", message));
    }
    if let Some(size) = wanted.filter(|size| *size > facts.memory_total) {
        let message =
            format!("a limit of {} is none: the node has {}", human(size), human(facts.memory_total));
        out.push(Finding::warning("image.tmpfs_mib", message));
    }
    // The node's own files come on top of the image's, and they grow while it runs.
    let room = facts.memory_available.saturating_sub(needs) / 2;
    RamRoot { size: wanted.unwrap_or(image + room), inodes: manifest.inodes * 2 + 65536 }
}

fn kernel_is_inside(facts: &Facts, manifest: &Manifest, path: &str, way_out: &str, out: &mut Vec<Finding>) {
    if manifest.serves_kernel(&facts.kernel) {
        return;
    }
    let inside: Vec<&str> =
        manifest.kernels.iter().filter(|k| k.modules).map(|k| k.version.as_str()).collect();
    let inside = if inside.is_empty() { "none".to_owned() } else { inside.join(", ") };
    let message = format!(
        "the image has no modules for the running kernel {} (it has {inside}){way_out}",
        facts.kernel
    );
    out.push(Finding::error(path, message));
}

fn memory(facts: &Facts) -> String {
    format!("the node has {} ({} free)", human(facts.memory_total), human(facts.memory_available))
}
