//! Who is told what goes on: the console, and the head node. `docs/imageinit.md` fixes the console's lines.

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nii::event::Body;
use nii::v1::OnFailure;

use crate::net::events::Reporter;
use crate::{Note, Observer};

/// Progress on the console this often at most; the head node gets it more often.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);
/// Below a step's name.
const MARGIN: &str = "        ";

/// Takes a line for people.
pub type Say = Box<dyn FnMut(&str) + Send>;

/// The console.
pub struct Screen {
    /// Every op, too.
    pub debug: bool,
    /// When progress was shown last.
    progress: Option<Instant>,
    say: Say,
}

impl Screen {
    /// A console that is written to by `say`; with `debug` it shows every op.
    pub fn new(debug: bool, say: Say) -> Self {
        Self { debug, progress: None, say }
    }

    /// What a note looks like, if it is shown.
    pub fn line(&mut self, note: &Note<'_>) -> Option<String> {
        match note {
            Note::Finished { step, number, of, took } => {
                self.progress = None;
                Some(format!("[{number:2}/{of}] {step} … {:.1} s", took.as_secs_f64()))
            }
            Note::Op { op } if self.debug => Some(format!("{MARGIN}op: {op} ({})", op.reason)),
            Note::OpSkipped { op, why } if self.debug => Some(format!("{MARGIN}skipped: {op} ({why})")),
            Note::Progress { step, done, total, rate, eta } => {
                if self.progress.is_some_and(|at| at.elapsed() < PROGRESS_EVERY) {
                    return None;
                }
                self.progress = Some(Instant::now());
                Some(progress(step, *done, *total, *rate, *eta))
            }
            Note::Log { line } => Some(format!("{MARGIN}{line}")),
            Note::Warning { message } => Some(format!("camphor: warning: {message}")),
            _ => None,
        }
    }
}

impl Observer for Screen {
    fn note(&mut self, note: &Note<'_>) {
        if let Some(line) = self.line(note) {
            (self.say)(&line);
        }
    }
}

/// A line on standard output. One that cannot be said is lost; there is nobody else to tell.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn progress(step: &str, done: u64, total: u64, rate: f64, eta: Option<Duration>) -> String {
    let mega = |bytes: u64| bytes as f64 / 1e6;
    let percent = (done * 100).checked_div(total).unwrap_or(0);
    let eta = eta.map(|eta| format!(", {} s left", eta.as_secs())).unwrap_or_default();
    format!(
        "{MARGIN}{step} {percent} %: {:.0} of {:.0} MB, {:.1} MB/s{eta}",
        mega(done),
        mega(total),
        rate / 1e6
    )
}

/// The head node, by way of the spool.
pub struct Reports(pub Reporter);

impl Observer for Reports {
    fn note(&mut self, note: &Note<'_>) {
        if let Some(body) = event(note) {
            self.0.report(body);
        }
    }
}

fn event(note: &Note<'_>) -> Option<Body> {
    Some(match *note {
        Note::Started { step, number, of, deadline } => {
            let deadline_s = u32::try_from(deadline.as_secs()).unwrap_or(u32::MAX);
            Body::StepStarted { step: step.to_owned(), number, of, deadline_s }
        }
        Note::Finished { step, took, .. } => {
            let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            Body::StepFinished { step: step.to_owned(), ms }
        }
        Note::Progress { step, done, total, .. } => Body::Progress { step: step.to_owned(), done, total },
        Note::Warning { message } => Body::Warning { message: message.to_owned() },
        Note::Failed(failure) => Body::Failed(failure.clone()),
        _ => return None,
    })
}

/// The failure policy, once the NII says it.
pub type Policy = Arc<Mutex<OnFailure>>;

/// From now on it is this one.
pub fn set_policy(policy: &Policy, wanted: OnFailure) {
    *policy.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
}

/// The policy as it is now.
pub fn policy(policy: &Policy) -> OnFailure {
    *policy.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_console() {
        let mut screen = Screen::new(false, Box::new(|_| ()));
        let took = Duration::from_millis(12_345);
        let finished = Note::Finished { step: "unpack", number: 9, of: 13, took };
        assert_eq!(screen.line(&finished).unwrap(), "[ 9/13] unpack … 12.3 s");
        let eta = Some(Duration::from_secs(3));
        let progress = |done| Note::Progress { step: "unpack", done, total: 113_000_000, rate: 23.1e6, eta };
        let shown = screen.line(&progress(51_000_000)).unwrap();
        assert_eq!(shown, "        unpack 45 %: 51 of 113 MB, 23.1 MB/s, 3 s left");
        assert_eq!(screen.line(&progress(52_000_000)), None, "not all the time");
        assert_eq!(screen.line(&Note::Log { line: "x" }).unwrap(), "        x");
        assert_eq!(screen.line(&Note::Warning { message: "x" }).unwrap(), "camphor: warning: x");
    }
}
