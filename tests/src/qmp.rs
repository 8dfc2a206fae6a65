//! QEMU's machine protocol: JSON lines over a Unix socket.
//! (<https://www.qemu.org/docs/master/interop/qmp-spec.html>)

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

const ANSWER: Duration = Duration::from_secs(30);

/// A connection to one QEMU.
pub struct Qmp {
    line: BufReader<UnixStream>,
    partial: Vec<u8>,
    events: VecDeque<Value>,
}

impl Qmp {
    /// Greets QEMU at the other end of `line`.
    ///
    /// # Errors
    /// When no QEMU answers.
    pub fn new(line: UnixStream) -> Result<Self> {
        let mut qmp = Self { line: BufReader::new(line), partial: Vec::new(), events: VecDeque::new() };
        qmp.receive(Instant::now() + ANSWER).context("waiting for QEMU's greeting")?;
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Executes a command and returns what it returned.
    ///
    /// # Errors
    /// When QEMU refuses it or has ended.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let deadline = Instant::now() + ANSWER;
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(self.line.get_mut(), "{request}").with_context(|| format!("asking QEMU to {command}"))?;
        loop {
            let mut message = self.receive(deadline).with_context(|| format!("asking QEMU to {command}"))?;
            if message.get("event").is_some() {
                self.events.push_back(message);
            } else if let Some(error) = message.get("error") {
                bail!("asking QEMU to {command}: {error}");
            } else {
                return Ok(message["return"].take());
            }
        }
    }

    /// Waits for the next event named `name` (`RESET`, `SHUTDOWN`, ...), dropping others, and returns its data.
    ///
    /// # Errors
    /// At the deadline, or when QEMU has ended.
    pub fn wait_event(&mut self, name: &str, within: Duration) -> Result<Value> {
        let deadline = Instant::now() + within;
        loop {
            let mut event = match self.events.pop_front() {
                Some(event) => event,
                None => self.receive(deadline).with_context(|| format!("waiting for QEMU's event {name}"))?,
            };
            if event["event"] == name {
                return Ok(event["data"].take());
            }
        }
    }

    fn receive(&mut self, deadline: Instant) -> Result<Value> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("nothing came before the deadline");
            }
            self.line.get_ref().set_read_timeout(Some(left)).context("setting a time limit")?;
            // On a timeout the bytes read so far stay in `partial`.
            match self.line.read_until(b'\n', &mut self.partial) {
                Ok(0) => bail!("QEMU has ended"),
                Ok(_) => {
                    let line = std::mem::take(&mut self.partial);
                    return serde_json::from_slice(&line).context("parsing QEMU's JSON");
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error).context("reading from QEMU"),
            }
        }
    }
}
