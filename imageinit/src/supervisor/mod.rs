//! PID 1: one thread that must never end. It mounts what a system needs, starts the worker (this program again, as
//! `imageinit run`), shows what it says on every console, reaps orphans, and does what follows: the hand-off, or the
//! failure screen and the NII's policy.
//!
//! Here, and nowhere else in this crate, the side-effect wall is lifted: the supervisor must work when nothing else does,
//! and `host` with its threads and clients is the worker's (but for the few calls that take the network down).

#![allow(clippy::disallowed_methods, reason = "the one module of imageinit that touches the machine itself")]

mod handoff;
mod mounts;
mod worker;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use host::cmdline::Options;
use host::console::{Console, policy, shell};
use nii::event::Failure;
use nii::session::TOKEN_PATH;
use nii::v1::OnFailure;

use crate::outcome::{self, HandOff, Outcome};
use worker::Ended;

/// Runs the machine. Never returns; a PID 1 that ended would be a kernel panic.
pub fn run() -> ! {
    std::panic::set_hook(Box::new(|panic| {
        // Not on the console object, which may be what panicked. The worker's state is lost; the screen stays.
        eprintln!(
            "\ncamphor: FAILED: the supervisor itself: {panic}\nThis is a defect of camphor. Reset the machine."
        );
        loop {
            std::thread::sleep(Duration::from_secs(3600));
        }
    }));
    let problems = mounts::early();
    let mut console = Console::open();
    console.say(concat!("camphor: imageinit ", env!("CARGO_PKG_VERSION")));
    problems.iter().for_each(|problem| console.say(&format!("camphor: {problem}")));
    let options = Options::parse(&fs::read_to_string("/proc/cmdline").unwrap_or_default());
    options.warnings.iter().for_each(|warning| console.say(&format!("camphor: warning: {warning}")));
    if options.shell {
        shell::run(&mut console, "camphor.shell: leave the shell to go on");
    }
    match work(&mut console) {
        Next::HandOff(hand_off, policy) => {
            let failure = handoff::run(hand_off, &mut console);
            policy::obey(&failure, policy, &mut console, handoff::end)
        }
        Next::Failure(failure, policy) => policy::obey(&failure, policy, &mut console, handoff::end),
    }
}

/// What follows the worker's run.
#[derive(Debug, PartialEq)]
enum Next {
    /// This, and what to do if it comes back.
    HandOff(HandOff, OnFailure),
    Failure(Box<Failure>, OnFailure),
}

/// Runs the worker to its end. One that left no word of its end died of something.
fn work(console: &mut Console) -> Next {
    let ended = take_token().and_then(|token| worker::run(&token, console));
    next(Outcome::load(Path::new(outcome::PATH)), &ended, console.tail())
}

fn next(outcome: Result<Outcome>, ended: &Result<Ended>, log_tail: Vec<String>) -> Next {
    let (good, how, hint) = match ended {
        Ok(ended) => (ended.good(), ended.sentence(), ended.hint()),
        Err(error) => (false, format!("{error:#}"), None),
    };
    let (step, policy) = match outcome {
        Ok(Outcome::Done { hand_off, policy }) if good => return Next::HandOff(hand_off, policy),
        Ok(Outcome::Done { policy, .. }) => ("worker".to_owned(), policy),
        Ok(Outcome::Failed { failure, policy }) => return Next::Failure(Box::new(failure), policy),
        Ok(Outcome::Running { step, policy }) => (step, policy),
        _ => ("worker".to_owned(), OnFailure::default()),
    };
    let failure = Failure { step, op: None, cause: vec![how], hint, log_tail };
    Next::Failure(Box::new(failure), policy)
}

/// The token leaves the initrd's files before anything else runs; the worker alone gets it.
fn take_token() -> Result<String> {
    let token = match fs::read_to_string(TOKEN_PATH) {
        Ok(token) => token.trim().to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(anyhow::Error::new(error).context(format!("reading {TOKEN_PATH}"))),
    };
    let _ = fs::remove_file(TOKEN_PATH);
    Ok(token)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn a_hand_off_that_fails_follows_the_niis_policy() {
        let good = Ok(Ended(Some(ExitStatus::from_raw(0))));
        let done = || Ok(Outcome::Done { hand_off: HandOff::Kexec, policy: OnFailure::Reboot });
        assert_eq!(next(done(), &good, Vec::new()), Next::HandOff(HandOff::Kexec, OnFailure::Reboot));
        let Next::Failure(failure, OnFailure::Reboot) = next(done(), &Ok(Ended(None)), Vec::new()) else {
            panic!("a worker that does not end is a failure, and the policy is the NII's");
        };
        assert_eq!(failure.cause, ["the worker hangs in the kernel and was given up"]);
    }
}
