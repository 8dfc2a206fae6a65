//! One command to a TPM and its answer (*TPM 2.0 Library*, part 1, 18): big-endian, in one piece each.

use std::io::{Read, Write};

use anyhow::{Context as _, Result, ensure};

use super::code::Refused;

/// TPM_ST_NO_SESSIONS, TPM_ST_SESSIONS
const PLAIN: u16 = 0x8001;
const AUTHORISED: u16 = 0x8002;
/// TPM_RS_PW: the session of a password.
const PASSWORD: u32 = 0x4000_0009;
/// continueSession
const STAYS: u8 = 1;
/// Tag, size, code.
const HEAD: usize = 10;
/// More than any chip answers (TPM_PT_MAX_RESPONSE_SIZE is 4096).
const ANSWER_MAX: usize = 4096;

/// By what a handle may be used.
pub enum Auth {
    /// Its password, which is empty.
    Empty,
    /// This session, whose policy is fulfilled.
    Policy(u32),
}

/// A command.
pub struct Command {
    name: &'static str,
    code: u32,
    handles: Vec<u8>,
    auths: Vec<u8>,
    parameters: Vec<u8>,
}

impl Command {
    /// A command by its name and TPM_CC.
    pub fn new(name: &'static str, code: u32) -> Self {
        Self { name, code, handles: Vec::new(), auths: Vec::new(), parameters: Vec::new() }
    }

    /// A handle that needs leave.
    pub fn handle(mut self, handle: u32, auth: Auth) -> Self {
        let (session, attributes) = match auth {
            Auth::Empty => (PASSWORD, 0),
            Auth::Policy(session) => (session, STAYS),
        };
        // Without a nonce, and with an empty password.
        self.auths.extend(session.to_be_bytes());
        self.auths.extend([0, 0, attributes, 0, 0]);
        self.object(handle)
    }

    /// A handle that needs none.
    pub fn object(mut self, handle: u32) -> Self {
        self.handles.extend(handle.to_be_bytes());
        self
    }

    /// A parameter as it is.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.parameters.extend(bytes);
        self
    }

    /// A `TPM2B`: with its size before it.
    pub fn sized(self, bytes: &[u8]) -> Result<Self> {
        let size = u16::try_from(bytes.len()).context("a value for the TPM is too long")?;
        Ok(self.bytes(&size.to_be_bytes()).bytes(bytes))
    }

    /// Sends it and waits for the answer.
    pub fn run(&self, link: &mut (impl Read + Write + ?Sized)) -> Result<Answer> {
        let (tag, auths) = match self.auths.len() {
            0 => (PLAIN, Vec::new()),
            size => (AUTHORISED, [&u32::try_from(size)?.to_be_bytes()[..], &self.auths].concat()),
        };
        let size = HEAD + self.handles.len() + auths.len() + self.parameters.len();
        let head = [&tag.to_be_bytes()[..], &u32::try_from(size)?.to_be_bytes(), &self.code.to_be_bytes()];
        let message = [&head.concat()[..], &self.handles, &auths, &self.parameters].concat();
        // In one piece: the kernel takes every write for a whole command.
        link.write_all(&message).with_context(|| format!("sending {} to the TPM", self.name))?;
        let answer = receive(link).with_context(|| format!("reading the TPM's answer to {}", self.name))?;
        match Answer::code(&answer) {
            0 => Ok(Answer { has_auths: !self.auths.is_empty(), bytes: answer, at: HEAD }),
            code => Err(Refused { command: self.name, code }.into()),
        }
    }
}

/// Old kernels drop what a read leaves of an answer, so the first has room for all of it; a socket may give it in pieces.
fn receive(link: &mut (impl Read + ?Sized)) -> Result<Vec<u8>> {
    let mut answer = vec![0; ANSWER_MAX];
    let mut got = 0;
    loop {
        let more = link.read(&mut answer[got..])?;
        ensure!(more > 0, "it ends after {got} bytes");
        got += more;
        if got < HEAD {
            continue;
        }
        let size = usize::try_from(u32::from_be_bytes([answer[2], answer[3], answer[4], answer[5]]))?;
        ensure!((HEAD..=ANSWER_MAX).contains(&size) && got <= size, "it says that it has {size} bytes");
        if got == size {
            answer.truncate(size);
            return Ok(answer);
        }
    }
}

/// An answer, read from the front.
pub struct Answer {
    bytes: Vec<u8>,
    at: usize,
    has_auths: bool,
}

impl Answer {
    fn code(bytes: &[u8]) -> u32 {
        u32::from_be_bytes([bytes[6], bytes[7], bytes[8], bytes[9]])
    }

    /// The handle of what was made.
    pub fn handle(&mut self) -> Result<u32> {
        let handle = self.take(4)?;
        Ok(u32::from_be_bytes(handle.try_into()?))
    }

    /// The next `TPM2B`.
    pub fn sized(&mut self) -> Result<&[u8]> {
        // Between the handles and the first parameter, an answer with authorisations says how long the parameters are.
        if std::mem::take(&mut self.has_auths) {
            self.skip(4)?;
        }
        let size = self.take(2)?;
        let size = u16::from_be_bytes(size.try_into()?);
        self.take(size.into())
    }

    /// Leaves out so many bytes.
    pub fn skip(&mut self, size: usize) -> Result<()> {
        self.take(size).map(drop)
    }

    fn take(&mut self, size: usize) -> Result<&[u8]> {
        let rest = self.bytes.get(self.at..).and_then(|rest| rest.get(..size));
        self.at += size;
        rest.context("the TPM's answer is too short")
    }
}
