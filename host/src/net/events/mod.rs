//! Reports to the head node: numbered when they are made, kept until it has them, sent in the background.
//!
//! The spool holds [`SPOOL_MAX`] bytes; when it is full, progress is dropped first, then the oldest reports. Before
//! there is a session nothing is sent: the console alone shows what happens.
//!
//! Several processes of one boot may share a spool in a file ([`shared`]): the package flow's programs come one after
//! another, and at times two at once.

mod shared;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nii::event::{Body, Event, EventAnswer, EventBatch};
use nii::secret::Secret;
use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

use super::http::Exchange;
use super::retry;
use crate::machine::{FetchError, Request};

/// Bytes of JSON that wait at most.
pub const SPOOL_MAX: usize = 1 << 20;
/// Bytes of JSON in one batch, about.
const BATCH_MAX: usize = 64 << 10;

/// Where reports go once there is a session.
pub struct Destination {
    /// Base URL of the TLS side.
    pub https: String,
    /// The bearer key.
    pub key: Secret,
    /// Its own client: a report must not wait for a chunk.
    pub exchange: Arc<dyn Exchange>,
}

/// Takes reports; clones share the spool.
#[derive(Clone)]
pub struct Reporter(Arc<Shared>);

struct Shared {
    boot_id: Uuid,
    /// Where the spool is kept for other processes, too.
    file: Option<shared::File>,
    spool: Mutex<Spool>,
    changed: Condvar,
}

#[derive(Default)]
struct Spool {
    waiting: VecDeque<(Event, usize)>,
    bytes: usize,
    seq: u64,
    /// Somebody sends.
    sending: bool,
    /// Why nothing is sent any more.
    refused: Option<String>,
    /// Somebody waits: no long pauses now.
    flushing: bool,
}

impl Reporter {
    /// A reporter for this boot.
    pub fn new(boot_id: Uuid) -> Self {
        Self::on(boot_id, None)
    }

    /// A reporter that shares sequence and spool with all others of this boot on the same `file`.
    pub fn shared(boot_id: Uuid, file: &Path) -> Self {
        Self::on(boot_id, Some(shared::File::new(file)))
    }

    fn on(boot_id: Uuid, file: Option<shared::File>) -> Self {
        let shared = Shared { boot_id, file, spool: Mutex::default(), changed: Condvar::new() };
        Self(Arc::new(shared))
    }

    /// Takes a report.
    pub fn report(&self, body: Body) {
        let mut spool = self.0.lock();
        self.0.in_common(&mut spool, |spool| {
            spool.seq += 1;
            let event = Event { boot_id: self.0.boot_id, seq: spool.seq, mono_ms: boot_ms(), body };
            spool.push(event);
        });
        self.0.changed.notify_all();
    }

    /// Begins to send, on a thread of its own that ends with the program.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn send_to(&self, destination: Destination) -> Result<()> {
        let shared = Arc::clone(&self.0);
        self.0.lock().sending = true;
        std::thread::Builder::new()
            .name("reports".to_owned())
            .spawn(move || shared.send_all(&destination))
            .context("starting the thread that sends reports")?;
        Ok(())
    }

    /// Waits until the head node has everything, also what other processes said before; false if it has not within `patience`, or at once before there is a
    /// session.
    pub fn flush(&self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        let mut spool = self.0.lock();
        self.0.in_common(&mut spool, |_| ());
        spool.flushing = true;
        self.0.changed.notify_all();
        while spool.sending && !spool.waiting.is_empty() && spool.refused.is_none() && Instant::now() < end {
            spool = self.0.wait(spool, end.saturating_duration_since(Instant::now()));
        }
        spool.flushing = false;
        spool.waiting.is_empty()
    }

    /// Why the head node takes no reports any more, if so.
    pub fn refused(&self) -> Option<String> {
        self.0.lock().refused.clone()
    }

    /// What waits to be sent, oldest first.
    pub fn waiting(&self) -> Vec<Event> {
        self.0.lock().waiting.iter().map(|(event, _)| event.clone()).collect()
    }
}

impl Spool {
    fn push(&mut self, event: Event) {
        let size = serde_json::to_vec(&event).map_or(0, |json| json.len());
        self.bytes += size;
        self.waiting.push_back((event, size));
        while self.bytes > SPOOL_MAX && self.waiting.len() > 1 {
            let is_progress = |(event, _): &(Event, usize)| matches!(event.body, Body::Progress { .. });
            let victim = self.waiting.iter().position(is_progress).unwrap_or(0);
            self.remove(victim);
        }
    }

    /// What waits, as another process left it.
    fn replace(&mut self, waiting: Vec<Event>) {
        (self.waiting, self.bytes) = (VecDeque::new(), 0);
        waiting.into_iter().for_each(|event| self.push(event));
    }

    fn remove(&mut self, index: usize) {
        self.bytes -= self.waiting.remove(index).map_or(0, |(_, size)| size);
    }

    fn batch(&self) -> EventBatch {
        let mut bytes = 0;
        let fits = |(_, size): &&(Event, usize)| {
            bytes += size;
            bytes <= BATCH_MAX || bytes == *size
        };
        EventBatch { events: self.waiting.iter().take_while(fits).map(|(event, _)| event.clone()).collect() }
    }

    fn acknowledged(&mut self, through: u64) {
        while self.waiting.front().is_some_and(|(event, _)| event.seq <= through) {
            self.remove(0);
        }
    }
}

impl Shared {
    /// Changes the spool, together with whoever shares it. A file that cannot be used leaves this process alone with its
    /// own reports; there is nobody to tell.
    fn in_common<T>(&self, spool: &mut Spool, change: impl FnOnce(&mut Spool) -> T) -> T {
        let Some(file) = &self.file else { return change(spool) };
        let Ok(mut open) = file.open() else { return change(spool) };
        if let Some(kept) = open.read() {
            spool.seq = spool.seq.max(kept.seq);
            spool.replace(kept.waiting);
        }
        let result = change(spool);
        let waiting = spool.waiting.iter().map(|(event, _)| event.clone()).collect();
        let _ = open.write(&shared::Kept { seq: spool.seq, waiting });
        result
    }

    fn lock(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&'a self, spool: MutexGuard<'a, Spool>, patience: Duration) -> MutexGuard<'a, Spool> {
        self.changed.wait_timeout(spool, patience).unwrap_or_else(PoisonError::into_inner).0
    }

    fn send_all(&self, destination: &Destination) {
        let mut pauses = retry::pauses();
        loop {
            let batch = self.next_batch();
            match send(destination, &batch) {
                Ok(through) => {
                    let mut spool = self.lock();
                    self.in_common(&mut spool, |spool| spool.acknowledged(through));
                    drop(spool);
                    self.changed.notify_all();
                    pauses = retry::pauses();
                }
                Err(error) if retry::may_pass(&error) => {
                    let pause = retry::pause(&error, &mut pauses);
                    self.rest(pause);
                }
                Err(error) => {
                    self.lock().refused = Some(retry::in_short(&error));
                    self.changed.notify_all();
                    return;
                }
            }
        }
    }

    fn next_batch(&self) -> EventBatch {
        let mut spool = self.lock();
        loop {
            let batch = self.in_common(&mut spool, |spool| spool.batch());
            if !batch.events.is_empty() {
                return batch;
            }
            // Somebody may wait for the last acknowledgement, which another process got.
            self.changed.notify_all();
            spool = self.wait(spool, Duration::MAX);
        }
    }

    /// Pauses, but only for a second once somebody waits for the reports to be out.
    fn rest(&self, pause: Duration) {
        let began = Instant::now();
        let mut spool = self.lock();
        loop {
            let whole = if spool.flushing { pause.min(Duration::from_secs(1)) } else { pause };
            let left = whole.saturating_sub(began.elapsed());
            if left.is_zero() {
                return;
            }
            spool = self.wait(spool, left);
        }
    }
}

/// One batch; the sequence up to which the head node has all.
fn send(destination: &Destination, batch: &EventBatch) -> Result<u64, FetchError> {
    let url = format!("{}/api/v1/events", destination.https);
    let broken =
        |source: serde_json::Error| FetchError::Transport { url: url.clone(), source: source.into() };
    let body = serde_json::to_vec(batch).map_err(broken)?;
    let request = Request { url: url.clone(), bearer: Some(destination.key.clone()), body: Some(body) };
    let answer: EventAnswer =
        serde_json::from_slice(&destination.exchange.exchange(&request)?).map_err(broken)?;
    Ok(answer.through)
}

/// The kernel's boot id (random(4)).
///
/// # Errors
/// /proc is not mounted.
pub fn boot_id() -> Result<Uuid> {
    const PATH: &str = "/proc/sys/kernel/random/boot_id";
    let text = std::fs::read_to_string(PATH).with_context(|| format!("reading {PATH}"))?;
    text.trim().parse().with_context(|| format!("reading {PATH}"))
}

/// Milliseconds since boot, suspended time included.
fn boot_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(text: &str) -> Body {
        Body::Warning { message: text.into() }
    }

    /// A head node that refuses the first exchanges and takes the rest.
    struct Fake {
        failures: Mutex<u32>,
        seen: Mutex<Vec<u64>>,
    }

    impl Exchange for Fake {
        fn exchange(&self, request: &Request) -> Result<Vec<u8>, FetchError> {
            let mut failures = self.failures.lock().unwrap();
            if *failures > 0 {
                *failures -= 1;
                return Err(FetchError::Transport {
                    url: request.url.clone(),
                    source: anyhow::anyhow!("down"),
                });
            }
            let batch: EventBatch = serde_json::from_slice(request.body.as_ref().unwrap()).unwrap();
            let mut seen = self.seen.lock().unwrap();
            seen.extend(batch.events.iter().map(|event| event.seq));
            Ok(serde_json::to_vec(&EventAnswer { through: *seen.last().unwrap() }).unwrap())
        }
    }

    #[test]
    fn everything_arrives_in_order_once_the_head_node_is_back() {
        let reporter = Reporter::new(Uuid::nil());
        reporter.report(warning("before the session"));
        let fake = Arc::new(Fake { failures: Mutex::new(2), seen: Mutex::default() });
        let exchange: Arc<dyn Exchange> = Arc::clone(&fake) as _;
        let key = Secret::new("k");
        reporter.send_to(Destination { https: "https://h".into(), key, exchange }).unwrap();
        reporter.report(warning("after"));
        assert!(reporter.flush(Duration::from_secs(30)));
        assert_eq!(*fake.seen.lock().unwrap(), [1, 2]);
    }

    #[test]
    fn several_reporters_share_one_sequence_and_one_spool() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("events");
        let (first, second) = (Reporter::shared(Uuid::nil(), &file), Reporter::shared(Uuid::nil(), &file));
        first.report(warning("one"));
        second.report(warning("two"));
        first.report(warning("three"));
        let fake = Arc::new(Fake { failures: Mutex::default(), seen: Mutex::default() });
        let exchange: Arc<dyn Exchange> = Arc::clone(&fake) as _;
        let key = Secret::new("k");
        second.send_to(Destination { https: "https://h".into(), key, exchange }).unwrap();
        assert!(second.flush(Duration::from_secs(30)));
        assert_eq!(*fake.seen.lock().unwrap(), [1, 2, 3]);
        let third = Reporter::shared(Uuid::nil(), &file);
        third.report(warning("four"));
        let seqs: Vec<u64> = third.waiting().iter().map(|event| event.seq).collect();
        assert_eq!(seqs, [4], "what was acknowledged is gone for all");
    }

    #[test]
    fn a_full_spool_drops_progress_first_and_then_the_oldest() {
        let reporter = Reporter::new(Uuid::nil());
        let long = "x".repeat(SPOOL_MAX / 4);
        reporter.report(warning("first"));
        reporter.report(Body::Progress { step: "unpack".into(), done: 1, total: 2 });
        for _ in 0..4 {
            reporter.report(warning(&long));
        }
        let seqs: Vec<u64> = reporter.waiting().iter().map(|event| event.seq).collect();
        assert_eq!(seqs, [4, 5, 6]);
        assert!(reporter.0.lock().bytes <= SPOOL_MAX);
    }

    #[test]
    fn a_batch_holds_at_least_one_event() {
        let mut spool = Spool::default();
        for seq in 1..=3 {
            let body = warning(&"x".repeat(BATCH_MAX));
            spool.push(Event { boot_id: Uuid::nil(), seq, mono_ms: 0, body });
        }
        assert_eq!(spool.batch().events.len(), 1);
        spool.acknowledged(2);
        assert_eq!(spool.batch().events[0].seq, 3);
    }
}
