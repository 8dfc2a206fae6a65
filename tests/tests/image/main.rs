//! The image flow, from PXE to a login prompt, with real firmware, DHCP, TFTP and HTTP. One VM a scenario.
//!
//! To add one: a function named `image_…` that calls [`tests::scenario::run`] with its own name, in the file that its
//! subject is in.

mod after;
mod dracut;
mod faults;
mod inside;
mod install;
mod layouts;
mod refused;

use std::time::Duration;

/// From power-on to the first line of our /init: firmware, PXE, and the kernel's start.
const PXE: Duration = Duration::from_secs(120);
/// From there to the committed disk.
const INSTALL: Duration = Duration::from_secs(300);
/// From the firmware, or from a hand-off, to a login prompt; the firmware may try the network in vain first.
const BOOT: Duration = Duration::from_secs(240);
