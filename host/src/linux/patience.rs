//! Waiting for the kernel, with a deadline: whoever looked at a device a moment ago (udevd, mostly) closes it soon.

use std::time::{Duration, Instant};

use rustix::io::Errno;

/// How long the kernel may take to let go of something, or to make a node.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Tries again while it is busy.
///
/// # Errors
/// What the call says last: EBUSY if it stayed so.
pub fn patiently(mut call: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
    let until = Instant::now() + PATIENCE;
    for pause in pauses() {
        match call() {
            Err(Errno::BUSY) if Instant::now() < until => std::thread::sleep(pause),
            result => return result,
        }
    }
    Err(Errno::BUSY)
}

/// Whether it became true in time.
pub fn comes_true(mut is_true: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + PATIENCE;
    for pause in pauses() {
        if is_true() {
            return true;
        }
        if Instant::now() >= until {
            break;
        }
        std::thread::sleep(pause);
    }
    false
}

/// 1 ms, doubling up to 100 ms, for ever.
fn pauses() -> impl Iterator<Item = Duration> {
    std::iter::successors(Some(1), |ms: &u64| Some((ms * 2).min(100))).map(Duration::from_millis)
}
