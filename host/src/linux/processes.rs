//! Running programs: mkfs and the like from the initrd, and what an image brings, in the new root.
//!
//! Each gets a clean environment, no standard input, and a process group of its own. The group is killed when the run is
//! given up, and its leader dies with the worker. What it prints goes line by line to [`Watch::log`]; its last lines are in the error
//! if it fails.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::machine::Watch;

/// Where programs are, in the initrd and in a root.
pub const PATH: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// Lines of output that an error carries.
const TAIL: usize = 40;
/// How long output is waited for after a program's end, if a process that it left behind still holds the pipe.
const GRACE: Duration = Duration::from_millis(500);
/// How often is looked whether the run was given up, and for a program's end where the kernel cannot tell of it.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// The path of a program below `root` (`/` for the initrd), as seen from inside it.
///
/// # Errors
/// When there is none.
pub fn find(root: &Path, name: &str) -> anyhow::Result<PathBuf> {
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    let candidates = PATH.iter().map(|directory| Path::new(directory).join(name));
    // A link's target is below the root too, so it cannot be followed from out here; that it is there is enough.
    let mut found = candidates.filter(|path| {
        let outside = root.join(path.strip_prefix("/").unwrap_or(path));
        fs::symlink_metadata(outside)
            .is_ok_and(|m| m.is_symlink() || (m.is_file() && m.permissions().mode() & 0o111 != 0))
    });
    found.next().with_context(|| format!("there is no program {name} in {}", root.display()))
}

/// Runs a program of the initrd.
///
/// # Errors
/// When it is missing or fails; with its arguments and its last lines.
pub fn run(argv: &[String], watch: &mut dyn Watch) -> anyhow::Result<()> {
    execute(argv, None, &[], watch).with_context(|| format!("running {}", argv.join(" ")))
}

/// The same for a program that reads `input`, which fits into a pipe (64 KiB).
///
/// # Errors
/// As for [`run`].
pub fn run_with(argv: &[String], input: &[u8], watch: &mut dyn Watch) -> anyhow::Result<()> {
    execute(argv, None, input, watch).with_context(|| format!("running {}", argv.join(" ")))
}

/// Starts this program again with these arguments, in a session of its own and without a terminal; it outlives us. What it
/// has as its standard input it holds until it ends: a lock, say. Its process id.
///
/// # Errors
/// When it cannot be started.
pub fn detach(arguments: &[&str], held: File) -> anyhow::Result<u32> {
    let mut command = Command::new("/proc/self/exe");
    command.args(arguments).current_dir("/").stdin(held).stdout(Stdio::null()).stderr(Stdio::null());
    let lead = || rustix::process::setsid().map(drop).map_err(io::Error::from);
    // SAFETY: between fork and exec the closure makes a system call only; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(lead) };
    let child = command.spawn().context("starting a process of its own")?;
    Ok(child.id())
}

/// Runs a program of the root `root`, in it (chroot(2)).
///
/// # Errors
/// As for [`run`].
pub fn run_in(root: &Path, argv: &[String], watch: &mut dyn Watch) -> anyhow::Result<()> {
    execute(argv, Some(root), &[], watch)
        .with_context(|| format!("running {} in {}", argv.join(" "), root.display()))
}

fn execute(argv: &[String], root: Option<&Path>, input: &[u8], watch: &mut dyn Watch) -> anyhow::Result<()> {
    let (name, arguments) = argv.split_first().context("there is nothing to run")?;
    let program = find(root.unwrap_or(Path::new("/")), name)?;
    let (output, writer) = io::pipe().context("making a pipe")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", PATH.join(":"))
        .env("LANG", "C")
        .env("HOME", "/root")
        .env("TERM", "dumb")
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Our initrd has no udev to make the nodes of device-mapper, and a new root's programs would wait for it.
        .env("DM_DISABLE_UDEV", "1")
        .current_dir("/")
        .stdin(filled(input).context("making a pipe")?)
        .stdout(writer.try_clone().context("making a pipe")?)
        .stderr(writer)
        .process_group(0);
    enter(&mut command, root)?;
    let mut child = command.spawn().context("starting it")?;
    // The command holds the pipe's other end.
    drop(command);
    let group = Pid::from_child(&child);
    let result = follow(&mut child, output, watch);
    // Whatever it left in the background would keep the root busy. Nothing left: that is fine.
    let _ = rustix::process::kill_process_group(group, Signal::KILL);
    let (status, tail) = match result {
        Ok(ended) => ended,
        Err(error) => {
            // It was killed, and is waited for so that no zombie stays.
            let _ = child.wait();
            return Err(error);
        }
    };
    if !status.success() {
        let lines = tail.into_iter().map(|line| format!("\n    {line}")).collect::<String>();
        bail!("it ended with {status}{lines}");
    }
    Ok(())
}

/// A pipe that holds `input` and then ends.
fn filled(input: &[u8]) -> io::Result<Stdio> {
    if input.is_empty() {
        return Ok(Stdio::null());
    }
    let (reader, mut writer) = io::pipe()?;
    writer.write_all(input)?;
    Ok(reader.into())
}

/// Makes the child begin in `root`, and die with us.
fn enter(command: &mut Command, root: Option<&Path>) -> anyhow::Result<()> {
    let root = root
        .map(|root| File::open(root).with_context(|| format!("opening {}", root.display())))
        .transpose()?;
    let prepare = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if let Some(root) = &root {
            rustix::process::fchdir(root)?;
            rustix::process::chroot(".")?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes system calls only; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(prepare) };
    Ok(())
}

/// Reads a child's output until it ends; its status and last lines.
fn follow(
    child: &mut Child,
    output: PipeReader,
    watch: &mut dyn Watch,
) -> anyhow::Result<(ExitStatus, VecDeque<String>)> {
    let pidfd = match rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty()) {
        // Linux before 5.3 (EL 8): it is looked at from time to time.
        Err(Errno::NOSYS) => None,
        pidfd => Some(pidfd.context("watching it")?),
    };
    let mut lines = Lines { output, partial: Vec::new(), tail: VecDeque::new() };
    let mut ended: Option<Instant> = None;
    loop {
        if watch.is_stopped() {
            bail!("it was ended: its step outlived its deadline");
        }
        let patience = ended.map_or(LOOK_EVERY, |at| GRACE.saturating_sub(at.elapsed()));
        let readable = wait(&lines.output, pidfd.as_ref().filter(|_| ended.is_none()), patience)?;
        match readable {
            Event::Output => {
                if !lines.read(watch)? {
                    break;
                }
            }
            Event::End => ended = Some(Instant::now()),
            Event::Nothing if ended.is_none() => {
                ended = child.try_wait().context("waiting for it")?.map(|_| Instant::now());
            }
            Event::Nothing => break,
        }
    }
    lines.finish(watch);
    Ok((child.wait().context("waiting for it")?, lines.tail))
}

enum Event {
    Output,
    End,
    Nothing,
}

/// Waits for output first, then for the child's end, or for `patience`.
fn wait(output: &PipeReader, child: Option<&OwnedFd>, patience: Duration) -> anyhow::Result<Event> {
    let mut fds = vec![PollFd::new(output, PollFlags::IN)];
    fds.extend(child.map(|child| PollFd::new(child, PollFlags::IN)));
    let timeout = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: i64::from(patience.subsec_nanos()) };
    loop {
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("waiting for its output"),
        }
    }
    Ok(if !fds[0].revents().is_empty() {
        Event::Output
    } else if fds.get(1).is_some_and(|fd| !fd.revents().is_empty()) {
        Event::End
    } else {
        Event::Nothing
    })
}

/// A pipe, cut into lines.
struct Lines {
    output: PipeReader,
    partial: Vec<u8>,
    tail: VecDeque<String>,
}

impl Lines {
    /// Reads once; false at the end.
    fn read(&mut self, watch: &mut dyn Watch) -> anyhow::Result<bool> {
        let mut buffer = [0; 4096];
        let count = self.output.read(&mut buffer).context("reading its output")?;
        for byte in &buffer[..count] {
            // A progress bar's carriage return begins a new line as well.
            match byte {
                b'\n' | b'\r' => self.finish(watch),
                byte => self.partial.push(*byte),
            }
        }
        Ok(count > 0)
    }

    fn finish(&mut self, watch: &mut dyn Watch) {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.partial)).trim_end().to_owned();
        if line.is_empty() {
            return;
        }
        watch.log(&line);
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }
}

/// Ends the processes that were started in the new root `root` and stayed behind (a daemon of a package's script, in a
/// session of its own), and waits until they are gone.
pub fn end_all_in(root: &Path) {
    let until = Instant::now() + PATIENCE;
    loop {
        let inside = pids()
            .filter(|pid| fs::read_link(format!("/proc/{}/root", pid.as_raw_pid())).is_ok_and(|r| r == root));
        let killed = inside.filter(|pid| rustix::process::kill_process(*pid, Signal::KILL).is_ok()).count();
        if killed == 0 || Instant::now() >= until {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn pids() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// Names of the processes whose root, working directory, program or open files are below `path`.
pub fn users(path: &Path) -> Vec<String> {
    let using = pids().filter(|pid| {
        let process = PathBuf::from(format!("/proc/{}", pid.as_raw_pid()));
        let links = ["root", "cwd", "exe"].map(|link| process.join(link));
        let files = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        let mut links = links.into_iter().chain(files.map(|file| file.path()));
        links.any(|link| fs::read_link(link).is_ok_and(|target| target.starts_with(path)))
    });
    let name = |pid: Pid| {
        let name = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_pid())).unwrap_or_default();
        format!("{} ({})", name.trim(), pid.as_raw_pid())
    };
    using.map(name).collect()
}

/// Those of `names` that the initrd has.
pub fn present(names: &[&str]) -> Vec<String> {
    names.iter().filter(|name| find(Path::new("/"), name).is_ok()).map(|name| (*name).to_owned()).collect()
}
