//! A server in a scenario's network: a process that says when it is ready, with its log.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::console::Console;
use crate::run::{Process, words};

/// How long a server may take until it is ready.
const START: Duration = Duration::from_secs(30);

/// A running server; killed when dropped.
pub struct Service {
    process: Process,
    /// Keeps listening, so that the log goes on.
    log: Console,
}

impl Service {
    /// Starts `command` and waits until it says `ready`; what it says goes to the file `log`.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start(mut command: Command, log: &Path, ready: &str) -> Result<Self> {
        let (ours, theirs) = UnixStream::pair().context("making a socket pair")?;
        command
            .stdout(OwnedFd::from(theirs.try_clone().context("cloning a socket")?))
            .stderr(OwnedFd::from(theirs));
        let process = Process::start(&mut command)?;
        let what = words(&command);
        // The command still holds its ends of the sockets: without this, the log would never end.
        drop(command);
        let mut log = Console::new(ours, log)?;
        log.expect(ready, START).with_context(|| format!("starting {what}"))?;
        Ok(Self { process, log })
    }

    /// What it has said.
    pub fn text(&self) -> String {
        self.log.text()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Kills it, with no chance to say good-bye.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()
    }
}
