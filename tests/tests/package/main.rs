//! The package flow, from PXE to the node's final state. Stock anaconda does not run here: its initrd, its stage2 and
//! its packages are stand-ins ([`tests::stock`]), with real firmware, DHCP and HTTP, a real dracut, and a real root.
//!
//! To add one: a function named `package_…` that calls [`tests::scenario::run`] with its own name, in the file that its
//! subject is in.

mod failed;
mod group;
mod install;
mod kept;
mod kusu;
mod root;
mod salvage;

use std::time::Duration;

/// From power-on to the first line of `installer prepare`: firmware, PXE, the kernel, dracut, DHCP.
const PXE: Duration = Duration::from_secs(240);
/// From there to the end: partition, stage2, the stand-in's work, ours in `%post`.
const INSTALL: Duration = Duration::from_secs(420);
/// What the stand-in for anaconda says when it is through, and reboots.
const END: &str = "anaconda: leaving";
