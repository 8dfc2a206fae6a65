//! After a failure: the screen, then what the NII wants. Nothing here ends but by a reboot.

use std::time::{Duration, Instant};

use nii::event::Failure;
use nii::v1::OnFailure;

use super::{Console, screen, shell};

/// How a held machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Firmware again.
    Reboot,
    /// Off.
    Poweroff,
}

/// Ends the machine, its own way.
pub type Ending = fn(End, &mut Console) -> !;

/// How long the screen stays before a reboot.
const BEFORE_REBOOT: Duration = Duration::from_secs(60);
/// How often a held machine says so.
const HOLD_EVERY: Duration = Duration::from_secs(60);
const COUNT_EVERY: Duration = Duration::from_secs(10);

/// Shows the failure and does what the policy says.
pub fn obey(failure: &Failure, policy: OnFailure, console: &mut Console, end: Ending) -> ! {
    console.say(&screen::text(failure));
    follow(failure, policy, console, end)
}

/// Does what the policy says about a failure that was shown.
pub fn follow(failure: &Failure, policy: OnFailure, console: &mut Console, end: Ending) -> ! {
    match policy {
        OnFailure::Reboot => countdown(console, end),
        OnFailure::Shell => shell::run(console, "the NII asks for a shell after a failure"),
        OnFailure::ReportAndHold => {}
    }
    hold(failure, console, end)
}

/// Reboots after a minute, unless somebody types something.
fn countdown(console: &mut Console, ending: Ending) {
    let end = Instant::now() + BEFORE_REBOOT;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        console.say(&format!("camphor: rebooting in {} s; Enter stops it", left.as_secs() + 1));
        if console.typed(left.min(COUNT_EVERY)).is_some() {
            console.say("camphor: the reboot was stopped");
            return;
        }
    }
    ending(End::Reboot, console);
}

fn hold(failure: &Failure, console: &mut Console, end: Ending) -> ! {
    let began = Instant::now();
    loop {
        let minutes = began.elapsed().as_secs() / 60;
        console.say(&format!(
            "camphor: held after failing at step {}, for {minutes} min; type s (shell), r (reboot), p (power off) or f (show it again), and Enter",
            failure.step
        ));
        let next = Instant::now() + HOLD_EVERY;
        while let Some(left) = next.checked_duration_since(Instant::now()) {
            match console.typed(left).as_deref() {
                Some("s") => shell::run(console, "leave the shell to come back"),
                Some("r") => end(End::Reboot, console),
                Some("p") => end(End::Poweroff, console),
                Some("f") => console.say(&screen::text(failure)),
                Some(_) => break,
                None => {}
            }
        }
    }
}
