//! One call of a plugin. It has a process group of its own, a deadline, and a pipe whose other end nobody waits for: it
//! may hang, crash, leave children behind that keep its output open, or print without end.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, PipeReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionbio;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process_group, set_parent_process_death_signal, waitid,
};

use super::folder::Plugin;
use super::{INSIDE, Verb};

/// What of its output is kept: the end, where the reason is.
const OUTPUT_MAX: usize = 4096;
/// The PATH of a plugin, whoever called the command.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What a killed process may take to be gone: one that hangs in the kernel (a dead NFS server) is left to itself.
const DYING: Duration = Duration::from_secs(2);

/// What came of a call.
#[derive(Debug)]
pub struct Outcome {
    /// Why it failed; `None` if it ended well.
    pub failure: Option<String>,
    /// The end of what it said on stdout and stderr.
    pub output: String,
}

impl Outcome {
    /// Of a plugin that was not called.
    pub fn failed(why: String) -> Self {
        Self { failure: Some(why), output: String::new() }
    }
}

/// Runs the plugin to its end, or to its deadline.
pub fn call(plugin: &Plugin, verb: Verb, stdin: File) -> Outcome {
    match start(plugin, verb, stdin) {
        Ok((child, output)) => follow(child, output, plugin.deadline),
        Err(error) => Outcome::failed(format!("starting {}: {error}", plugin.path.display())),
    }
}

fn start(plugin: &Plugin, verb: Verb, stdin: File) -> io::Result<(Child, PipeReader)> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(&plugin.path);
    command.arg(verb.name()).stdin(stdin).stdout(writer.try_clone()?).stderr(writer);
    command.env_clear().env("PATH", PATH).env("LANG", "C.UTF-8").env(INSIDE, &plugin.name);
    command.env("HEADNODE", program()?).current_dir("/").process_group(0);
    // An orphan would write what it was told after others who know more.
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; prctl(2) is a bare system call.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
    Ok((command.spawn()?, reader))
}

/// This program. An upgrade replaces its file while `serve` runs, and the kernel says so in the link's text (proc(5)): then
/// the new one is meant, or, if there is none, the one that runs.
fn program() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let replaced = program.as_os_str().as_bytes().strip_suffix(b" (deleted)").map(OsStr::from_bytes);
    Ok(match replaced.map(Path::new) {
        Some(new) if new.exists() => new.to_owned(),
        Some(_) => format!("/proc/{}/exe", std::process::id()).into(),
        None => program,
    })
}

/// The process, until it is reaped. Its id is its own, and its group's, only so long.
type Unreaped = Arc<Mutex<Option<Child>>>;

fn follow(child: Child, mut output: PipeReader, deadline: Duration) -> Outcome {
    let end = Instant::now() + deadline;
    let mut tail = Tail::default();
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
        return Outcome::failed("it has no process id".into());
    };
    let unreaped = Arc::new(Mutex::new(Some(child)));
    let (ended, status) = match watch(pid, unreaped.clone()) {
        Ok(watch) => watch,
        Err(error) => {
            kill(pid, &unreaped);
            return Outcome::failed(format!("watching it: {error}"));
        }
    };
    listen(&mut output, &ended, end, &mut tail);
    let mut failure = status.try_recv().ok().map(|status| why(&status));
    if failure.is_none() {
        kill(pid, &unreaped);
        let gone = status.recv_timeout(DYING).is_ok();
        let left = if gone { "" } else { ", and does not die" };
        failure = Some(Some(format!("took longer than {} s{left}", deadline.as_secs())));
    }
    tail.drain(&mut output);
    Outcome { failure: failure.flatten(), output: tail.text() }
}

/// A thread that waits for the process, ends what is left of its group, and reaps it. The pipe ends with it.
fn watch(pid: Pid, unreaped: Unreaped) -> io::Result<(PipeReader, Receiver<io::Result<ExitStatus>>)> {
    let (ended, guard) = io::pipe()?;
    let (sender, status) = channel();
    std::thread::Builder::new().name("plugin".into()).spawn(move || {
        let _guard = guard;
        // Not reaped yet: nobody else can get its id.
        let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        kill(pid, &unreaped);
        let child = unreaped.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut child) = child {
            // Nobody listens when it did not die in time.
            let _ = sender.send(child.wait());
        }
    })?;
    Ok((ended, status))
}

/// Ends its whole group, if it is not reaped.
fn kill(pid: Pid, unreaped: &Unreaped) {
    let unreaped = unreaped.lock().unwrap_or_else(PoisonError::into_inner);
    if unreaped.is_some() {
        // It may have gone by itself.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// Takes what it says, until it has ended or `end` comes.
fn listen(output: &mut PipeReader, ended: &PipeReader, end: Instant, tail: &mut Tail) {
    let mut open = true;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        let mut fds = vec![PollFd::new(ended, PollFlags::IN)];
        if open {
            fds.push(PollFd::new(&*output, PollFlags::IN));
        }
        let Ok(timeout) = Timespec::try_from(left) else { return };
        match poll(&mut fds, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return,
            Ok(_) => {}
        }
        let said = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        if !fds[0].revents().is_empty() {
            return;
        }
        if said {
            open = tail.read(output);
        }
    }
}

fn why(status: &io::Result<ExitStatus>) -> Option<String> {
    match status {
        Ok(status) if status.success() => None,
        Ok(status) => Some(match (status.code(), status.signal()) {
            (Some(code), _) => format!("ended with status {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended in an unknown way".into(),
        }),
        Err(error) => Some(format!("waiting for it: {error}")),
    }
}

/// The end of what was said.
#[derive(Default)]
struct Tail {
    kept: Vec<u8>,
    dropped: u64,
}

impl Tail {
    /// Reads once; whether there may be more.
    fn read(&mut self, from: &mut PipeReader) -> bool {
        let mut chunk = [0; 16 << 10];
        match from.read(&mut chunk) {
            Ok(0) => false,
            Ok(read) => {
                self.kept.extend_from_slice(&chunk[..read]);
                let surplus = self.kept.len().saturating_sub(OUTPUT_MAX);
                self.kept.drain(..surplus);
                self.dropped += surplus as u64;
                true
            }
            Err(error) => error.kind() == io::ErrorKind::Interrupted,
        }
    }

    /// What is in the pipe still. Somebody who left the group may go on filling it: a pipe's size is enough.
    fn drain(&mut self, from: &mut PipeReader) {
        if ioctl_fionbio(&*from, true).is_ok() {
            for _ in 0..8 {
                if !self.read(from) {
                    return;
                }
            }
        }
    }

    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.kept);
        match self.dropped {
            0 => text.into_owned(),
            dropped => format!("({dropped} bytes before)\n{text}"),
        }
    }
}
