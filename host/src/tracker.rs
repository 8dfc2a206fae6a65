//! What is going on: the current step and op, the log's tail, progress; and who is told of it.
//!
//! A [`Tracker`] is shared by the runner, its watchdog thread and the step's code. Its own state is behind one lock
//! and the observers behind another, so that the watchdog can say what hangs even while an observer does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use nii::event::Failure;
use plan::{Act, Op, Plan};

use crate::hints;
use crate::machine::{Applied, ApplyError, Machine, Watch};

/// Lines of the log that a failure report carries.
const TAIL: usize = 40;
/// Progress is passed on this often at most.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Something worth telling.
#[derive(Clone, Debug)]
pub enum Note<'a> {
    /// A step began.
    Started {
        /// Its name.
        step: &'a str,
        /// Its number, from 1.
        number: u32,
        /// How many there are.
        of: u32,
        /// Its deadline; [`Duration::MAX`] for none.
        deadline: Duration,
    },
    /// A step was left out: its condition does not hold.
    Skipped {
        /// Its name.
        step: &'a str,
        /// Its number, from 1.
        number: u32,
        /// How many there are.
        of: u32,
    },
    /// A step ended well.
    Finished {
        /// Its name.
        step: &'a str,
        /// Its number, from 1.
        number: u32,
        /// How many there are.
        of: u32,
        /// How long it took.
        took: Duration,
    },
    /// An op is about to be applied.
    Op {
        /// It.
        op: &'a Op,
    },
    /// An op's guard did not hold.
    OpSkipped {
        /// It.
        op: &'a Op,
        /// Why.
        why: &'a str,
    },
    /// A long op goes on; about once a second.
    Progress {
        /// The step.
        step: &'a str,
        /// Bytes done.
        done: u64,
        /// Bytes in all.
        total: u64,
        /// Bytes a second, over the whole op so far.
        rate: f64,
        /// What remains at that rate; `None` before there is one.
        eta: Option<Duration>,
    },
    /// A line of output of a program, or a remark.
    Log {
        /// The line.
        line: &'a str,
    },
    /// Something that a person should see.
    Warning {
        /// The text.
        message: &'a str,
    },
    /// The step failed, and with it the run.
    Failed(&'a Failure),
}

/// Is told what goes on: the console, the event spool, a test.
pub trait Observer: Send {
    /// Called in order, from whichever thread it happens on. Must not call the tracker.
    fn note(&mut self, note: &Note<'_>);
}

/// The handle; clones share everything.
#[derive(Clone)]
pub struct Tracker {
    state: Arc<Mutex<State>>,
    observers: Arc<Mutex<Vec<Box<dyn Observer>>>>,
}

#[derive(Default)]
struct State {
    step: String,
    op: Option<String>,
    tail: VecDeque<String>,
    progress: Option<Meter>,
    deadlines: BTreeMap<String, u32>,
    /// The ops of the plan that was shown.
    shown: Vec<Op>,
    /// The run is given up.
    stopped: bool,
}

impl State {
    fn failure(&self, error: &anyhow::Error) -> Failure {
        Failure {
            step: self.step.clone(),
            op: self.op.clone(),
            cause: error.chain().map(ToString::to_string).collect(),
            hint: hints::hint(error),
            log_tail: self.tail.iter().cloned().collect(),
        }
    }
}

/// Rate and throttle of one op's progress.
struct Meter {
    began: Instant,
    told: Instant,
}

impl Tracker {
    /// A tracker that tells `observers`, in this order.
    pub fn new(observers: Vec<Box<dyn Observer>>) -> Self {
        Self { state: Arc::default(), observers: Arc::new(Mutex::new(observers)) }
    }

    /// One more observer, from now on (the event spool once there is a session).
    pub fn observe(&self, observer: Box<dyn Observer>) {
        lock(&self.observers).push(observer);
    }

    /// Deadlines in seconds by step name, which win over the table's (the NII's `install.deadlines`); they hold for
    /// steps that begin from now on.
    pub fn set_deadlines(&self, deadlines: &BTreeMap<String, u32>) {
        lock(&self.state).deadlines.clone_from(deadlines);
    }

    /// Says which ops may be applied from now on: those of the plan that a person or the log was shown.
    pub fn show(&self, plan: &Plan) {
        lock(&self.state).shown = plan.stages.iter().flat_map(|stage| &stage.ops).cloned().collect();
    }

    /// Applies ops in order, each shown, timed and named in the failure report.
    ///
    /// # Errors
    /// The first op that fails; those after it are not tried.
    pub fn apply(&self, machine: &mut dyn Machine, ops: &[Op]) -> Result<(), ApplyError> {
        ops.iter().try_for_each(|op| self.apply_one(machine, op).map(drop))
    }

    /// Applies one op and says whether its guard held.
    ///
    /// # Errors
    /// The op's; none is begun once the run was given up, and none that [`Tracker::show`] was not told.
    pub fn apply_one(&self, machine: &mut dyn Machine, op: &Op) -> Result<Applied, ApplyError> {
        {
            let mut state = lock(&self.state);
            if state.stopped {
                let source = anyhow!("its step outlived its deadline: nothing more is changed");
                return Err(ApplyError { op: op.to_string(), source });
            }
            if !is_preparation(&op.act) && !state.shown.contains(op) {
                let source =
                    anyhow!("the plan did not show it: nothing is done that could not be read before");
                return Err(ApplyError { op: op.to_string(), source });
            }
            state.op = Some(op.to_string());
            state.progress = None;
        }
        self.tell(&Note::Op { op });
        // After a failure the op stays: the report names it.
        let applied = machine.apply(op, &mut self.clone())?;
        if let Applied::Skipped(why) = &applied {
            self.tell(&Note::OpSkipped { op, why });
        }
        lock(&self.state).op = None;
        Ok(applied)
    }

    /// Something that a person should see; reported to the head node as well.
    pub fn warn(&self, message: &str) {
        self.remember(message);
        self.tell(&Note::Warning { message });
    }

    /// Tells every observer.
    pub(crate) fn tell(&self, note: &Note<'_>) {
        lock(&self.observers).iter_mut().for_each(|observer| observer.note(note));
    }

    /// Tells every observer, unless one of them hangs for longer than `patience`; false if so.
    pub(crate) fn tell_within(&self, note: &Note<'_>, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while Instant::now() < until {
            match self.observers.try_lock() {
                Ok(mut observers) => {
                    observers.iter_mut().for_each(|observer| observer.note(note));
                    return true;
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        false
    }

    /// Gives the run up: from now on no op is begun, and a program that runs is ended. The report of the failure is made
    /// under the same lock, and names the op that was begun before.
    pub(crate) fn stop(&self, error: &anyhow::Error) -> Failure {
        let mut state = lock(&self.state);
        state.stopped = true;
        state.failure(error)
    }

    /// A step begins; its deadline.
    pub(crate) fn begin(&self, step: &str, deadline: Duration) -> Duration {
        let mut state = lock(&self.state);
        state.step = step.to_owned();
        state.op = None;
        state.progress = None;
        state.deadlines.get(step).map_or(deadline, |seconds| Duration::from_secs(u64::from(*seconds)))
    }

    /// The report of a failure of the current step.
    pub fn failure(&self, error: &anyhow::Error) -> Failure {
        lock(&self.state).failure(error)
    }

    fn remember(&self, line: &str) {
        let mut state = lock(&self.state);
        if state.tail.len() == TAIL {
            state.tail.pop_front();
        }
        state.tail.push_back(line.to_owned());
    }
}

/// Whether an act is for the installer's own system, to get to the point where there can be a plan: it touches no disk, and
/// nothing of the new system.
fn is_preparation(act: &Act) -> bool {
    matches!(
        act,
        Act::Coldplug
            | Act::FirstNetwork { .. }
            | Act::LoadModule { .. }
            | Act::ConfigureNic { .. }
            | Act::SetResolver { .. }
            | Act::SetClock { .. }
    )
}

impl Watch for Tracker {
    fn progress(&mut self, done: u64, total: u64) {
        let now = Instant::now();
        let (step, began) = {
            let mut state = lock(&self.state);
            let meter = match &mut state.progress {
                Some(meter) if done < total && now.duration_since(meter.told) < PROGRESS_EVERY => return,
                Some(meter) => meter,
                none => none.insert(Meter { began: now, told: now }),
            };
            meter.told = now;
            let began = meter.began;
            (state.step.clone(), began)
        };
        let seconds = now.duration_since(began).as_secs_f64();
        let rate = if seconds > 0.0 { done as f64 / seconds } else { 0.0 };
        let eta = Duration::try_from_secs_f64(total.saturating_sub(done) as f64 / rate).ok();
        self.tell(&Note::Progress { step: &step, done, total, rate, eta });
    }

    fn log(&mut self, line: &str) {
        self.remember(line);
        self.tell(&Note::Log { line });
    }

    fn is_stopped(&self) -> bool {
        lock(&self.state).stopped
    }
}

/// A panic elsewhere is reported elsewhere; what is behind the lock stays usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
