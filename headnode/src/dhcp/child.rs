//! The dnsmasq process: started, listened to, told about changes, started again when it dies, ended with us.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::Notify;

use crate::log;

const START_TIMEOUT: Duration = Duration::from_secs(10);
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Whoever ran for so long was well: the next pause is the first again.
const WELL: Duration = Duration::from_secs(60);

/// How dnsmasq is run.
#[derive(Clone, Debug)]
pub struct Dnsmasq {
    /// The program.
    pub program: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
}

/// A running dnsmasq.
pub struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    since: Instant,
}

impl Dnsmasq {
    /// Starts it and waits until it serves.
    ///
    /// # Errors
    /// When the program is missing, or ends instead; the error has what it said.
    pub async fn start(&self) -> Result<Running> {
        let mut running = self.spawn()?;
        let mut said = Vec::new();
        let started = async {
            while let Some(line) = running.lines.next_line().await? {
                let ready = line.contains("started, version");
                said.push(line);
                if ready {
                    return Ok(true);
                }
            }
            Ok::<_, std::io::Error>(false)
        };
        let ready = tokio::time::timeout(START_TIMEOUT, started).await;
        if let Ok(Ok(true)) = ready {
            return Ok(running);
        }
        running.stop().await;
        bail!(
            "dnsmasq did not start: {}",
            if said.is_empty() { "it said nothing".to_owned() } else { said.join("; ") }
        )
    }

    /// Must be called on a thread that lives as long as the process is to: the kernel ends it with its *thread*.
    fn spawn(&self) -> Result<Running> {
        let mut command = Command::new(&self.program);
        command.arg("--keep-in-foreground").arg("--log-facility=-").arg("-C").arg(&self.config);
        // None: the default one is that of the machine's own dnsmasq, or of another head node's.
        command.arg("--pid-file");
        command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // SAFETY: between fork and exec only async-signal-safe calls are allowed; prctl(2) is a bare system call.
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::TERM))?));
        }
        let mut child = command.spawn().with_context(|| format!("starting {}", self.program.display()))?;
        let stderr = child.stderr.take().context("dnsmasq has no stderr")?;
        Ok(Running { child, lines: BufReader::new(stderr).lines(), since: Instant::now() })
    }

    /// Keeps it running for ever; tells it to read its host file again whenever `reload` is notified.
    pub async fn keep(&self, running: &mut Running, reload: &Notify) {
        let mut pause = PAUSE_FIRST;
        loop {
            let status = running.listen(reload).await;
            if running.since.elapsed() > WELL {
                pause = PAUSE_FIRST;
            }
            log::line(format_args!(
                "dnsmasq ended ({status}); starting it again in {:.1} s",
                pause.as_secs_f32()
            ));
            *running = loop {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
                match self.start().await {
                    Ok(again) => break again,
                    Err(error) => log::line(format_args!("{error:#}")),
                }
            };
            log::line(format_args!("dnsmasq runs again"));
        }
    }
}

impl Running {
    /// Passes on what it says, until it ends.
    async fn listen(&mut self, reload: &Notify) -> String {
        loop {
            tokio::select! {
                line = self.lines.next_line() => match line {
                    Ok(Some(line)) => log::line(format_args!("{line}")),
                    Ok(None) | Err(_) => return ended(self.child.wait().await),
                },
                () = reload.notified() => self.signal(Signal::HUP),
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(pid) = pid
            && let Err(error) = kill_process(pid, signal)
        {
            log::line(format_args!("signalling dnsmasq: {error}"));
        }
    }

    /// Ends it, by force if it takes its time.
    pub async fn stop(mut self) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            // It is killed when dropped as well; here its end is waited for.
            let _ = self.child.kill().await;
        }
    }
}

fn ended(status: std::io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// Whether a program is there: a path that exists, or a name that PATH or the system's folders have.
pub fn find(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.exists().then(|| program.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}
