//! A serial console: everything it said, waiting for what it should say next, and typing on it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// Sentences after which waiting on is pointless, whatever was waited for.
const FATAL: &[&str] = &[
    "camphor: FAILED",
    "camphor: STOPPED",
    "anaconda: stopped",
    "Kernel panic - not syncing",
    "You are in emergency mode",
    "grub rescue>",
    LOST_DOORBELL,
];

/// What Linux says half a minute after QEMU's NVMe controller has missed a doorbell. That happens to QEMU 7.2 once in some dozen
/// installs, its shadow doorbells cannot be turned off, and the disk answers no more, also after a reset of the controller.
pub const LOST_DOORBELL: &str = "(I/O Cmd) QID 1 timeout";

/// What the rest of such a sentence may take.
const SENTENCE: Duration = Duration::from_secs(5);

/// A machine's serial console.
pub struct Console {
    line: UnixStream,
    heard: Arc<Heard>,
    /// How far [`Console::expect`] has consumed the text.
    cursor: usize,
}

#[derive(Default)]
struct Heard {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Default)]
struct State {
    text: String,
    closed: bool,
    follow: Option<Follower>,
}

/// Somebody who wants each line as it comes.
type Follower = Box<dyn FnMut(&str) + Send>;

impl Console {
    /// Listens on `line` until the other end closes it; the raw bytes go to the file `log` too.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn new(line: UnixStream, log: &Path) -> Result<Self> {
        let log = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let heard = Arc::new(Heard::default());
        let reader = line.try_clone().context("cloning the console's socket")?;
        let shared = Arc::clone(&heard);
        thread::spawn(move || listen(reader, log, &shared));
        Ok(Self { line, heard, cursor: 0 })
    }

    /// Waits until `text` appears after what was last waited for; returns what came before it.
    ///
    /// # Errors
    /// At the deadline, when the machine ends, or when it says something that no machine recovers from.
    pub fn expect(&mut self, text: &str, within: Duration) -> Result<String> {
        self.expect_any(&[text], within).map(|(_, before)| before)
    }

    /// As [`Console::expect`], for whichever of `texts` comes first; returns its index too.
    ///
    /// # Errors
    /// As [`Console::expect`].
    pub fn expect_any(&mut self, texts: &[&str], within: Duration) -> Result<(usize, String)> {
        let deadline = Instant::now() + within;
        let mut state = self.heard.lock();
        loop {
            let rest = &state.text[self.cursor..];
            let found = texts.iter().enumerate().filter_map(|(i, text)| Some((rest.find(text)?, i))).min();
            if let Some((at, index)) = found {
                let before = rest[..at].to_owned();
                self.cursor += at + texts[index].len();
                return Ok((index, before));
            }
            // What is waited for may begin with such a sentence, and not be there whole yet.
            let is_fatal = |fatal: &&&str| {
                rest.find(**fatal).is_some_and(|at| !texts.iter().any(|text| text.starts_with(&rest[at..])))
            };
            if let Some(fatal) = FATAL.iter().find(is_fatal) {
                let begin = state.text.rfind(fatal).unwrap_or_default();
                let is_open = |state: &mut State| !state.closed && !state.text[begin..].contains('\n');
                let waited = self.heard.more.wait_timeout_while(state, SENTENCE, is_open);
                let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
                bail!("waiting for {texts:?} on the console: it said {:?}", state.text[begin..].trim_end());
            }
            if state.closed {
                bail!("waiting for {texts:?} on the console: the machine ended");
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("waiting for {texts:?} on the console: not there after {within:?}");
            }
            let waited = self.heard.more.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until `text` has been said, at whatever time, also after a failure that [`Console::expect`] ends at.
    ///
    /// # Errors
    /// At the deadline.
    pub fn wait_for(&self, text: &str, within: Duration) -> Result<()> {
        let state = self.heard.lock();
        let silent = |state: &mut State| !state.text.contains(text);
        let (state, _) =
            self.heard.more.wait_timeout_while(state, within, silent).unwrap_or_else(PoisonError::into_inner);
        ensure!(state.text.contains(text), "the console did not say {text:?} within {within:?}");
        Ok(())
    }

    /// Types `line` and the return key.
    ///
    /// # Errors
    /// When the machine has ended.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        self.line.write_all(format!("{line}\r").as_bytes()).context("typing on the console")
    }

    /// Logs in as root with `password` at the next login prompt.
    ///
    /// # Errors
    /// When no prompt comes within `within`, or the password is not taken.
    pub fn log_in(&mut self, password: &str, within: Duration) -> Result<()> {
        const ANSWER: Duration = Duration::from_secs(60);
        self.expect("login: ", within)?;
        self.type_line("root")?;
        self.expect("Password: ", ANSWER)?;
        self.type_line(password)?;
        let (answer, _) = self.expect_any(&["# ", "Login incorrect"], ANSWER)?;
        if answer == 1 {
            bail!("logging in as root on the console: the password was refused");
        }
        Ok(())
    }

    /// Runs a shell command at the prompt where [`Console::log_in`] left off; returns its output.
    ///
    /// # Errors
    /// When the machine does not answer within a minute, or the command fails.
    pub fn shell(&mut self, command: &str) -> Result<String> {
        const ANSWER: Duration = Duration::from_secs(60);
        // The markers are broken up in what is typed, so that the echo of the line does not look like the answer.
        self.type_line(&format!("echo BEG''IN; {command}; echo EN''D $?."))?;
        self.expect("BEGIN\n", ANSWER)?;
        let said = self.expect("END ", ANSWER)?;
        let status = self.expect(".", ANSWER)?;
        if status != "0" {
            bail!("`{command}` on the console: status {status}, and it said {said:?}");
        }
        Ok(said)
    }

    /// Everything said since the beginning, without terminal escapes.
    pub fn text(&self) -> String {
        self.heard.lock().text.clone()
    }

    /// Calls `follower` with each whole line from now on.
    pub fn follow(&self, follower: impl FnMut(&str) + Send + 'static) {
        self.heard.lock().follow = Some(Box::new(follower));
    }
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn listen(mut line: UnixStream, mut log: File, heard: &Heard) {
    let mut plain = Plain::default();
    let mut buffer = [0; 4096];
    loop {
        let count = line.read(&mut buffer).unwrap_or(0);
        let mut state = heard.lock();
        if count == 0 {
            state.closed = true;
            heard.more.notify_all();
            return;
        }
        // The log is for people after a failure; a full disk is no reason to stop listening.
        let _ = log.write_all(&buffer[..count]);
        let start = state.text.rfind('\n').map_or(0, |end| end + 1);
        state.text.extend(buffer[..count].iter().filter_map(|&byte| plain.keep(byte)));
        tell_follower(&mut state, start);
        heard.more.notify_all();
    }
}

fn tell_follower(state: &mut State, start: usize) {
    let State { text, follow: Some(follow), .. } = state else { return };
    if let Some(end) = text.rfind('\n').filter(|end| *end >= start) {
        text[start..end].lines().for_each(follow);
    }
}

/// Takes the terminal escapes (ECMA-48 control sequences, and the two-byte ones) and carriage returns out of a stream.
#[derive(Default)]
enum Plain {
    #[default]
    Text,
    Escape,
    Sequence,
}

impl Plain {
    fn keep(&mut self, byte: u8) -> Option<char> {
        let mut kept = None;
        *self = match (&self, byte) {
            (Self::Text, 0x1b) => Self::Escape,
            (Self::Text, b'\r' | 0) => Self::Text,
            (Self::Text, _) => {
                kept = Some(if byte.is_ascii() { byte as char } else { char::REPLACEMENT_CHARACTER });
                Self::Text
            }
            (Self::Escape, b'[') => Self::Sequence,
            (Self::Escape, _) | (Self::Sequence, 0x40..=0x7e) => Self::Text,
            (Self::Sequence, _) => Self::Sequence,
        };
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(bytes: &[u8]) -> String {
        let mut plain = Plain::Text;
        bytes.iter().filter_map(|&byte| plain.keep(byte)).collect()
    }

    #[test]
    fn escapes_are_taken_out() {
        assert_eq!(plain(b"a\x1b[1;31mred\x1b[0m\r\n\x1bcb"), "ared\nb");
    }

    #[test]
    fn a_failure_that_is_waited_for_may_come_in_pieces() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut console = Console::new(ours, log.path()).unwrap();
        theirs.write_all(b"camphor: FAILED").unwrap();
        let late = console.expect("camphor: FAILED at step x", Duration::from_millis(200)).unwrap_err();
        assert!(late.to_string().contains("not there after"), "{late:#}");
        theirs.write_all(b" at step y\n").unwrap();
        let other = console.expect("camphor: FAILED at step x", Duration::from_secs(5)).unwrap_err();
        assert!(other.to_string().contains("it said"), "{other:#}");
    }

    #[test]
    fn expect_consumes_in_order_and_says_what_is_missing() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut console = Console::new(ours, log.path()).unwrap();
        theirs.write_all(b"one two\nthree\n").unwrap();
        assert_eq!(console.expect("two", Duration::from_secs(5)).unwrap(), "one ");
        console.expect("three", Duration::from_secs(5)).unwrap();
        let late = console.expect("one", Duration::from_millis(1)).unwrap_err();
        assert!(late.to_string().contains("not there after"), "{late:#}");
        drop(theirs);
        let ended = console.expect("four", Duration::from_secs(5)).unwrap_err();
        assert!(ended.to_string().contains("the machine ended"), "{ended:#}");
    }
}
