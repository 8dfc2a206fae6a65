//! The system's clock, which logs and file times go by. TLS is judged by [`crate::net::clock`] instead.

use anyhow::Context;
use rustix::time::{ClockId, Timespec, clock_settime};

/// Sets the kernel's clock to so many seconds since 1970.
///
/// # Errors
/// When the kernel refuses.
pub fn set(time: u64) -> anyhow::Result<()> {
    let tv_sec = i64::try_from(time).context("reading the time")?;
    clock_settime(ClockId::Realtime, Timespec { tv_sec, tv_nsec: 0 }).context("setting the kernel's clock")
}
