//! `image`, `modules`, `boot`.

use super::Out;
use super::words::{is_made_of, is_word, url_fault};
use crate::Finding;
use crate::v1::{InstallType, Nii};

pub(super) fn image(nii: &Nii, out: Out<'_>) {
    let Some(image) = &nii.image else {
        if nii.install.kind != InstallType::Package {
            out.push(Finding::error("image", "a disked or diskless install needs an image"));
        }
        return;
    };
    if image.sources.is_empty() {
        out.push(Finding::error("image.sources", "is empty: at least one URL is needed"));
    }
    if image.tmpfs_mib == Some(0) {
        out.push(Finding::error("image.tmpfs_mib", "must be at least 1; leave it out for the default"));
    }
    for (i, url) in image.sources.iter().enumerate() {
        if let Some(fault) = url_fault(url, &["http", "https"]) {
            out.push(Finding::error(format!("image.sources[{i}]"), fault));
        }
    }
}

pub(super) fn modules(nii: &Nii, out: Out<'_>) {
    for (i, module) in nii.modules.iter().enumerate() {
        if !is_made_of(&module.name, "_-") {
            let message = format!("`{}` is no module name", module.name);
            out.push(Finding::error(format!("modules[{i}].name"), message));
        }
    }
}

pub(super) fn boot(nii: &Nii, out: Out<'_>) {
    for (i, argument) in nii.boot.kernel_args.iter().enumerate() {
        let path = format!("boot.kernel_args[{i}]");
        if !is_word(argument) {
            out.push(Finding::error(path, "must be one argument, without blanks, quotes, `$`, `\\` or `#`"));
        } else if argument.starts_with("root=") {
            out.push(Finding::error(path, "camphor sets root= itself, from the root file system"));
        }
    }
}
