//! A provisioning network of its own for each scenario: a namespace with a bridge that the head node listens on, and
//! a tap for each machine. There is no route out of it.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use crate::run::{cmd, output};

/// The bridge, which is the head node's interface.
pub const BRIDGE: &str = "br0";
/// The head node's address.
pub const HEAD: &str = "10.23.0.1";
/// The network in CIDR form.
pub const SUBNET: &str = "10.23.0.0/24";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A network namespace with the bridge [`BRIDGE`]; gone when dropped.
pub struct Net {
    name: String,
    taps: AtomicU32,
}

impl Net {
    /// Makes the namespace; removes those that killed runs left behind.
    ///
    /// # Errors
    /// When `ip` fails: mostly for want of root.
    pub fn new() -> Result<Self> {
        sweep()?;
        let name = format!("camphor-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        output(&mut cmd("ip", ["netns", "add", &name])).context("making a network namespace (needs root)")?;
        let net = Self { name, taps: AtomicU32::new(0) };
        net.ip("link set lo up")?;
        // A bridge that forwards at once: by default a new port listens for 15 s, longer than PXE waits.
        net.ip(&format!("link add {BRIDGE} type bridge forward_delay 0"))?;
        net.ip(&format!("addr add {HEAD}/24 dev {BRIDGE}"))?;
        // With an IPv6 address here dnsmasq answers iPXE's router solicitations, which else cost 13 s a boot.
        net.ip(&format!("addr add fd77::1/64 dev {BRIDGE} nodad"))?;
        net.ip(&format!("link set {BRIDGE} up"))?;
        Ok(net)
    }

    /// A new tap on the bridge, by name.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn tap(&self) -> Result<String> {
        let tap = format!("tap{}", self.taps.fetch_add(1, Ordering::Relaxed));
        self.ip(&format!("tuntap add {tap} mode tap"))?;
        self.ip(&format!("link set {tap} master {BRIDGE} up"))?;
        Ok(tap)
    }

    /// A command that will run in this namespace, and be killed when the calling thread ends.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = cmd("setpriv", ["--pdeathsig", "KILL", "ip", "netns", "exec", &self.name]);
        command.arg(program.as_ref());
        command
    }

    fn ip(&self, words: &str) -> Result<()> {
        output(cmd("ip", ["-n", &self.name]).args(words.split(' '))).map(drop)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        // Whatever a killed program left running (a dnsmasq of the head node's) would keep the namespace alive.
        for pid in output(&mut cmd("ip", ["netns", "pids", &self.name])).unwrap_or_default().lines() {
            let _ = output(&mut cmd("kill", ["-KILL", pid]));
        }
        if let Err(error) = output(&mut cmd("ip", ["netns", "del", &self.name])) {
            eprintln!("removing the namespace {}: {error:#}", self.name);
        }
    }
}

/// Removes the namespaces of runs that were killed: their names carry the process id.
fn sweep() -> Result<()> {
    for line in output(&mut cmd("ip", ["netns", "list"]))?.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let pid = name.strip_prefix("camphor-").and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another run may sweep the same name at the same time.
            let _ = output(&mut cmd("ip", ["netns", "del", name]));
        }
    }
    Ok(())
}
