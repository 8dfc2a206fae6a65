//! How far a node is, boiled down from its events as they come: what `status` shows.

use nii::event::Body;
use serde::{Deserialize, Serialize};

/// A node's programs end their steps themselves at the deadline; the report of it may take a little longer.
const GRACE_MS: i64 = 30_000;
/// From a beginning to the first step, and between two steps, no deadline runs.
const BETWEEN_MS: i64 = 120_000;
/// A node that works for a long time and has nothing to count says so once a minute: three may get lost.
const ALIVE_MS: i64 = 3 * 60_000 + GRACE_MS;
/// The step that lives by such signs from its start on: its deadline is hours, and its program is not ours.
const ANACONDA: &str = "anaconda";
/// The last step before another program takes over: dracut goes on, fetches stage 2 and leaves the initrd, and on a slow
/// node anaconda takes minutes more until its `%pre`.
const KICKSTART: &str = "kickstart";
/// What that may take.
const HANDOVER_MS: i64 = 15 * 60_000;
/// The step that makes an install count: a disk may say "done" from its start on, whatever is reported of it.
const COMMIT: &str = "commit";

/// How far an attempt is. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The step that was last started.
    pub step: Option<Step>,
    /// Bytes done and in all, of a step that says so.
    pub progress: Option<Progress>,
    /// First cause of the failure.
    pub error: Option<String>,
    /// Without another word until then the node is lost.
    pub due: Option<i64>,
    /// Whether it came to its commit, and no word of success followed.
    pub committing: bool,
    /// Number of the last event.
    pub seq: u64,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Its number, from 1.
    pub number: u32,
    /// How many there are.
    pub of: u32,
}

/// How far a step is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Done so far.
    pub done: u64,
    /// The whole.
    pub total: u64,
}

impl Report {
    /// Of an attempt that began at `now`.
    pub fn begun(now: i64) -> Self {
        Self { due: Some(now + BETWEEN_MS), ..Self::default() }
    }

    /// Takes in the event `seq`, which came at `now`.
    pub fn absorb(&mut self, seq: u64, body: &Body, now: i64) {
        // The processes of a package install send at once: what is older than what was heard says how it ended, but
        // no more where it is.
        let late = seq < self.seq;
        self.seq = self.seq.max(seq);
        match body {
            Body::Failed(_) | Body::Installed { .. } => {}
            _ if late => return,
            _ => {}
        }
        match body {
            Body::StepStarted { step, number, of, deadline_s } => {
                self.step = Some(Step { name: step.clone(), number: *number, of: *of });
                self.progress = None;
                self.committing |= step == COMMIT;
                let deadline = now + i64::from(*deadline_s) * 1000 + GRACE_MS;
                self.due = Some(if step == ANACONDA { deadline.min(now + ALIVE_MS) } else { deadline });
            }
            Body::StepFinished { step, .. } => {
                self.due = Some(now + if step == KICKSTART { HANDOVER_MS } else { BETWEEN_MS });
            }
            Body::Progress { done, total, .. } => {
                self.progress = Some(Progress { done: *done, total: *total });
                self.due = self.due.max(Some(now + GRACE_MS));
            }
            // Of the step that is on: whoever gives the signs may notice its end late.
            Body::Alive { step } if self.step.as_ref().is_some_and(|on| on.name == *step) => {
                self.due = Some(now + ALIVE_MS);
            }
            Body::Alive { .. } => {}
            Body::Failed(failure) => {
                self.error = Some(failure.cause.join(": "));
                self.due = None;
            }
            Body::Installed { .. } => {
                *self = Self { step: self.step.take(), seq: self.seq, ..Self::default() };
            }
            Body::Facts { .. } | Body::HostKeys { .. } | Body::Warning { .. } => {}
        }
    }

    /// Whether the node should have been heard of by now.
    pub fn is_lost(&self, now: i64) -> bool {
        self.due.is_some_and(|due| now > due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(deadline_s: u32) -> Body {
        Body::StepStarted { step: "unpack".into(), number: 7, of: 12, deadline_s }
    }

    fn hear(report: &mut Report, body: &Body, now: i64) {
        report.absorb(report.seq + 1, body, now);
    }

    #[test]
    fn a_started_step_without_its_end_is_lost() {
        let mut report = Report::begun(0);
        assert!(!report.is_lost(BETWEEN_MS) && report.is_lost(BETWEEN_MS + 1));
        hear(&mut report, &started(600), 0);
        assert!(!report.is_lost(600_000 + GRACE_MS) && report.is_lost(600_000 + GRACE_MS + 1));
        hear(&mut report, &Body::Progress { step: "unpack".into(), done: 1, total: 2 }, 10_000);
        assert!(report.is_lost(600_000 + GRACE_MS + 1), "progress does not shorten or stretch the deadline");
        hear(&mut report, &Body::Progress { step: "unpack".into(), done: 2, total: 2 }, 629_000);
        assert!(!report.is_lost(600_000 + GRACE_MS + 1), "but whoever makes progress is there");
        assert_eq!(report.progress, Some(Progress { done: 2, total: 2 }));
    }

    #[test]
    fn anaconda_is_lost_when_it_says_nothing_more() {
        let mut report = Report::begun(0);
        let anaconda = Body::StepStarted { step: ANACONDA.into(), number: 9, of: 14, deadline_s: 14_400 };
        hear(&mut report, &anaconda, 0);
        assert!(!report.is_lost(ALIVE_MS) && report.is_lost(ALIVE_MS + 1));
        for minute in 1..=300 {
            hear(&mut report, &Body::Alive { step: ANACONDA.into() }, minute * 60_000);
        }
        let last = 300 * 60_000;
        assert!(!report.is_lost(last + ALIVE_MS) && report.is_lost(last + ALIVE_MS + 1));
        hear(&mut report, &started(5), last);
        hear(&mut report, &Body::Alive { step: ANACONDA.into() }, last);
        assert!(report.is_lost(last + 5000 + GRACE_MS + 1), "a sign of life of a step that is over");
    }

    #[test]
    fn between_the_kickstart_and_anaconda_slow_nodes_have_time() {
        let mut report = Report::begun(0);
        let finished = |step: &str| Body::StepFinished { step: step.into(), ms: 1 };
        hear(&mut report, &finished("partition"), 0);
        assert!(!report.is_lost(BETWEEN_MS) && report.is_lost(BETWEEN_MS + 1));
        hear(&mut report, &finished("kickstart"), 0);
        assert!(!report.is_lost(15 * 60_000) && report.is_lost(15 * 60_000 + 1));
        let anaconda = Body::StepStarted { step: ANACONDA.into(), number: 10, of: 17, deadline_s: 14_400 };
        hear(&mut report, &anaconda, 14 * 60_000);
        assert!(report.is_lost(14 * 60_000 + ALIVE_MS + 1), "then its own rule counts");
    }

    #[test]
    fn what_comes_late_says_only_how_it_ended() {
        let mut report = Report::begun(0);
        report.absorb(9, &started(5), 0);
        let before = report.clone();
        let anaconda = Body::StepStarted { step: ANACONDA.into(), number: 6, of: 12, deadline_s: 14_400 };
        report.absorb(7, &anaconda, 1);
        report.absorb(8, &Body::StepFinished { step: ANACONDA.into(), ms: 1 }, 1);
        assert_eq!(report, before);
        report.absorb(8, &Body::Installed { arming: uuid::Uuid::nil(), peak_kib: 1, image_bytes: 0 }, 1);
        assert!(!report.is_lost(i64::MAX));
        report.absorb(8, &anaconda, 2);
        assert!(!report.is_lost(i64::MAX));
    }

    #[test]
    fn an_end_is_an_end() {
        let ends = [
            Body::Installed { arming: uuid::Uuid::nil(), peak_kib: 1, image_bytes: 1 },
            Body::Failed(nii::event::Failure {
                step: "unpack".into(),
                op: None,
                cause: vec!["unpacking".into(), "no space left".into()],
                hint: None,
                log_tail: Vec::new(),
            }),
        ];
        for end in ends {
            let mut report = Report::begun(0);
            hear(&mut report, &started(1), 0);
            hear(&mut report, &end, 1);
            assert!(!report.is_lost(i64::MAX));
            assert_eq!(report.step.unwrap().name, "unpack");
        }
    }
}
