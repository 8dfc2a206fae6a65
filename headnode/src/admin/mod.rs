//! Admins who are elsewhere: the same commands as here, run by `serve` on behalf of whoever shows an API key over TLS, or
//! has the right user behind its socket.
//!
//! * [`scope`]: what each command needs; a new command does not compile without it.
//! * [`command`]: runs one, in a process of its own.
//! * [`places`]: how much of it there is at once.
//! * [`sessions`]: who is logged in at the web page.
//! * [`socket`]: the way in for users of this machine.
//! * [`client`]: the other end.
//!
//! The calls themselves are in [`crate::http`]. Nothing here has an operation of its own.

pub mod client;
pub mod command;
pub mod places;
mod scope;
pub mod sessions;
pub mod socket;

use std::time::Duration;

pub use self::scope::Scope;

use self::places::Places;
use self::sessions::Sessions;
use crate::meter::Meter;

/// Where a command is posted.
pub const PATH: &str = "/admin/command";
/// The variable by which a command learns for whom it is run.
pub const ACTOR: &str = "CAMPHOR_ACTOR";
/// Commands that are run at once. Each is a process.
const AT_ONCE: usize = 8;
/// Calls whose arguments and stdin are received at once, each of 8 MiB at most.
const BODIES: usize = 8;
/// Of either, how many may be of one caller whose scope is not `admin`.
const EACH: usize = 3;
/// Wrong keys that an address may show in a minute.
const WRONG_KEYS: u32 = 10;

/// Who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// As the audit log names it.
    pub name: String,
    /// Whose places its calls take: the same wherever it calls from.
    pub whose: String,
    /// What it may do.
    pub scope: Scope,
}

/// What all calls share.
pub struct Desk {
    /// Room for running commands.
    pub room: Places,
    /// Room for calls that are being received.
    pub bodies: Places,
    /// Addresses that showed wrong keys.
    pub wrong: Meter,
    /// Who is logged in.
    pub sessions: Sessions,
    /// Whether whoever the system lets at the socket may operate.
    pub operators: bool,
}

impl Desk {
    /// With nobody at it.
    pub fn new(operators: bool) -> Self {
        let wrong = Meter::new(WRONG_KEYS, Duration::from_secs(60));
        let (room, bodies) = (Places::new(AT_ONCE, EACH), Places::new(BODIES, EACH));
        Self { room, bodies, wrong, sessions: Sessions::default(), operators }
    }
}
