//! The worker: runs the steps, and leaves word for the supervisor.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use host::cmdline::Options;
use host::linux::{Linux, cores};
use host::net::clock::Clock;
use host::net::events::{Reporter, boot_id};
use host::net::head::Head;
use host::net::http::{Exchange, Http};
use host::observers::{Policy, Reports, Screen, policy, say};
use host::runner::{self, EXIT_OVERDUE};
use host::{Observer, Tracker};
use nii::event::Failure;
use nii::secret::Secret;
use nii::trust::{self, Trust};
use nii::v1::OnFailure;

use crate::context::Ctx;
use crate::observers::Marker;
use crate::outcome::{self, Outcome};
use crate::steps::STEPS;

/// How long a failed node tries to tell the head node before it shows its screen.
const REPORT_FAILURE: Duration = Duration::from_secs(10);

/// Runs the steps to their end.
pub fn run() -> ExitCode {
    let outcome = match prepare() {
        Ok((mut ctx, policy)) => carry_out(&mut ctx, &policy),
        Err(error) => early_failure(&error),
    };
    let code = match outcome {
        Outcome::Done { .. } => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    };
    match outcome.store(Path::new(outcome::PATH)) {
        Ok(()) => code,
        Err(error) => {
            eprintln!("imageinit: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Before there is a step to blame.
fn early_failure(error: &anyhow::Error) -> Outcome {
    let failure = Tracker::new(Vec::new()).failure(error);
    Outcome::Failed { failure: Failure { step: "start".to_owned(), ..failure }, policy: OnFailure::default() }
}

fn prepare() -> Result<(Ctx, Policy)> {
    cores::none()?;
    let options = Options::parse(&std::fs::read_to_string("/proc/cmdline").context("reading /proc/cmdline")?);
    let trust = read_trust()?;
    let clock = Arc::new(Clock::new(trust.time_floor));
    let http = Http::new(&trust, Arc::clone(&clock))?;
    let boot_id = boot_id()?;
    let reporter = Reporter::new(boot_id);
    let policy = Policy::default();
    let observers: Vec<Box<dyn Observer>> = vec![
        Box::new(Screen::new(options.debug, Box::new(say))),
        Box::new(Reports(reporter.clone())),
        Box::new(Marker(Arc::clone(&policy))),
    ];
    let mut token = String::new();
    std::io::stdin().read_to_string(&mut token).context("reading the token")?;
    let ctx = Ctx {
        machine: Box::new(Linux::new(http, &trust)?),
        tracker: Tracker::new(observers),
        // A report must not wait behind a chunk: connections of its own.
        exchange: Arc::new(Http::new(&trust, Arc::clone(&clock))?) as Arc<dyn Exchange>,
        head: options.head.clone().map(|base| Head {
            base,
            trust: trust.clone(),
            clock,
            sleep: std::thread::sleep,
        }),
        trust,
        options,
        reporter,
        boot_id,
        token: Some(token).filter(|token| !token.is_empty()).map(Secret::new),
        policy: Arc::clone(&policy),
        session: None,
        kusu: None,
        nii: None,
        manifest: None,
        plan: None,
        sleep: std::thread::sleep,
        began: Instant::now(),
        unpacked_in: Duration::ZERO,
        committed: false,
    };
    report_panics(&ctx, &policy);
    Ok((ctx, policy))
}

fn read_trust() -> Result<Trust> {
    let text = std::fs::read(trust::PATH)
        .with_context(|| format!("reading {}: was this initrd built with --trust?", trust::PATH))?;
    serde_json::from_slice(&text).with_context(|| format!("reading {}", trust::PATH))
}

/// Runs the steps; what the supervisor is to know.
fn carry_out(ctx: &mut Ctx, on_failure: &Policy) -> Outcome {
    let tracker = ctx.tracker.clone();
    let reporter = ctx.reporter.clone();
    let overdue = |failure: &Failure| {
        // An observer that hangs may have kept the marker from it.
        leave_word(&Outcome::Failed { failure: failure.clone(), policy: policy(on_failure) });
        reporter.flush(REPORT_FAILURE);
        std::process::exit(EXIT_OVERDUE);
    };
    match runner::run(STEPS, ctx, &tracker, &overdue) {
        Ok(()) => Outcome::Done { hand_off: ctx.hand_off(), policy: policy(on_failure) },
        Err(failure) => {
            if ctx.session.is_some() && !ctx.reporter.flush(REPORT_FAILURE) {
                say("camphor: warning: the head node could not be told of the failure");
            }
            Outcome::Failed { failure, policy: policy(on_failure) }
        }
    }
}

/// For the supervisor, before a process that may not end.
fn leave_word(outcome: &Outcome) {
    if let Err(error) = outcome.store(Path::new(outcome::PATH)) {
        eprintln!("imageinit: {error:#}");
    }
}

/// A panic is a failed step like any other, and ends the worker.
fn report_panics(ctx: &Ctx, on_failure: &Policy) {
    let (tracker, reporter, on_failure) = (ctx.tracker.clone(), ctx.reporter.clone(), Arc::clone(on_failure));
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.to_string().replace('\n', " ");
        let error = anyhow!("{message}").context("a defect of camphor; please report it");
        let failure = tracker.failure(&error);
        leave_word(&Outcome::Failed { failure: failure.clone(), policy: policy(&on_failure) });
        reporter.report(nii::event::Body::Failed(failure));
        reporter.flush(REPORT_FAILURE);
        std::process::exit(101);
    }));
}
