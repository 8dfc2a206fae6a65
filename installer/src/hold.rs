//! After a failure: the head node is told, the screen shown, and the machine held, or what else the NII wants. Nothing
//! here comes back: what called us would go on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Error, anyhow};
use host::Tracker;
use host::console::Console;
use host::linux::power;
use host::net::events::Reporter;
use host::observers::policy;
use nii::event::{Body, Failure};
use nii::v1::OnFailure;

use crate::context::Ctx;
use crate::logs;

/// How long a failed node tries to tell the head node before it shows its screen.
const REPORT: Duration = Duration::from_secs(10);

/// Leaves anaconda's logs, sends what is spooled, and holds.
pub fn after(failure: &Failure, ctx: &mut Ctx) -> ! {
    logs::upload(ctx, Path::new(logs::FOLDER));
    alone(failure, &ctx.reporter, policy(&ctx.policy))
}

/// Sends what is spooled, and holds.
pub fn alone(failure: &Failure, reporter: &Reporter, on_failure: OnFailure) -> ! {
    reporter.flush(REPORT);
    screen(failure, on_failure)
}

/// Before there is a step, or a way to tell anybody.
pub fn early(error: &Error) -> ! {
    let failure = Tracker::new(Vec::new()).failure(error);
    screen(&Failure { step: "start".to_owned(), ..failure }, OnFailure::default())
}

fn screen(failure: &Failure, on_failure: OnFailure) -> ! {
    host::console::policy::obey(failure, on_failure, &mut Console::open(), power::end)
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
