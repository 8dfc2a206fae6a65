//! PID 1: runs the cases, and says how each went. Lines begin with `storage:`; the last one is `storage: all done`.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use host::Machine as _;
use host::linux::disk::block::Device;
use plan::op::Holder;
use plan::{Act, Op};
use rustix::mount::{MountFlags, mount};
use rustix::process::WaitOptions;
use rustix::system::RebootCommand;
use uuid::Uuid;

use crate::cases::{self, Entry};
use crate::worker::{self, Tell};

/// Runs everything and turns the machine off. A failure is said in the words that the harness knows.
pub fn run() -> Result<()> {
    if let Err(error) = prepare().and_then(|()| all()) {
        println!("camphor: FAILED: {error:#}");
    } else {
        println!("storage: all done");
    }
    rustix::system::reboot(RebootCommand::PowerOff).context("turning the machine off")
}

fn prepare() -> Result<()> {
    for (kind, target) in
        [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/run"), ("tmpfs", "/tmp")]
    {
        fs::create_dir_all(target).with_context(|| format!("making {target}"))?;
        match mount(kind, target, kind, MountFlags::empty(), None) {
            Ok(()) | Err(rustix::io::Errno::BUSY) => {}
            Err(error) => bail!("mounting {kind} on {target}: {error}"),
        }
    }
    worker::machine("/")?.apply(&Op::new(Act::Coldplug, "the disks"), &mut Tell)?;
    Ok(())
}

fn all() -> Result<()> {
    for case in &cases::read()?.cases {
        let judged = match (&case.refused, case.cuts) {
            (Some(words), _) => refused(case, words),
            (None, Some(step)) => at_ops(case, step.get()),
            (None, None) if case.installed => before(case),
            (None, None) => once(case),
        };
        judged.with_context(|| format!("case {}", case.name))?;
        let_go()?;
    }
    Ok(())
}

/// An install that nobody disturbs.
fn once(case: &Entry) -> Result<()> {
    let ops = attempt(case, case.arming, 1, None)?;
    let_go()?;
    println!("storage: {} whole, {} ops{}", case.name, ops.len(), check(case, case.arming)?);
    Ok(())
}

/// An install of another day.
fn before(case: &Entry) -> Result<()> {
    println!("storage: {} whole, as it was{}", case.name, check(case, case.arming)?);
    Ok(())
}

/// No op begins but those up to the last look at the disks, and the reason is said.
fn refused(case: &Entry, words: &str) -> Result<()> {
    let _held = case.held.as_deref().map(hold).transpose()?;
    let mut worker = start(&["install", &case.name, &case.arming.to_string(), &Uuid::nil().to_string()])?;
    let mut go = worker.stdin.take().context("taking the worker's input")?;
    let mut said = Vec::new();
    for line in lines(&mut worker)? {
        if line.starts_with("op ") {
            go.write_all(b"\n").context("letting the worker go on")?;
        }
        said.push(line);
    }
    let status = worker.wait().context("waiting for the worker")?;
    reap()?;
    let mut ops = said.iter().filter(|line| line.starts_with("op "));
    let looked = ops.by_ref().any(|line| line.contains(" check that nobody uses "));
    ensure!(
        !status.success() && (!looked || ops.next().is_none()),
        "it was not refused: {}",
        said.join(" | ")
    );
    let why = said.iter().find(|line| line.starts_with("failed ") && line.contains(words));
    let why = why.with_context(|| format!("{words:?} is not why: {}", said.join(" | ")))?;
    println!("storage: {} refused: {why}", case.name);
    Ok(())
}

/// As a file system would, or an array, that the kernel shows nowhere.
fn hold(serial: &str) -> Result<Device> {
    let facts = worker::machine("/")?.facts(&mut Tell)?;
    Device::exclusive(Path::new(worker::disk(&facts, serial)?))
}

/// Each with an arming of its own: nothing that an earlier one left can be taken for what this one was to make.
fn at_ops(case: &Entry, step: usize) -> Result<()> {
    let all = attempt(case, case.arming, 1, None)?;
    let_go()?;
    println!("storage: {} whole, {} ops{}", case.name, all.len(), check(case, case.arming)?);
    for (k, op) in all.iter().enumerate().step_by(step) {
        let arming = Uuid::new_v5(&case.arming, &k.to_be_bytes());
        let at = || format!("killed at op {k} ({op})");
        let begun = attempt(case, arming, 1, Some(k)).with_context(at)?;
        ensure!(begun.len() == k + 1, "the worker ended after {} ops, and was to be {}", begun.len(), at());
        attempt(case, arming, 2, None).with_context(|| format!("again, after being {}", at()))?;
        let_go()?;
        let kept = check(case, arming).with_context(|| format!("looking at it, after being {}", at()))?;
        println!("storage: {} again after op {k}{kept}: {op}", case.name);
    }
    Ok(())
}

/// One attempt by a worker, which is killed as soon as it has begun the op `until`; the ops up to there.
fn attempt(case: &Entry, arming: Uuid, attempt: u128, until: Option<usize>) -> Result<Vec<String>> {
    let attempt = Uuid::from_u128(attempt).to_string();
    let mut worker = start(&["install", &case.name, &arming.to_string(), &attempt])?;
    let mut go = worker.stdin.take().context("taking the worker's input")?;
    let (mut ops, mut log) = (Vec::new(), Vec::new());
    for line in lines(&mut worker)? {
        match line.split_once(' ') {
            Some(("op", _)) if until.is_some_and(|until| until < ops.len()) => {}
            Some(("op", rest)) => {
                ops.push(rest.split_once(' ').map_or(rest, |(_, op)| op).to_owned());
                // It waits for this before each op, so that it cannot be killed in a later one.
                go.write_all(b"\n").context("letting the worker go on")?;
                if until == Some(ops.len() - 1) {
                    worker.kill().context("killing the worker")?;
                }
            }
            Some(("failed", why)) => log.push(format!("it failed: {why}")),
            _ => log.push(line),
        }
    }
    let status = worker.wait().context("waiting for the worker")?;
    reap()?;
    ensure!(status.success() || until.is_some(), "the worker ended with {status}: {}", log.join(" | "));
    Ok(ops)
}

/// Whether the install is whole; what to say of what was kept.
fn check(case: &Entry, arming: Uuid) -> Result<String> {
    let mut checker = start(&["check", &case.name, &arming.to_string()])?;
    let said: Vec<String> = lines(&mut checker)?.collect();
    let status = checker.wait().context("waiting for the check")?;
    reap()?;
    ensure!(status.success(), "it is not whole: {}", said.join(" | "));
    let kept = said.iter().find(|line| line.starts_with("kept "));
    Ok(kept.map(|line| format!(", {line}")).unwrap_or_default())
}

fn start(arguments: &[&str]) -> Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().context("starting a worker")
}

/// All that it says until its end, as it comes.
fn lines(child: &mut Child) -> Result<impl Iterator<Item = String> + use<>> {
    let output = child.stdout.take().context("taking the worker's output")?;
    Ok(BufReader::new(output).lines().map_while(Result::ok))
}

/// What a killed worker leaves behind becomes ours; its programs were killed with it.
fn reap() -> Result<()> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(_) => {}
            Err(rustix::io::Errno::CHILD) => return Ok(()),
            Err(error) => return Err(error).context("waiting for what a worker left"),
        }
    }
}

/// What a reboot does to mounts, mappings and arrays.
fn let_go() -> Result<()> {
    let mut machine = worker::machine(plan::op::NEW_ROOT)?;
    machine.apply(&Op::new(Act::Unmount, "as a reboot"), &mut Tell)?;
    for holder in holders()? {
        machine.apply(&Op::new(Act::Release { holder }, "as a reboot"), &mut Tell)?;
    }
    Ok(())
}

/// Those on top first: what was made later has the higher number.
fn holders() -> Result<Vec<Holder>> {
    let mut names = Vec::new();
    for entry in fs::read_dir("/sys/block").context("reading /sys/block")? {
        names.push(entry.context("reading /sys/block")?.file_name().to_string_lossy().into_owned());
    }
    let mapped = |name: &String| {
        let minor: u32 = name.strip_prefix("dm-")?.parse().ok()?;
        let name = fs::read_to_string(format!("/sys/block/{name}/dm/name")).ok()?;
        Some((minor, Holder::Mapped { name: name.trim().to_owned(), uuid: None }))
    };
    let mut holders: Vec<(u32, Holder)> = names.iter().filter_map(mapped).collect();
    holders.sort_by_key(|(minor, _)| std::cmp::Reverse(*minor));
    let arrays = names.iter().filter(|name| name.starts_with("md"));
    let arrays = arrays.map(|name| Holder::Array { node: format!("/dev/{name}") });
    Ok(holders.into_iter().map(|(_, holder)| holder).chain(arrays).collect())
}
