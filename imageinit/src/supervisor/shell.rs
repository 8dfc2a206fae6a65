//! The rescue shell on the console that a person looks at.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, WaitOptions, wait};

use super::console::Console;

const BUSYBOX: &[&str] = &["/usr/bin/busybox", "/bin/busybox", "/usr/sbin/busybox"];

/// Runs a shell to its end. Without busybox in the initrd it says so.
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
    let busybox = BUSYBOX.iter().find(|path| Path::new(path).exists());
    let busybox =
        busybox.context("this initrd has no busybox (initrd-builder build --tool-set …,busybox)")?;
    let open = || File::options().read(true).write(true).open(tty).with_context(|| format!("opening {tty}"));
    // A session of its own with the console as its terminal, so that Ctrl-C works.
    let child = Command::new(busybox)
        .args(["setsid", "-c", busybox, "sh"])
        .stdin(open()?)
        .stdout(open()?)
        .stderr(open()?)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/root")
        .env("TERM", "linux")
        .spawn()
        .with_context(|| format!("starting {busybox}"))?;
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
