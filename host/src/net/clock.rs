//! The time that certificates are judged by: the head node's signed time, and the monotonic clock since.
//!
//! The hardware clock of a node may say 1970 or 2100; it is not asked.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// A clock that nobody has to set right.
#[derive(Debug)]
pub struct Clock {
    floor: u64,
    /// Seconds since 1970, and when they were told.
    told: Mutex<Option<(u64, Instant)>>,
}

impl Clock {
    /// A clock that says `floor` (seconds since 1970, `Trust::time_floor`) until it is told better.
    pub fn new(floor: u64) -> Self {
        Self { floor, told: Mutex::new(None) }
    }

    /// Takes over a signed time, in seconds since 1970.
    pub fn tell(&self, time: u64) {
        *self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((time, Instant::now()));
    }

    /// Seconds since 1970; never before the floor.
    pub fn now(&self) -> u64 {
        let told = *self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        told.map_or(self.floor, |(time, at)| time.max(self.floor) + at.elapsed().as_secs())
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.now())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_never_before_the_floor() {
        let clock = Clock::new(1000);
        assert_eq!(clock.now(), 1000);
        clock.tell(10);
        assert!((1000..1010).contains(&clock.now()));
        clock.tell(5000);
        assert!((5000..5010).contains(&clock.now()));
    }
}
