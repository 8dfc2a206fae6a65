//! What must hold whoever listens, and whatever a node's clock says.

mod chip;
mod clock;
mod secrets;
mod secure_boot;

use std::time::Duration;

/// From power-on to the end of the preflight.
const PREFLIGHT: Duration = Duration::from_secs(120);
/// From there to the committed disk.
const INSTALL: Duration = Duration::from_secs(400);
