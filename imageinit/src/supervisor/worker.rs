//! Starting the worker, passing on what it says, and reaping it and every orphan.

use std::io::{PipeReader, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use host::console::{Console, timespec};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};

use crate::outcome::{self, Outcome};

/// How often orphans are reaped.
const REAP_EVERY: Duration = Duration::from_millis(200);
/// After so long without a word from the worker the supervisor says that it is still there.
/// Longer than the pauses of those who wait for the head node and say so.
const SILENCE: Duration = Duration::from_secs(20);
/// A child of the worker's that outlives it may hold the pipe; its last words are worth this much.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Longer than a worker that failed takes to tell the head node. One that hangs in the kernel never ends.
const AFTER_FAILURE: Duration = Duration::from_secs(15);

/// How the worker ended; `None` if it failed and hangs.
pub struct Ended(pub(super) Option<ExitStatus>);

impl Ended {
    /// By itself, with status 0.
    pub fn good(&self) -> bool {
        self.0.is_some_and(|status| status.success())
    }

    /// How, for a person.
    pub fn sentence(&self) -> String {
        let Some(status) = &self.0 else {
            return "the worker hangs in the kernel and was given up".to_owned();
        };
        match (status.code(), status.signal()) {
            (Some(host::runner::EXIT_OVERDUE), _) => {
                "the worker was ended: its step outlived its deadline".to_owned()
            }
            (Some(status), _) => format!("the worker ended with status {status} without saying why"),
            (_, Some(signal)) => format!("the worker was killed by signal {signal}"),
            _ => "the worker ended in an unknown way".to_owned(),
        }
    }

    /// What to try.
    pub fn hint(&self) -> Option<String> {
        let hint = match self.0.and_then(|status| status.signal()) {
            Some(9) => "SIGKILL mostly means out of memory: look at dmesg, give the node more RAM",
            Some(6) => "SIGABRT is a panic of camphor: its message is in the log lines; please report it",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// Runs `imageinit run` with the token on its standard input.
///
/// # Errors
/// The worker cannot be started.
pub fn run(token: &str, console: &mut Console) -> Result<Ended> {
    let (words, pipe) = std::io::pipe().context("making the worker's pipe")?;
    let mut child = Command::new("/proc/self/exe")
        .arg0("imageinit")
        .arg("run")
        .stdin(Stdio::piped())
        .stdout(pipe.try_clone().context("making the worker's pipe")?)
        .stderr(pipe)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/root")
        .spawn()
        .context("starting the worker")?;
    if let Some(mut stdin) = child.stdin.take() {
        // A worker that died at once has its own report.
        let _ = stdin.write_all(token.as_bytes());
    }
    let pid = Pid::from_child(&child);
    let ended = pump(&words, pid, console);
    Ok(Ended(ended.map(|status| ExitStatus::from_raw(status.as_raw()))))
}

fn pump(words: &PipeReader, worker: Pid, console: &mut Console) -> Option<WaitStatus> {
    let mut ended: Option<(WaitStatus, Instant)> = None;
    let mut farewell = Farewell::default();
    loop {
        let open = pass_on(words, console);
        if let Some(status) = reap(worker) {
            ended = Some((status, Instant::now()));
        }
        match ended {
            Some((status, at)) if !open || at.elapsed() > LAST_WORDS => return Some(status),
            None if !open => std::thread::sleep(REAP_EVERY),
            _ => {}
        }
        if ended.is_none() && farewell.is_over(&Outcome::load(Path::new(outcome::PATH)), Instant::now()) {
            console.say("camphor: the worker failed and does not end; going on without it");
            // It dies when the kernel lets it go, if ever.
            let _ = kill_process(worker, Signal::KILL);
            return None;
        }
        if ended.is_none() && console.said.elapsed() > SILENCE {
            console.say(&still_there());
        }
    }
}

/// The time between a worker's report of its failure and its end.
#[derive(Default)]
struct Farewell {
    began: Option<Instant>,
}

impl Farewell {
    /// Whether a worker that left this outcome had its time.
    fn is_over(&mut self, outcome: &Result<Outcome>, now: Instant) -> bool {
        match outcome {
            Ok(Outcome::Failed { .. }) => now.duration_since(*self.began.get_or_insert(now)) > AFTER_FAILURE,
            _ => false,
        }
    }
}

/// Passes on what there is, or waits a moment; false once nobody can say anything any more.
fn pass_on(words: &PipeReader, console: &mut Console) -> bool {
    let mut polls = [PollFd::new(words, PollFlags::IN)];
    if !matches!(poll(&mut polls, Some(&timespec(REAP_EVERY))), Ok(1..)) {
        return true;
    }
    let mut bytes = [0; 4096];
    match rustix::io::read(words, &mut bytes) {
        Ok(0) => false,
        Ok(length) => {
            console.write(&bytes[..length]);
            true
        }
        Err(_) => true,
    }
}

/// Reaps whoever has ended; the worker's status if it was among them.
fn reap(worker: Pid) -> Option<WaitStatus> {
    let mut status = None;
    while let Ok(Some((pid, ended))) = wait(WaitOptions::NOHANG) {
        if pid == worker {
            status = Some(ended);
        }
    }
    status
}

fn still_there() -> String {
    let seconds = SILENCE.as_secs();
    match Outcome::load(Path::new(outcome::PATH)) {
        Ok(Outcome::Running { step, .. }) => {
            format!("camphor: still at step {step}; nothing new for {seconds} s")
        }
        _ => format!("camphor: the worker runs; nothing new for {seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use nii::event::Failure;
    use nii::v1::OnFailure;

    use super::*;

    #[test]
    fn a_worker_that_failed_and_hangs_is_given_up() {
        let (policy, start) = (OnFailure::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let running = Ok(Outcome::Running { step: "unpack".into(), policy });
        let failure =
            Failure { step: "unpack".into(), op: None, cause: Vec::new(), hint: None, log_tail: Vec::new() };
        let failed = Ok(Outcome::Failed { failure, policy });
        let mut farewell = Farewell::default();
        assert!(!farewell.is_over(&running, after(0)));
        assert!(!farewell.is_over(&running, after(7200)), "a slow step is no failure");
        assert!(!farewell.is_over(&failed, after(7201)));
        assert!(!farewell.is_over(&failed, after(7215)), "it may still tell the head node");
        assert!(farewell.is_over(&failed, after(7217)));
    }
}
