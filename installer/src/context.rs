//! What the steps share: the machine, the head node, and what earlier steps and processes found out.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use host::cmdline::Options;
use host::kusu;
use host::linux::Linux;
use host::net::clock::Clock;
use host::net::events::{Destination, Reporter, boot_id};
use host::net::head::{Head, Session};
use host::net::http::{Exchange, Http};
use host::observers::{Policy, Reports, Say, Screen, set_policy};
use host::{Machine, Observer, Tracker};
use nii::Nii;
use nii::secret::Secret;
use nii::trust::Trust;
use nii::v1::StorageMode;
use plan::{Facts, Op, Plan};
use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

use crate::state::{FOLDER, Link, State};

/// The context of a run.
pub struct Ctx {
    /// The machine: the real one, or a recorder.
    pub machine: Box<dyn Machine>,
    /// Is told what goes on.
    pub tracker: Tracker,
    /// The kernel command line.
    pub options: Options,
    /// The head node; `None` if the command line names none.
    pub head: Option<Head>,
    /// Whom to believe.
    pub trust: Trust,
    /// Is told the signed time.
    pub clock: Arc<Clock>,
    /// Reports to the head node.
    pub reporter: Reporter,
    /// What the reports are sent with.
    pub exchange: Arc<dyn Exchange>,
    /// The kernel's boot id.
    pub boot_id: Uuid,
    /// What is left for the next process.
    pub state: State,
    /// Where scripts are kept, as `plan` names them.
    pub scripts: PathBuf,
    /// Where the kickstart goes.
    pub out: PathBuf,
    /// The one-time token; `None` if the initrd had none, or after its use.
    pub token: Option<Secret>,
    /// What to do after a failure; the default until there is an NII.
    pub policy: Policy,
    /// From `session` on, but for nodes of Kusu.
    pub session: Option<Session>,
    /// From `session` on, if the NII comes from an old Kusu head node.
    pub kusu: Option<kusu::Node>,
    /// From `nii` on.
    pub nii: Option<Nii>,
    /// From `preflight` on.
    pub facts: Option<Facts>,
    /// From `preflight` on, unless the install was committed before.
    pub plan: Option<Plan>,
    /// The site's kickstart template, if the NII names one.
    pub template: Option<String>,
    /// The kickstart, with the same exception.
    pub kickstart: Option<String>,
    /// An earlier boot committed this arming's install, and only its report was lost.
    pub committed: bool,
    /// How to wait; tests do not.
    pub sleep: fn(Duration),
}

impl Ctx {
    /// The context of a process on the real machine, as earlier ones left it.
    ///
    /// # Errors
    /// What every process needs is not there.
    pub fn open(say: Say) -> Result<Self> {
        let state = State::in_folder(FOLDER)?;
        let text = std::fs::read_to_string("/proc/cmdline").context("reading /proc/cmdline")?;
        let options = Options::parse(&text);
        let trust = state.trust()?;
        let clock = Arc::new(Clock::new(trust.time_floor));
        let boot_id = boot_id()?;
        let reporter = Reporter::shared(boot_id, &state.events());
        let observers: Vec<Box<dyn Observer>> =
            vec![Box::new(Screen::new(options.debug, say)), Box::new(Reports(reporter.clone()))];
        let mut ctx = Self {
            machine: Box::new(Linux::new(Http::new(&trust, Arc::clone(&clock))?, &trust)?),
            tracker: Tracker::new(observers),
            exchange: Arc::new(Http::new(&trust, Arc::clone(&clock))?),
            head: options.head.clone().map(|base| Head {
                base,
                trust: trust.clone(),
                clock: Arc::clone(&clock),
                sleep: std::thread::sleep,
            }),
            options,
            trust,
            clock,
            reporter,
            boot_id,
            scripts: plan::package::SCRIPTS.into(),
            state,
            out: PathBuf::new(),
            token: None,
            policy: Policy::default(),
            session: None,
            kusu: None,
            nii: None,
            facts: None,
            plan: None,
            template: None,
            kickstart: None,
            committed: false,
            sleep: std::thread::sleep,
        };
        ctx.resume()?;
        Ok(ctx)
    }

    /// Takes up what earlier processes left.
    pub(crate) fn resume(&mut self) -> Result<()> {
        if let Some(link) = self.state.link()? {
            let (time, told) = link.time;
            self.clock.tell(time + since_boot().saturating_sub(told));
            self.kusu = link.kusu;
            if let Some(kept) = link.session {
                self.begin(kept.into())?;
            }
        }
        if let Some(nii) = self.state.nii()? {
            self.obey(nii);
        }
        Ok(())
    }

    /// There is a session: reports are sent from now on.
    ///
    /// # Errors
    /// The sender cannot be started.
    pub fn begin(&mut self, session: Session) -> Result<()> {
        let exchange = Arc::clone(&self.exchange);
        let (https, key) = (session.https.clone(), session.key.clone());
        self.reporter.send_to(Destination { https, key, exchange })?;
        self.session = Some(session);
        Ok(())
    }

    /// There is an NII.
    pub fn obey(&mut self, nii: Nii) {
        set_policy(&self.policy, nii.install.on_failure);
        self.tracker.set_deadlines(&nii.deadlines());
        self.nii = Some(nii);
    }

    /// Leaves the link to the head node for the next process.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep_link(&self) -> Result<()> {
        let session = self.session.as_ref().map(Into::into);
        let time = (self.clock.now(), since_boot());
        self.state.keep_link(&Link { session, kusu: self.kusu.clone(), time })
    }

    /// The arming and the attempt.
    ///
    /// # Errors
    /// There is no head node yet that gave them.
    pub fn ids(&self) -> Result<(Uuid, Uuid)> {
        match (&self.session, &self.kusu) {
            (Some(session), _) => Ok((session.arming, session.attempt)),
            (None, Some(node)) => Ok((node.arming, node.attempt)),
            (None, None) => bail!("there is no session: did `installer prepare` run in this boot?"),
        }
    }

    /// The NII.
    ///
    /// # Errors
    /// There is none yet.
    pub fn nii(&self) -> Result<&Nii> {
        self.nii.as_ref().context("there is no NII: did `installer prepare` run in this boot?")
    }

    /// Whether camphor writes the partition tables.
    pub fn partitions(&self) -> bool {
        self.nii.as_ref().is_some_and(|nii| nii.storage.mode == StorageMode::Camphor)
    }

    /// Applies ops in order.
    ///
    /// # Errors
    /// The first op that fails.
    pub fn apply(&mut self, ops: &[Op]) -> Result<()> {
        Ok(self.tracker.apply(&mut *self.machine, ops)?)
    }

    /// Carries out a stage of the plan.
    ///
    /// # Errors
    /// The first op that fails.
    pub fn carry_out(&mut self, stage: &str) -> Result<()> {
        let ops = self.plan.as_ref().context("there is no plan yet")?.ops(stage).to_vec();
        self.apply(&ops)
    }
}

/// Seconds since boot, suspended time included.
fn since_boot() -> u64 {
    u64::try_from(clock_gettime(ClockId::Boottime).tv_sec).unwrap_or(0)
}
