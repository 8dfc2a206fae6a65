//! `report begin` and `report failed`: what the kickstart's own sections tell the head node.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use host::console::{Console, screen};
use nii::event::{Body, Failure};

use crate::cli::Reason;
use crate::context::Ctx;
use crate::steps::{ANACONDA, ANACONDA_PART};
use crate::{heartbeat, hold, logs};

/// How long `report` waits for the head node.
const PATIENCE: Duration = Duration::from_secs(10);
/// Lines of anaconda's log in a report.
const TAIL: usize = 40;

/// `report begin`: the step `anaconda` begins.
///
/// # Errors
/// There is no session, or no heartbeat. The install can go on without both.
pub fn begin() -> Result<()> {
    let ctx = open()?;
    heartbeat::end(&ctx.state);
    let deadline_s = u32::try_from(heartbeat::deadline(&ctx).as_secs()).unwrap_or(u32::MAX);
    let (number, of) = (ANACONDA_PART.before + 1, ANACONDA_PART.of);
    ctx.reporter.report(Body::StepStarted { step: ANACONDA.0.to_owned(), number, of, deadline_s });
    heartbeat::start(&ctx.state)?;
    ctx.reporter.flush(PATIENCE);
    Ok(())
}

/// `report failed`: logs and report. After a script, and for a `--why`, it obeys the NII's `on_failure`, and does not come back.
///
/// # Errors
/// There is no session.
pub fn failed(reason: &Reason) -> Result<()> {
    let mut ctx = match (open(), reason) {
        (Ok(ctx), _) => ctx,
        (Err(error), Reason::Text(_)) => return Err(error),
        (Err(error), Reason::Script(_) | Reason::Why(_)) => hold::early(&error),
    };
    heartbeat::end(&ctx.state);
    let failure = failure(reason, &logs::tail(&ctx, Path::new(logs::FOLDER), TAIL));
    ctx.reporter.report(Body::Failed(failure.clone()));
    match reason {
        Reason::Script(_) | Reason::Why(_) => hold::after(&failure, &mut ctx),
        Reason::Text(_) => {
            ctx.reporter.flush(PATIENCE);
            Console::open().say(&screen::text(&failure));
            Ok(())
        }
    }
}

fn open() -> Result<Ctx> {
    let mut console = Console::open();
    Ctx::open(Box::new(move |line| console.say(line)))
}

fn failure(reason: &Reason, log_tail: &[String]) -> Failure {
    let (cause, hint) = match reason {
        Reason::Script(name) if ["anaconda", "onerror"].contains(&name.as_str()) => (
            "anaconda stopped; its last lines are below".to_owned(),
            "its logs are on the head node: program.log and storage.log say the most about disks, packaging.log and dnf.log about repositories",
        ),
        Reason::Script(name) => (
            format!("the script `{name}` failed"),
            "run it by hand in the shell: it is below /run/camphor/scripts",
        ),
        Reason::Why(why) => {
            (why.clone(), "this is what the kickstart's `%pre` found before anaconda looked at the disks")
        }
        Reason::Text(text) => (text.clone(), "look at the console's last lines, and at dracut's journal"),
    };
    Failure {
        step: ANACONDA.0.to_owned(),
        op: None,
        cause: vec![cause],
        hint: Some(hint.to_owned()),
        log_tail: log_tail.to_vec(),
    }
}
