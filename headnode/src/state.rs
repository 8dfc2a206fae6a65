//! The states of a node, and the one table of what may follow what. Every change of state goes through
//! [`State::after`] (by way of `store::nodes::transition`, which writes the audit log).

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};
use serde::Deserialize;

/// What a node is, as far as the head node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Defined, never heard of.
    Unknown,
    /// It asked for a boot script.
    Discovered,
    /// An admin wants it installed.
    Armed,
    /// It traded its token.
    Installing,
    /// Its disk is what its NII says.
    Installed,
    /// It runs from RAM; installed again at every boot.
    DisklessRunning,
    /// It reported a failure.
    Failed,
    /// It used up the attempts of its arming.
    Parked,
    /// An admin wants its local disk booted.
    Local,
    /// An admin wants its group's rescue system booted.
    Rescue,
}

/// See [`State::settled`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Its local disk.
    LocalDisk,
    /// Nothing: it asks again.
    Wait,
}

/// Why a state changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It asked for a boot script.
    Seen,
    /// `boot install`.
    Arm,
    /// `boot local`.
    BootLocal,
    /// `boot rescue`.
    BootRescue,
    /// It traded its token: an attempt begins.
    Begin,
    /// It asked for one attempt more than its arming has.
    Exhausted,
    /// It reported a failure.
    Failed,
    /// It reported a disked install as committed.
    Installed,
    /// It reported its diskless root as complete.
    Running,
}

use State::{
    Armed, Discovered, DisklessRunning, Failed, Installed, Installing, Local, Parked, Rescue, Unknown,
};

const ALL: &[State] =
    &[Unknown, Discovered, Armed, Installing, Installed, DisklessRunning, Failed, Parked, Local, Rescue];
/// States in which a boot may be an attempt at the arming's install. `Failed` only where the NII says so.
const BOOTING: &[State] = &[Armed, Installing, DisklessRunning, Failed];

/// Cause, the states in which it may come, and the state that follows.
const TABLE: &[(Cause, &[State], State)] = &[
    (Cause::Seen, &[Unknown], Discovered),
    (Cause::Arm, ALL, Armed),
    (Cause::BootLocal, ALL, Local),
    (Cause::BootRescue, ALL, Rescue),
    (Cause::Begin, BOOTING, Installing),
    (Cause::Exhausted, BOOTING, Parked),
    (Cause::Failed, &[Installing], Failed),
    (Cause::Installed, &[Installing], Installed),
    (Cause::Running, &[Installing], DisklessRunning),
];

impl State {
    /// The state that follows; `None` if the cause cannot come in this state, which then stays.
    pub fn after(self, cause: Cause) -> Option<Self> {
        let (_, from, to) = TABLE.iter().find(|(of, ..)| *of == cause)?;
        from.contains(&self).then_some(*to)
    }

    /// Whether a system may run on it that somebody is using: surely none does only where an attempt began and did not
    /// end well. An armed node runs what it had until it boots, and nobody knows of one that was never seen.
    pub const fn may_be_in_use(self) -> bool {
        !matches!(self, Installing | Failed)
    }

    /// What a boot in this state comes to, whatever the node's document says; `None`: that is to be looked at.
    pub const fn settled(self, locked: bool) -> Option<Settled> {
        match self {
            Installed | Local => Some(Settled::LocalDisk),
            Armed if locked => Some(Settled::LocalDisk),
            // Its disk is half written, or it has none to boot.
            Installing | Failed | DisklessRunning if locked => Some(Settled::Wait),
            Unknown | Discovered | Parked => Some(Settled::Wait),
            Armed | Installing | Failed | DisklessRunning | Rescue => None,
        }
    }

    /// Its name in the store, in JSON and in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Unknown => "unknown",
            Discovered => "discovered",
            Armed => "armed",
            Installing => "installing",
            Installed => "installed",
            DisklessRunning => "diskless-running",
            Failed => "failed",
            Parked => "parked",
            Local => "local",
            Rescue => "rescue",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for State {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        match ALL.iter().find(|state| state.name() == name) {
            Some(state) => Ok(*state),
            None => bail!("`{name}` is no state of a node"),
        }
    }
}

impl Cause {
    /// Its name in the audit log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Arm => "arm",
            Self::BootLocal => "boot-local",
            Self::BootRescue => "boot-rescue",
            Self::Begin => "begin",
            Self::Exhausted => "exhausted",
            Self::Failed => "failed",
            Self::Installed => "installed",
            Self::Running => "running",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAUSES: [Cause; 9] = [
        Cause::Seen,
        Cause::Arm,
        Cause::BootLocal,
        Cause::BootRescue,
        Cause::Begin,
        Cause::Exhausted,
        Cause::Failed,
        Cause::Installed,
        Cause::Running,
    ];

    /// Written out by hand, against the table: one line a state, one column a cause.
    #[test]
    fn a_locked_node_boots_no_half_written_disk() {
        assert_eq!(Armed.settled(true), Some(Settled::LocalDisk));
        for state in [Installing, Failed, DisklessRunning] {
            assert_eq!((state.settled(true), state.settled(false)), (Some(Settled::Wait), None), "{state:?}");
        }
    }

    #[test]
    fn each_state_with_each_cause() {
        let expected = "
            unknown          discovered armed local rescue -          -      -      -         -
            discovered       -          armed local rescue -          -      -      -         -
            armed            -          armed local rescue installing parked -      -         -
            installing       -          armed local rescue installing parked failed installed diskless-running
            installed        -          armed local rescue -          -      -      -         -
            diskless-running -          armed local rescue installing parked -      -         -
            failed           -          armed local rescue installing parked -      -         -
            parked           -          armed local rescue -          -      -      -         -
            local            -          armed local rescue -          -      -      -         -
            rescue           -          armed local rescue -          -      -      -         -";
        let mut states = 0;
        for line in expected.trim().lines() {
            let mut words = line.split_whitespace();
            let state: State = words.next().unwrap().parse().unwrap();
            for (cause, expected) in CAUSES.into_iter().zip(&mut words) {
                assert_eq!(state.after(cause).map_or("-", State::name), expected, "{state} {}", cause.name());
            }
            states += 1;
        }
        assert_eq!(states, ALL.len());
    }
}
