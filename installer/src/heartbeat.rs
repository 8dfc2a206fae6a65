//! The heartbeat: a process that says once a minute that anaconda goes on, until `finish` or a failure ends it, or its
//! deadline is over: then the head node is to miss it.

#![allow(clippy::disallowed_methods, reason = "a file of this program's own, in RAM, that is a lock")]

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use host::linux::processes;
use nii::event::Body;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

use crate::context::Ctx;
use crate::state::State;
use crate::steps::ANACONDA;

const EVERY: Duration = Duration::from_secs(60);
/// Long after everybody should have noticed.
const END: Duration = Duration::from_secs(5);

/// Starts the heartbeat. It holds the lock from its first moment on, and until it ends.
///
/// # Errors
/// There is one already, or the process cannot be started.
pub fn start(state: &State) -> Result<()> {
    let path = state.heartbeat();
    let mut file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).context("a heartbeat runs already")?;
    let held = file.try_clone().context("sharing the heartbeat's lock")?;
    let pid = processes::detach(&["report", "heartbeat"], held)?;
    file.set_len(0).and_then(|()| write!(file, "{pid}")).context("writing the heartbeat's process id")
}

/// Beats; the process that [`start`] starts.
///
/// # Errors
/// There is no session.
pub fn run() -> Result<()> {
    let ctx = Ctx::open(Box::new(|_| ()))?;
    let deadline = deadline(&ctx);
    let began = Instant::now();
    while began.elapsed() + EVERY < deadline {
        std::thread::sleep(EVERY);
        ctx.reporter.report(Body::Alive { step: ANACONDA.0.to_owned() });
    }
    Ok(())
}

/// How long anaconda may take: the NII's word for it, or ours.
pub fn deadline(ctx: &Ctx) -> Duration {
    let own = ctx.nii.as_ref().and_then(|nii| nii.install.deadlines.get(ANACONDA.0));
    own.map_or(ANACONDA.1, |seconds| Duration::from_secs(u64::from(*seconds)))
}

/// Ends the heartbeat; how long it has been beating, if there was one.
pub fn end(state: &State) -> Option<Duration> {
    let mut file = File::open(state.heartbeat()).ok()?;
    let began = file.metadata().and_then(|metadata| metadata.created().or(metadata.modified())).ok();
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        // Nobody has it; the number in it may be anybody's by now.
        return None;
    }
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    let pid = Pid::from_raw(text.trim().parse().ok()?)?;
    kill_process(pid, Signal::TERM).ok()?;
    let until = Instant::now() + END;
    while flock(&file, FlockOperation::NonBlockingLockShared).is_err() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(began.and_then(|began| began.elapsed().ok()).unwrap_or_default())
}
