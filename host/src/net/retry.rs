//! Asking the head node again: exponential back-off with jitter, and a word on the console about it.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use nii::session::ErrorCode;

use crate::machine::{FetchError, Watch};

/// First pause and longest pause before the jitter, which adds up to as much again: 0.5 s to 15 s
/// (docs/protocol.md, "Time-outs and retries").
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_millis(7500));
/// The console hears of it this often at most.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// A server may ask for patience, within reason.
const RETRY_AFTER_MAX: u64 = 300;

/// Whether another try may help.
pub fn may_pass(error: &FetchError) -> bool {
    match error {
        FetchError::Transport { .. } => true,
        FetchError::Refused { status, answer, .. } => {
            *status == 429 || *status >= 500 || matches!(answer.code, ErrorCode::Busy | ErrorCode::Internal)
        }
    }
}

/// The innermost cause in a few words: what a person needs of a chain of six.
pub fn in_short(error: &FetchError) -> String {
    match error {
        FetchError::Transport { source, .. } => source.root_cause().to_string(),
        FetchError::Refused { status, answer, .. } => format!("it answered {status}: {}", answer.message),
    }
}

/// The pauses between tries.
pub fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(PAUSES.0)
        .with_max_delay(PAUSES.1)
        .without_max_times()
        .with_jitter()
        .build()
}

/// The pause before the next try, `Retry-After` obeyed.
pub fn pause(error: &FetchError, pauses: &mut ExponentialBackoff) -> Duration {
    let pause = pauses.next().unwrap_or(PAUSES.1);
    match error {
        FetchError::Refused { retry_after: Some(seconds), .. } => {
            pause.max(Duration::from_secs((*seconds).min(RETRY_AFTER_MAX)))
        }
        _ => pause,
    }
}

/// How a waiting program spends its time; tests do not.
pub type Sleep = fn(Duration);

/// Calls `attempt` until it succeeds or fails for good. `whom` is named on the console: "the head node at http://…".
///
/// # Errors
/// The first error that another try cannot help.
pub fn until_answered<T>(
    whom: &str,
    sleep: Sleep,
    watch: &mut dyn Watch,
    mut attempt: impl FnMut() -> Result<T, FetchError>,
) -> Result<T, FetchError> {
    let mut pauses = pauses();
    let mut said: Option<Instant> = None;
    loop {
        let error = match attempt() {
            Err(error) if may_pass(&error) => error,
            result => return result,
        };
        let pause = pause(&error, &mut pauses);
        if said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            let next = pause.as_secs_f64();
            watch.log(&format!("waiting for {whom}: {}; trying again in {next:.1} s", in_short(&error)));
            said = Some(Instant::now());
        }
        sleep(pause);
    }
}
