//! The end of this program: firmware again, off, the loaded kernel, or the new root.

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use host::console::Console;
use host::console::policy::End;
use host::net::links;
use nii::event::Failure;
use plan::op::NEW_ROOT;
use rustix::fs::{FsWord, statfs, sync};
use rustix::mount::{UnmountFlags, mount_move, unmount};
use rustix::process::{Pid, Signal, WaitOptions, chdir, chroot, kill_process, wait};
use rustix::system::{RebootCommand, reboot};

use crate::outcome::HandOff;

/// The programs that may be a root's init, as the kernel and systemd's own switch-root look for them.
const INITS: &[&str] =
    &["/sbin/init", "/usr/lib/systemd/systemd", "/lib/systemd/systemd", "/etc/init", "/bin/init"];
/// What goes along into the new root.
const MOVED: &[&str] = &["/dev", "/proc", "/sys", "/run"];
/// How long ended processes may take to be gone.
const REAP_PATIENCE: Duration = Duration::from_secs(2);
/// How long writing out may take before a reboot; a dead disk takes nothing for ever.
const WRITE_OUT_PATIENCE: Duration = Duration::from_secs(60);
// linux/magic.h
const RAMFS_MAGIC: FsWord = 0x8584_58f6;
const TMPFS_MAGIC: FsWord = 0x0102_1994;

/// Hands over; if it comes back, this is why.
pub fn run(hand_off: HandOff, console: &mut Console) -> Failure {
    console.say(match hand_off {
        HandOff::Reboot => "camphor: rebooting",
        HandOff::Poweroff => "camphor: powering off",
        HandOff::Kexec => "camphor: starting the installed kernel",
        HandOff::SwitchRoot => "camphor: switching to the new root",
    });
    let error = match hand_off {
        HandOff::SwitchRoot => switch_root(console),
        HandOff::Reboot => leave(RebootCommand::Restart, console),
        HandOff::Poweroff => leave(RebootCommand::PowerOff, console),
        HandOff::Kexec => leave(RebootCommand::Kexec, console),
    };
    let cause = match error {
        Ok(never) => match never {},
        Err(error) => error.chain().map(ToString::to_string).collect(),
    };
    Failure { step: "hand-off".to_owned(), op: None, cause, hint: None, log_tail: console.tail() }
}

/// Reboots or powers off, come what may; if the kernel does not, a person must.
pub fn end(end: End, console: &mut Console) -> ! {
    let hand_off = match end {
        End::Reboot => HandOff::Reboot,
        End::Poweroff => HandOff::Poweroff,
    };
    let failure = run(hand_off, console);
    loop {
        console.say(&format!("camphor: {}; reset the machine", failure.cause.join(": ")));
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// What is mounted is written out and let go first; a target that is busy keeps its journal's promise.
fn leave(command: RebootCommand, console: &mut Console) -> Result<Infallible> {
    kill_all();
    if !is_done_within(WRITE_OUT_PATIENCE, write_out) {
        let seconds = WRITE_OUT_PATIENCE.as_secs();
        console
            .say(&format!("camphor: warning: a disk did not take everything within {seconds} s; going on"));
    }
    reboot(command).context("asking the kernel to end")?;
    bail!("the kernel did not end");
}

/// Does it on a thread of its own, which may hang in the kernel without stopping this one; whether it was done in time.
fn is_done_within(patience: Duration, work: impl FnOnce() + Send + 'static) -> bool {
    let (done, wait) = mpsc::channel::<()>();
    let thread = std::thread::Builder::new().spawn(move || {
        work();
        drop(done);
    });
    thread.is_ok() && wait.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected)
}

fn write_out() {
    sync();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let targets = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    for target in
        targets.filter(|target| Path::new(target).starts_with(NEW_ROOT)).collect::<Vec<_>>().iter().rev()
    {
        let _ = unmount(*target, UnmountFlags::empty());
    }
    sync();
}

/// switch_root(8): moves the kernel's file systems over, frees the initrd's memory, and becomes the root's init.
fn switch_root(console: &mut Console) -> Result<Infallible> {
    let root = Path::new(NEW_ROOT);
    // Not through links: an absolute one would lead to the initrd's files.
    let exists = |path: &&&str| fs::symlink_metadata(root.join(path.trim_start_matches('/'))).is_ok();
    if INITS.iter().find(exists).is_none() {
        bail!("the new root has no init: none of {}", INITS.join(", "));
    }
    kill_all();
    clear_network(console);
    for path in MOVED {
        let target = format!("{NEW_ROOT}{path}");
        // What the configuring of the root mounted there.
        while unmount(&*target, UnmountFlags::DETACH).is_ok() {}
        let _ = fs::create_dir(&target);
        mount_move(*path, &*target).with_context(|| format!("moving {path} to {target}"))?;
    }
    let _ = unmount("/tmp", UnmountFlags::DETACH);
    chdir(root).with_context(|| format!("entering {NEW_ROOT}"))?;
    free_initrd();
    mount_move(".", "/").context("moving the new root to /")?;
    chroot(".").context("entering the new root")?;
    chdir("/").context("entering the new root")?;
    let mut error = anyhow!("no init");
    for init in INITS {
        error = Command::new(init).args(std::env::args().skip(1)).exec().into();
    }
    Err(error).context("starting the new root's init")
}

/// The new root's network daemon finds the links as the kernel makes them, and not an address whose lease nobody renews.
fn clear_network(console: &mut Console) {
    let cleared = links::ethernet().and_then(|links| links.iter().try_for_each(|link| link.clear()));
    if let Err(error) = cleared {
        console.say(&format!("camphor: warning: {error:#}"));
    }
}

/// Removes the initrd's files, which would hold their memory for ever; only if / is really in RAM.
fn free_initrd() {
    let in_ram = statfs("/").is_ok_and(|fs| matches!(fs.f_type, RAMFS_MAGIC | TMPFS_MAGIC));
    if let Some(root) = fs::metadata("/").ok().filter(|_| in_ram) {
        remove_below(Path::new("/"), root.dev());
    }
}

/// Removes what is below `path` on the same file system. What cannot be removed stays.
fn remove_below(path: &Path, device: u64) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let path = entry.path();
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.dev() != device => {}
            Ok(meta) if meta.is_dir() => {
                remove_below(&path, device);
                let _ = fs::remove_dir(&path);
            }
            _ => {
                let _ = fs::remove_file(&path);
            }
        }
    }
}

/// Ends every other process (the root's package scripts may have left some) and reaps them.
fn kill_all() {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    for pid in pids.filter(|pid| *pid != Pid::INIT) {
        let _ = kill_process(pid, Signal::KILL);
    }
    // One that hangs in the kernel is not waited for.
    let end = Instant::now() + REAP_PATIENCE;
    while wait(WaitOptions::NOHANG).is_ok() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_left_behind() {
        let (release, held) = mpsc::channel::<()>();
        assert!(!is_done_within(Duration::from_millis(20), move || {
            let _ = held.recv();
        }));
        drop(release);
        assert!(is_done_within(Duration::from_secs(60), || ()));
    }
}
