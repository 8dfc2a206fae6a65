//! Results of parallel work, taken in order, few at a time: how both unpacking and packing use all cores in bounded
//! memory.
//!
//! Workers take jobs numbered from 0 in ascending order, wait for [`Ordered::room`] *before* they hold anything
//! large, and [`Ordered::put`] what they made; one consumer takes. The lowest number not yet taken always has room,
//! so this cannot lock up.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// See the module.
pub(crate) struct Ordered<T> {
    state: Mutex<State<T>>,
    /// Something changed that a worker may wait for.
    room: Condvar,
    /// Something changed that the consumer may wait for.
    ready: Condvar,
    /// How far ahead of the consumer workers may be.
    window: u64,
}

struct State<T> {
    /// Number of the result that is taken next.
    next: u64,
    /// Results from `next` on, as far as they are there.
    slots: VecDeque<Option<T>>,
    /// Number of jobs, once it is known.
    end: Option<u64>,
    stopped: bool,
}

impl<T> Ordered<T> {
    pub fn new(window: usize) -> Self {
        let state = State { next: 0, slots: VecDeque::new(), end: None, stopped: false };
        Self {
            state: Mutex::new(state),
            room: Condvar::new(),
            ready: Condvar::new(),
            window: window.max(1) as u64,
        }
    }

    /// A worker that panicked has left nothing half-done in here.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until job `number` may be worked on; false if the work was stopped.
    pub fn room(&self, number: u64) -> bool {
        let state = self.lock();
        let waiting = |state: &mut State<T>| !state.stopped && number >= state.next + self.window;
        let state = self.room.wait_while(state, waiting).unwrap_or_else(PoisonError::into_inner);
        !state.stopped
    }

    /// Hands in the result of a job that had room.
    pub fn put(&self, number: u64, result: T) {
        let mut state = self.lock();
        let index = usize::try_from(number - state.next).unwrap_or(usize::MAX);
        while state.slots.len() <= index {
            state.slots.push_back(None);
        }
        state.slots[index] = Some(result);
        drop(state);
        self.ready.notify_all();
    }

    /// Says how many jobs there are in all.
    pub fn end(&self, count: u64) {
        self.lock().end = Some(count);
        self.ready.notify_all();
    }

    /// The next result in order. `None` after the last, or if the work was stopped.
    pub fn take(&self) -> Option<T> {
        let state = self.lock();
        let waiting = |state: &mut State<T>| {
            let ready = matches!(state.slots.front(), Some(Some(_)));
            !ready && !state.stopped && state.end != Some(state.next)
        };
        let mut state = self.ready.wait_while(state, waiting).unwrap_or_else(PoisonError::into_inner);
        if state.stopped {
            return None;
        }
        let result = state.slots.pop_front().flatten()?;
        state.next += 1;
        drop(state);
        self.room.notify_all();
        Some(result)
    }

    /// Stops all work: nobody waits any longer.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.room.notify_all();
        self.ready.notify_all();
    }

    pub fn stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Waits for `pause`, or until the work is stopped: then false.
    pub fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut state = self.lock();
        while !state.stopped {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            state = self.room.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }

    /// Stops the work when it is dropped: a thread that returns early or panics leaves nobody waiting for it.
    pub fn stop_guard(&self) -> StopGuard<'_, T> {
        StopGuard(self)
    }
}

/// See [`Ordered::stop_guard`].
pub(crate) struct StopGuard<'a, T>(&'a Ordered<T>);

impl<T> StopGuard<'_, T> {
    /// All went well: others may go on.
    pub fn disarm(self) {
        std::mem::forget(self);
    }
}

impl<T> Drop for StopGuard<'_, T> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn in_order_and_within_the_window() {
        let ordered = Ordered::new(3);
        let (job, ahead) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    loop {
                        let number = job.fetch_add(1, Ordering::SeqCst);
                        if number >= 1000 || !ordered.room(number) {
                            ordered.end(1000);
                            return;
                        }
                        ahead.fetch_add(1, Ordering::SeqCst);
                        ordered.put(number, number);
                    }
                });
            }
            for wanted in 0..1000 {
                assert_eq!(ordered.take(), Some(wanted));
                assert!(ahead.load(Ordering::SeqCst) <= wanted + 1 + 3);
            }
            assert_eq!(ordered.take(), None);
            assert!(!ordered.stopped());
        });
    }

    #[test]
    fn stopping_wakes_everybody() {
        let ordered = Ordered::<()>::new(1);
        thread::scope(|scope| {
            scope.spawn(|| assert!(!ordered.room(5)));
            scope.spawn(|| assert!(!ordered.pause(Duration::from_secs(3600))));
            scope.spawn(|| assert!(ordered.take().is_none()));
            drop(ordered.stop_guard());
        });
    }
}
