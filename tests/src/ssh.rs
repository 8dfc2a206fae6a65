//! SSH into a machine on a [`Net`], with a key made for the occasion.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::net::Net;
use crate::run::{cmd, output};

/// A key pair in a scenario's folder.
pub struct Key {
    private: PathBuf,
}

impl Key {
    /// Makes an Ed25519 key in `folder`.
    ///
    /// # Errors
    /// When `ssh-keygen` fails.
    pub fn new(folder: &Path) -> Result<Self> {
        let private = folder.join("id_ed25519");
        output(
            cmd("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "camphor-e2e", "-f"]).arg(&private),
        )?;
        Ok(Self { private })
    }

    /// The public half, as a line of `authorized_keys`.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn public(&self) -> Result<String> {
        let path = self.private.with_extension("pub");
        let line = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(line.trim_end().to_owned())
    }

    /// Runs `command` as root on `host` and returns its output.
    ///
    /// # Errors
    /// When the machine does not let us in, or the command fails.
    pub fn run(&self, net: &Net, host: &str, command: &str) -> Result<String> {
        output(self.ssh(net, host).arg(command))
    }

    /// The first [`Key::run`] on a machine whose daemon may still be starting: tries until `within` has passed.
    ///
    /// # Errors
    /// The last attempt's, at the deadline.
    pub fn run_when_up(&self, net: &Net, host: &str, command: &str, within: Duration) -> Result<String> {
        let deadline = Instant::now() + within;
        loop {
            // `ConnectTimeout` and `ConnectionAttempts` make ssh itself do the waiting.
            let tried = self.run(net, host, command);
            if tried.is_ok() || Instant::now() > deadline {
                return tried.with_context(|| format!("logging in on {host} by SSH within {within:?}"));
            }
        }
    }

    fn ssh(&self, net: &Net, host: &str) -> Command {
        let mut command = net.command("ssh");
        command.args(["-F", "none", "-i"]).arg(&self.private);
        for option in [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "ConnectTimeout=10",
            "ConnectionAttempts=5",
        ] {
            command.args(["-o", option]);
        }
        command.arg(format!("root@{host}"));
        command
    }
}
