//! After a failure: the screen is shown, the head node told, and the machine held, or what else the NII wants. The screen
//! comes first: a head node that does not answer takes its time. Nothing here comes back: what called us would go on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Error, anyhow};
use host::Tracker;
use host::console::policy::follow;
use host::console::{Console, screen};
use host::linux::power;
use host::net::events::Reporter;
use host::observers::policy;
use nii::event::{Body, Failure};
use nii::v1::OnFailure;

use crate::context::Ctx;
use crate::logs;

/// How long a failed node tries to tell the head node before it does what the NII wants.
const REPORT: Duration = Duration::from_secs(10);

/// Shows the screen, leaves anaconda's logs, sends what is spooled, and holds.
pub fn after(failure: &Failure, ctx: &mut Ctx) -> ! {
    let mut console = show(failure);
    logs::upload(ctx, Path::new(logs::FOLDER));
    ctx.reporter.flush(REPORT);
    follow(failure, policy(&ctx.policy), &mut console, power::end)
}

/// Shows the screen, sends what is spooled, and holds.
pub fn alone(failure: &Failure, reporter: &Reporter, on_failure: OnFailure) -> ! {
    let mut console = show(failure);
    reporter.flush(REPORT);
    follow(failure, on_failure, &mut console, power::end)
}

/// Before there is a step, or a way to tell anybody.
pub fn early(error: &Error) -> ! {
    let failure = Tracker::new(Vec::new()).failure(error);
    let failure = Failure { step: "start".to_owned(), ..failure };
    follow(&failure, OnFailure::default(), &mut show(&failure), power::end)
}

fn show(failure: &Failure) -> Console {
    let mut console = Console::open();
    console.say(&screen::text(failure));
    console
}

/// A panic is a failed step like any other.
pub fn on_panic(ctx: &Ctx) {
    let (tracker, reporter, on_failure) =
        (ctx.tracker.clone(), ctx.reporter.clone(), Arc::clone(&ctx.policy));
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.to_string().replace('\n', " ");
        let error = anyhow!("{message}").context("a defect of camphor; please report it");
        let failure = tracker.failure(&error);
        reporter.report(Body::Failed(failure.clone()));
        alone(&failure, &reporter, policy(&on_failure));
    }));
}
