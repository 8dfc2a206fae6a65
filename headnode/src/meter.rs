//! How often an address did something lately: a fixed window for each, in bounded memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Addresses that are known at once. Whoever has more of them pushes out those that began first.
const ADDRESSES: usize = 16 << 10;

/// Counts what addresses do.
pub struct Meter {
    most: u32,
    window: Duration,
    seen: Mutex<HashMap<IpAddr, Seen>>,
}

#[derive(Clone, Copy)]
struct Seen {
    since: Instant,
    times: u32,
}

impl Meter {
    /// `most` times in each `window`.
    pub fn new(most: u32, window: Duration) -> Self {
        Self { most, window, seen: Mutex::default() }
    }

    /// How long an address that has used up its times has to wait.
    pub fn pause(&self, address: IpAddr) -> Option<Duration> {
        self.pause_at(address, Instant::now())
    }

    /// Counts once; how often it was in this window.
    pub fn count(&self, address: IpAddr) -> u32 {
        self.count_at(address, Instant::now())
    }

    fn pause_at(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.get(&address.to_canonical()).filter(|seen| seen.times >= self.most)?;
        let left = self.window.checked_sub(now.duration_since(seen.since))?;
        // Whole seconds, as `Retry-After` has them.
        Some(Duration::from_secs(left.as_secs() + 1))
    }

    fn count_at(&self, address: IpAddr, now: Instant) -> u32 {
        let address = address.to_canonical();
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= ADDRESSES && !all.contains_key(&address) {
            all.retain(|_, seen| now.duration_since(seen.since) < self.window);
            let first = all.iter().min_by_key(|(_, seen)| seen.since).map(|(address, _)| *address);
            if let Some(first) = first.filter(|_| all.len() >= ADDRESSES) {
                all.remove(&first);
            }
        }
        let seen = all.entry(address).or_insert(Seen { since: now, times: 0 });
        if now.duration_since(seen.since) >= self.window {
            *seen = Seen { since: now, times: 0 };
        }
        seen.times = seen.times.saturating_add(1);
        seen.times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn trust_times_are_counted_for_each_address_and_forgotten() {
        let (meter, start) = (Meter::new(2, MINUTE), Instant::now());
        let [a, b] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(IpAddr::from);
        assert_eq!((meter.count_at(a, start), meter.pause_at(a, start)), (1, None));
        assert_eq!(meter.count_at(a, start + MINUTE / 2), 2);
        assert_eq!(meter.pause_at(a, start + MINUTE / 2), Some(Duration::from_secs(31)));
        assert_eq!(meter.pause_at(b, start), None, "another address");
        assert_eq!(meter.pause_at(a, start + MINUTE * 2), None);
        assert_eq!(meter.count_at(a, start + MINUTE * 2), 1);
    }

    #[test]
    fn trust_many_addresses_take_no_more_memory() {
        let (meter, start) = (Meter::new(1, MINUTE), Instant::now());
        let address = |number: usize| IpAddr::from(u32::try_from(number).unwrap().to_be_bytes());
        for number in 0..ADDRESSES + 10 {
            meter.count_at(address(number), start + Duration::from_micros(number as u64));
        }
        assert_eq!(meter.seen.lock().unwrap().len(), ADDRESSES);
        assert!(meter.pause_at(address(9), start).is_none(), "the first are pushed out");
        assert!(meter.pause_at(address(ADDRESSES + 9), start + MINUTE / 2).is_some());
    }
}
