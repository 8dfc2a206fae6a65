//! The step runner: a program is a table of [`Step`]s, and this runs it.
//!
//! It numbers and times the steps, tells the [`Tracker`]'s observers, and holds each step to its deadline. A step
//! may hang in the kernel (a dead disk, a stuck mount), where no thread can be stopped: at the deadline a watchdog
//! thread gives the run up (no further op is begun, a program that runs is killed), reports the failure and calls `overdue`,
//! which ends the process with [`EXIT_OVERDUE`] or holds the machine. An op that the kernel has may still go through, and
//! is named in the report.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use nii::event::Failure;

use crate::tracker::{Note, Tracker};

/// Exit status of a program that the watchdog ended: a step outlived its deadline (EX_TEMPFAIL of sysexits.h).
pub const EXIT_OVERDUE: i32 = 75;

/// How long the watchdog waits for an observer that is busy, before it ends the process without a word.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// One row of a program's table of contents.
pub struct Step<C> {
    /// Its name, an imperative: `partition`, `unpack`.
    pub name: &'static str,
    /// What it does, in one line for a person.
    pub about: &'static str,
    /// Longest time that it may take; [`Duration::MAX`] for a step that waits for as long as it takes.
    pub deadline: Duration,
    /// Does it.
    pub run: fn(&mut C) -> anyhow::Result<()>,
    /// Whether it is needed; asked when its turn comes.
    pub when: fn(&C) -> bool,
}

/// Which part of a whole a table is, where several programs share an install.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Steps of the programs before.
    pub before: u32,
    /// Steps of all.
    pub of: u32,
}

/// Runs `steps` in order until one fails.
///
/// `overdue` is called on the watchdog thread, once, after the observers were told of the failure: a program sends
/// what is spooled and does not come back. If it does (in tests), the run ends as soon as the step does, and the step's own
/// result counts no more.
///
/// # Errors
/// The report of the step that failed; the observers have been told.
pub fn run<C>(
    steps: &[Step<C>],
    context: &mut C,
    tracker: &Tracker,
    overdue: &(dyn Fn(&Failure) + Sync),
) -> Result<(), Failure> {
    run_part(steps, Part { before: 0, of: steps.len() as u32 }, context, tracker, overdue)
}

/// The same for the part of a whole.
///
/// # Errors
/// As for [`run`].
pub fn run_part<C>(
    steps: &[Step<C>],
    part: Part,
    context: &mut C,
    tracker: &Tracker,
    overdue: &(dyn Fn(&Failure) + Sync),
) -> Result<(), Failure> {
    let of = part.of;
    for (number, step) in (part.before + 1..).zip(steps) {
        if !(step.when)(context) {
            tracker.tell(&Note::Skipped { step: step.name, number, of });
            continue;
        }
        let deadline = tracker.begin(step.name, step.deadline);
        tracker.tell(&Note::Started { step: step.name, number, of, deadline });
        let began = Instant::now();
        watched(tracker, step.name, deadline, overdue, || (step.run)(context))?;
        tracker.tell(&Note::Finished { step: step.name, number, of, took: began.elapsed() });
    }
    Ok(())
}

/// The table, for `--list`: one line a step.
pub fn list<C>(steps: &[Step<C>]) -> String {
    let width = steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
    let rows = (1..).zip(steps).map(|(number, step): (u32, _)| {
        let deadline = match step.deadline {
            Duration::MAX => "no deadline".to_owned(),
            deadline => format!("{} s", deadline.as_secs()),
        };
        format!("{number:2}  {:width$}  {} ({deadline})\n", step.name, step.about)
    });
    rows.collect()
}

/// Runs `work` beside a watchdog thread; the failure was told, by the one or the other.
fn watched(
    tracker: &Tracker,
    step: &str,
    deadline: Duration,
    overdue: &(dyn Fn(&Failure) + Sync),
    work: impl FnOnce() -> anyhow::Result<()>,
) -> Result<(), Failure> {
    std::thread::scope(|scope| {
        let (done, wait): (Sender<()>, _) = mpsc::channel();
        let watchdog = scope.spawn(move || {
            let timed_out = match deadline {
                Duration::MAX => false,
                deadline => wait.recv_timeout(deadline) == Err(RecvTimeoutError::Timeout),
            };
            timed_out.then(|| {
                let error = anyhow!("step {step} was not done after {} s, its deadline", deadline.as_secs());
                let failure = tracker.stop(&error);
                tracker.tell_within(&Note::Failed(&failure), LAST_WORDS);
                overdue(&failure);
                failure
            })
        });
        let result = work();
        drop(done);
        match watchdog.join() {
            Ok(Some(failure)) => Err(failure),
            _ => result.map_err(|error| {
                let failure = tracker.failure(&error);
                tracker.tell(&Note::Failed(&failure));
                failure
            }),
        }
    })
}
