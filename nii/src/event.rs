//! What a node reports. Events are numbered when they are made, kept until the head node has them, and deduplicated
//! there by (boot id, sequence): each arrives exactly once, in order.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The kernel's boot id.
    pub boot_id: Uuid,
    /// 1, 2, 3, … within the boot.
    pub seq: u64,
    /// Milliseconds since boot (CLOCK_BOOTTIME) when it was made.
    pub mono_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub body: Body,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Body {
    /// A step began.
    StepStarted {
        /// Its name.
        step: String,
        /// Its number, from 1.
        number: u32,
        /// How many there are.
        of: u32,
        /// After so many seconds without its end the node counts as lost.
        deadline_s: u32,
    },
    /// A step ended well.
    StepFinished {
        /// Its name.
        step: String,
        /// How long it took, in milliseconds.
        ms: u64,
    },
    /// A long step goes on.
    Progress {
        /// The step.
        step: String,
        /// Done so far, in bytes.
        done: u64,
        /// The whole, in bytes.
        total: u64,
    },
    /// The step goes on, and has nothing to count: sent once a minute while another program (anaconda) works.
    Alive {
        /// The step.
        step: String,
    },
    /// The step, and with it the attempt, failed.
    Failed(Failure),
    /// Committed: the machine is what the NII said.
    Installed {
        /// The arming that was carried out.
        arming: Uuid,
        /// Peak resident memory of the node program, in KiB.
        peak_kib: u64,
        /// Bytes of image data fetched.
        image_bytes: u64,
    },
    /// The node's facts, in the shape of `plan::Facts`.
    Facts {
        /// The facts.
        facts: serde_json::Value,
    },
    /// The public SSH host keys of the system that was installed.
    HostKeys {
        /// Lines as in `ssh_host_…_key.pub`.
        keys: Vec<String>,
    },
    /// Something a person should see.
    Warning {
        /// The text.
        message: String,
    },
}

/// A failure, in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The step's name.
    pub step: String,
    /// The op that failed, as `--plan` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    /// The whole chain of causes, outermost first.
    pub cause: Vec<String>,
    /// What to try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The last lines of the log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_tail: Vec<String>,
}

/// `POST /api/v1/events`: some events, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventBatch {
    /// The events.
    pub events: Vec<Event>,
}

/// Its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventAnswer {
    /// The head node has all events of this boot up to this sequence.
    pub through: u64,
}
