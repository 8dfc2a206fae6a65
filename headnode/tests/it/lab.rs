//! Machines in a network: a namespace with a bridge, which is the head node's, and behind it one with a veth for each
//! machine, on which busybox's udhcpc asks for addresses (needs root). And addhost, which hears them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::head::{Head, kill};

const DEADLINE: Duration = Duration::from_secs(60);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Two namespaces: the head node's with `br0`, and the machines' with an interface `m1`, `m2`, … each. Gone when dropped,
/// with what runs in them.
pub struct Lab {
    pub head: String,
    pub machines: String,
    clients: Vec<Child>,
}

impl Lab {
    pub fn new(machines: usize) -> Self {
        // Scenarios that run at the same time sweep namespaces whose process, by this name, is gone.
        let name = format!("camphor-{}-ah{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let lab = Self { head: format!("{name}-h"), machines: format!("{name}-m"), clients: Vec::new() };
        ip(&format!("netns add {}\nnetns add {}\n", lab.head, lab.machines), &[]);
        let mut wires = String::from("link set lo up\nlink add br0 type bridge forward_delay 0\n");
        wires += "addr add 10.1.0.1/24 dev br0\nlink set br0 up\n";
        for machine in 1..=machines {
            let peer = format!("peer name m{machine} address {} netns {}", mac(machine), lab.machines);
            wires += &format!("link add v{machine} type veth {peer}\nlink set v{machine} master br0 up\n");
        }
        ip(&wires, &["-n", &lab.head]);
        let up: String = (1..=machines).map(|machine| format!("link set m{machine} up\n")).collect();
        ip(&format!("link set lo up\n{up}"), &["-n", &lab.machines]);
        // Machines of one namespace answer for each other's addresses otherwise.
        let mut shell = lab.inside(&lab.machines, "sh");
        shell.args(["-c", "echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore"]);
        assert!(shell.status().unwrap().success());
        lab
    }

    pub fn inside(&self, namespace: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, program]);
        command
    }

    /// `headnode`, where the bridge is.
    pub fn headnode(&self, head: &Head, args: &[&str]) -> Command {
        let mut command = self.inside(&self.head, env!("CARGO_BIN_EXE_headnode"));
        command.arg("--data-dir").arg(head.data()).args(args);
        command
    }

    /// A machine asks for an address until it gets one, as its firmware would.
    pub fn switch_on(&mut self, machine: usize) {
        let mut command = self.inside(&self.machines, "busybox");
        let interface = format!("m{machine}");
        command.args([
            "udhcpc",
            "-f",
            "-q",
            "-i",
            &interface,
            "-s",
            "/bin/true",
            "-t",
            "3",
            "-T",
            "1",
            "-A",
            "1",
        ]);
        command.args(["-V", "PXEClient:Arch:00007:UNDI:003016", "-x", "0x5d:0007", "-x"]);
        command.arg(format!("0x61:00{machine:032x}"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        self.clients.push(child);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for client in &mut self.clients {
            let _ = client.kill();
            let _ = client.wait();
        }
        for namespace in [&self.head, &self.machines] {
            let pids = Command::new("ip").args(["netns", "pids", namespace]).output().unwrap();
            for pid in String::from_utf8_lossy(&pids.stdout).lines() {
                let _ = Command::new("kill").args(["-KILL", pid]).status();
            }
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

/// All of a batch, or a panic.
pub fn ip(lines: &str, args: &[&str]) {
    let mut child =
        Command::new("ip").args(args).args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{lines}");
}

pub fn mac(machine: usize) -> String {
    format!("52:54:00:aa:00:{machine:02x}")
}

/// A running addhost. Killed when dropped.
pub struct Addhost {
    pub child: Child,
    pub lines: Receiver<String>,
    pub said: Vec<String>,
}

impl Addhost {
    pub fn start(lab: &Lab, head: &Head, args: &[&str]) -> Self {
        let mut command = lab.headnode(head, &["addhost", "--interface", "br0"]);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, said: Vec::new() }
    }

    /// Waits for a line that begins so.
    pub fn wait_for(&mut self, start: &str) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            let rest = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(rest);
            let line =
                line.unwrap_or_else(|error| panic!("waiting for `{start}`: {error}: {:#?}", self.said));
            self.said.push(line.clone());
            if line.starts_with(start) {
                return line;
            }
        }
    }

    pub fn answer(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// What it said to its end, which must come by itself.
    pub fn ended(mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        self.drain();
        assert!(self.child.wait().unwrap().success(), "{:#?}", self.said);
        std::mem::take(&mut self.said)
    }

    fn drain(&mut self) {
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {:#?}", self.said),
            }
        }
    }

    /// kill -9; what it had said.
    pub fn kill(mut self) -> Vec<String> {
        kill("-KILL", self.child.id());
        self.drain();
        self.child.wait().unwrap();
        std::mem::take(&mut self.said)
    }
}

impl Drop for Addhost {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
