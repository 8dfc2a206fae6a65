//! How the worker's run ended, and what the supervisor is to do: the one file between the two processes.

#![allow(
    clippy::disallowed_methods,
    reason = "a file of this program's own, in RAM; not a change to the machine"
)]

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use nii::event::Failure;
use nii::v1::{After, OnFailure};
use serde::{Deserialize, Serialize};

/// The file. Nothing in it is secret.
pub const PATH: &str = "/run/camphor/outcome.json";

/// What the worker left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Not done; if nothing else follows, the worker died.
    Running {
        /// At this step.
        step: String,
        /// What the NII wants then; before there is one, the default.
        policy: OnFailure,
    },
    /// A step failed.
    Failed {
        /// The report.
        failure: Failure,
        /// What the NII wants then; before there is one, the default.
        policy: OnFailure,
    },
    /// All steps are done.
    Done {
        /// What follows.
        hand_off: HandOff,
        /// What the NII wants if that fails.
        policy: OnFailure,
    },
}

/// What follows a good run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HandOff {
    /// Firmware again.
    Reboot,
    /// Off.
    Poweroff,
    /// Into the kernel that was loaded.
    Kexec,
    /// Into the new root.
    SwitchRoot,
}

impl From<After> for HandOff {
    fn from(after: After) -> Self {
        match after {
            After::Reboot => Self::Reboot,
            After::Poweroff => Self::Poweroff,
            After::Kexec => Self::Kexec,
            After::SwitchRoot => Self::SwitchRoot,
        }
    }
}

impl Outcome {
    /// Writes it for the supervisor.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn store(&self, path: &Path) -> Result<()> {
        fs::write(path, serde_json::to_vec(self)?).with_context(|| format!("writing {}", path.display()))
    }

    /// Reads what the worker wrote.
    ///
    /// # Errors
    /// There is none, or it is cut off.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("reading {}", path.display()))
    }
}
