//! What makes an NII impossible or dangerous, beside its shape. Every rule is one small function that pushes findings;
//! one file has one section of the document.
//!
//! Values reach kickstarts, shell words, file names and fstab. Whoever writes those quotes; [`words`] sees to it that no value could
//! break out even so.

mod arrays;
mod boot;
mod booting;
mod disks;
mod filesystems;
mod flows;
mod luks;
mod lvm;
mod mounts;
mod network;
mod node;
mod package;
mod preserve;
mod scripts;
mod stack;
mod words;

use super::Nii;
use crate::Finding;

type Out<'a> = &'a mut Vec<Finding>;

pub(super) fn nii(nii: &Nii) -> Vec<Finding> {
    let mut findings = Vec::new();
    let out = &mut findings;
    node::node(nii, out);
    node::locale(nii, out);
    node::root(nii, out);
    network::network(nii, out);
    disks::disks(nii, out);
    stack::stack(nii, out);
    filesystems::filesystems(nii, out);
    mounts::mounts(nii, out);
    booting::booting(nii, out);
    preserve::preserve(nii, out);
    boot::image(nii, out);
    package::package(nii, out);
    scripts::scripts(nii, out);
    boot::modules(nii, out);
    boot::boot(nii, out);
    flows::flows(nii, out);
    findings
}
