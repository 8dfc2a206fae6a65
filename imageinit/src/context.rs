//! What the steps share: the machine, the head node, and what earlier steps found out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use host::cmdline::Options;
use host::kusu;
use host::net::events::Reporter;
use host::net::head::{Head, Session};
use host::net::http::Exchange;
use host::observers::Policy;
use host::{Machine, Tracker};
use nii::Nii;
use nii::manifest::Manifest;
use nii::secret::Secret;
use nii::trust::Trust;
use nii::v1::{Image, InstallType};
use plan::{Op, Plan};
use uuid::Uuid;

use crate::outcome::HandOff;

/// The context of a run.
pub struct Ctx {
    /// The machine: the real one, or a recorder.
    pub machine: Box<dyn Machine>,
    /// Is told what goes on.
    pub tracker: Tracker,
    /// The kernel command line.
    pub options: Options,
    /// Whom to believe.
    pub trust: Trust,
    /// The head node; `None` if the command line names none.
    pub head: Option<Head>,
    /// Reports to the head node.
    pub reporter: Reporter,
    /// What the reports are sent with.
    pub exchange: Arc<dyn Exchange>,
    /// The kernel's boot id.
    pub boot_id: Uuid,
    /// The one-time token; `None` if the initrd had none, or after its use.
    pub token: Option<Secret>,
    /// What to do after a failure; the default until `nii`.
    pub policy: Policy,
    /// From `session` on, but for nodes of Kusu.
    pub session: Option<Session>,
    /// From `session` on, if the NII comes from an old Kusu head node.
    pub kusu: Option<kusu::Node>,
    /// From `nii` on.
    pub nii: Option<Nii>,
    /// The image's manifest, from `preflight` on, unless the install was committed before.
    pub manifest: Option<Manifest>,
    /// Every op, complete before anything is destroyed; from the end of `preflight` on, with the same exception.
    pub plan: Option<Plan>,
    /// How to wait; tests do not.
    pub sleep: fn(Duration),
    /// When the run began.
    pub began: Instant,
    /// How long `unpack` took.
    pub unpacked_in: Duration,
    /// An earlier boot committed this arming's install, and only its report was lost.
    pub committed: bool,
}

impl Ctx {
    /// The arming that is carried out, and this boot's attempt at it.
    pub fn ids(&self) -> Result<(Uuid, Uuid)> {
        match (&self.session, &self.kusu) {
            (Some(session), _) => Ok((session.arming, session.attempt)),
            (None, Some(node)) => Ok((node.arming, node.attempt)),
            (None, None) => bail!("there is no session yet"),
        }
    }

    /// The NII.
    pub fn nii(&self) -> Result<&Nii> {
        self.nii.as_ref().context("there is no NII yet")
    }

    /// The image's manifest.
    pub fn manifest(&self) -> Result<&Manifest> {
        self.manifest.as_ref().context("there is no manifest yet")
    }

    /// The image that the NII names; validation has seen to it that there is one.
    pub fn image(&self) -> Result<&Image> {
        self.nii()?.image.as_ref().context("the NII names no image")
    }

    /// Whether the node is to run from its own disks.
    pub fn disked(&self) -> bool {
        self.nii.as_ref().is_some_and(|nii| nii.install.kind == InstallType::Disked)
    }

    /// What follows when all steps are done. An install that an earlier boot committed has nothing loaded or mounted.
    pub fn hand_off(&self) -> HandOff {
        match &self.nii {
            Some(nii) if nii.install.kind == InstallType::Diskless => HandOff::SwitchRoot,
            Some(nii) if !self.committed => nii.install.after.into(),
            _ => HandOff::Reboot,
        }
    }

    /// Applies ops in order.
    pub fn apply(&mut self, ops: &[Op]) -> Result<()> {
        Ok(self.tracker.apply(&mut *self.machine, ops)?)
    }
}
