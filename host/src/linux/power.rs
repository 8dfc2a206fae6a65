//! The end of a machine whose init is not ours.

use std::sync::mpsc;
use std::time::Duration;

use rustix::system::{RebootCommand, reboot};

use crate::console::Console;
use crate::console::policy::End;

/// How long writing out may take; a dead disk takes nothing for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// Writes everything out and asks the kernel to end; if it does not, a person must.
pub fn end(end: End, console: &mut Console) -> ! {
    let (command, sentence) = match end {
        End::Reboot => (RebootCommand::Restart, "camphor: rebooting"),
        End::Poweroff => (RebootCommand::PowerOff, "camphor: powering off"),
    };
    console.say(sentence);
    let (done, wait) = mpsc::channel();
    let sync = std::thread::Builder::new().spawn(move || {
        rustix::fs::sync();
        let _ = done.send(());
    });
    if sync.is_ok() {
        // Written out or not: there is nothing else to do.
        let _ = wait.recv_timeout(PATIENCE);
    }
    let refused = reboot(command);
    loop {
        console.say(&format!("camphor: the kernel did not end ({refused:?}); reset the machine"));
        std::thread::sleep(Duration::from_secs(3600));
    }
}
