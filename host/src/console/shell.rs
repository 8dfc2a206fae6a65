//! The rescue shell on the console that a person looks at.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, WaitOptions, wait};

use super::Console;

/// Shells and the words before them: busybox of our own initrd, sh of a distribution's.
const SHELLS: &[(&str, &[&str])] = &[
    ("/usr/bin/busybox", &["sh"]),
    ("/bin/busybox", &["sh"]),
    ("/usr/sbin/busybox", &["sh"]),
    ("/bin/sh", &[]),
];

/// Runs a shell to its end. Without one in the initrd it says so.
pub fn run(console: &mut Console, why: &str) {
    console.say(&format!("camphor: shell on {}: {why} (the log is /run/camphor/log)", console.preferred()));
    match start(console.preferred()) {
        Ok(shell) => {
            wait_for(shell);
            console.reopen();
        }
        Err(error) => console.say(&format!("camphor: no shell: {error:#}")),
    }
}

fn start(tty: &str) -> Result<Pid> {
    let shell = SHELLS.iter().find(|(path, _)| Path::new(path).exists());
    let (program, arguments) =
        shell.context("this initrd has no shell (initrd-builder build --tool-set …,busybox)")?;
    let open = || File::options().read(true).write(true).open(tty).with_context(|| format!("opening {tty}"));
    let mut command = Command::new(program);
    command
        .args(*arguments)
        .stdin(open()?)
        .stdout(open()?)
        .stderr(open()?)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/root")
        .env("TERM", "linux");
    let lead = || {
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        Ok(())
    };
    // A session of its own with the console as its terminal, so that Ctrl-C works.
    // SAFETY: between fork and exec the closure makes system calls only; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(lead) };
    let child = command.spawn().with_context(|| format!("starting {program}"))?;
    Ok(Pid::from_child(&child))
}

/// Reaps orphans meanwhile.
fn wait_for(shell: Pid) {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, _))) if pid == shell => return,
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => std::thread::sleep(Duration::from_millis(10)),
            Err(_) => return,
        }
    }
}
