//! Every console of the kernel at once, a log of what was said on them, and its last lines; and what a failed node does:
//! [`screen`] says why, [`policy`] holds, reboots, or gives a [`shell`].

pub mod policy;
pub mod screen;
pub mod shell;

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

/// The consoles that the kernel writes to, as `console=` or its default chose them.
const ACTIVE: &str = "/sys/class/tty/console/active";
/// The worker's words and ours, for the rescue shell.
const LOG: &str = "/run/camphor/log";
/// Lines kept for the failure screen.
const TAIL: usize = 40;
/// A console that takes nothing for so long (flow control, a dead line) loses text instead of stopping the install.
const PATIENCE: Duration = Duration::from_secs(1);

/// The consoles.
pub struct Console {
    devices: Vec<File>,
    /// Path of the kernel's preferred console.
    preferred: String,
    log: Option<File>,
    tail: VecDeque<String>,
    line: Vec<u8>,
    /// When something was said last.
    pub said: Instant,
}

impl Console {
    /// Opens all consoles; /dev/console if the kernel names none that can be opened.
    pub fn open() -> Self {
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(LOG).ok();
        let mut console = Self {
            devices: Vec::new(),
            preferred: "/dev/console".to_owned(),
            log,
            tail: VecDeque::new(),
            line: Vec::new(),
            said: Instant::now(),
        };
        console.reopen();
        console
    }

    /// Opens them again: a session that ends on one of them hangs it up.
    pub fn reopen(&mut self) {
        let active = fs::read_to_string(ACTIVE).unwrap_or_default();
        let paths = active.split_whitespace().map(|name| format!("/dev/{name}"));
        let (mut paths, mut devices): (Vec<String>, Vec<File>) =
            paths.filter_map(|path| Some((path.clone(), open(&path)?))).unzip();
        if devices.is_empty() {
            devices.extend(open("/dev/console"));
        }
        self.devices = devices;
        // The kernel lists its preferred console last.
        self.preferred = paths.pop().unwrap_or_else(|| "/dev/console".to_owned());
    }

    /// Path of the console that a person most likely looks at.
    pub fn preferred(&self) -> &str {
        &self.preferred
    }

    /// Says a line of our own.
    pub fn say(&mut self, line: &str) {
        self.write(format!("{line}\n").as_bytes());
    }

    /// Passes bytes on as they are.
    pub fn write(&mut self, bytes: &[u8]) {
        self.said = Instant::now();
        self.devices.iter().for_each(|device| write_within(device, bytes));
        if let Some(log) = &mut self.log {
            let _ = log.write_all(bytes);
        }
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                byte => self.line.push(*byte),
            }
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    /// The last lines.
    pub fn tail(&self) -> Vec<String> {
        self.tail.iter().cloned().collect()
    }

    /// Waits for a line typed on any console; `None` if none came within `patience`.
    pub fn typed(&self, patience: Duration) -> Option<String> {
        let mut polls: Vec<PollFd<'_>> =
            self.devices.iter().map(|device| PollFd::new(device, PollFlags::IN)).collect();
        if polls.is_empty() {
            std::thread::sleep(patience);
            return None;
        }
        if poll(&mut polls, Some(&timespec(patience))) == Ok(0) {
            return None;
        }
        let ready = polls.iter().position(|poll| poll.revents().contains(PollFlags::IN));
        let mut bytes = [0; 256];
        match ready.map(|ready| rustix::io::read(&self.devices[ready], &mut bytes)) {
            Some(Ok(length @ 1..)) => Some(String::from_utf8_lossy(&bytes[..length]).trim().to_owned()),
            // A console that hung up is always ready; nobody types on it.
            _ => {
                std::thread::sleep(patience.min(Duration::from_secs(1)));
                None
            }
        }
    }
}

fn open(path: &str) -> Option<File> {
    let flags = (OFlags::NOCTTY | OFlags::NONBLOCK).bits();
    OpenOptions::new().read(true).write(true).custom_flags(i32::try_from(flags).ok()?).open(path).ok()
}

fn write_within(mut device: &File, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match device.write(bytes) {
            Ok(0) => return,
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let mut polls = [PollFd::new(&device, PollFlags::OUT)];
                if !matches!(poll(&mut polls, Some(&timespec(PATIENCE))), Ok(1..)) {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

/// For poll(2).
pub fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
