//! Planning once the disks are there: those behind RAID controllers and expanders show up long after their driver.

use std::time::Duration;

use nii::Finding;
use plan::Facts;

use crate::machine::Watch;

const DISK_PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What came of a look at the machine.
#[derive(Debug)]
pub enum Planned<P> {
    /// An earlier boot did it all.
    Done,
    /// This is to be done.
    Ready(P),
    /// Nothing can be done, for these reasons.
    Refused(Vec<Finding>),
}

/// Facts, and the plan that was made from them.
#[derive(Debug)]
pub struct Settled<P> {
    /// The facts of the last look.
    pub facts: Facts,
    /// The plan.
    pub planned: Planned<P>,
    /// Whether there was more than one look.
    pub waited: bool,
}

/// Looks and plans, again and again while nothing but a disk is missing, for half a minute.
///
/// # Errors
/// Those of `look` and `plan`.
pub fn settle<C, P>(
    context: &mut C,
    watch: &mut dyn Watch,
    sleep: fn(Duration),
    look: fn(&mut C) -> anyhow::Result<Facts>,
    plan: fn(&mut C, &Facts) -> anyhow::Result<Planned<P>>,
) -> anyhow::Result<Settled<P>> {
    let mut facts = look(context)?;
    let mut planned = plan(context, &facts)?;
    let mut waited = Duration::ZERO;
    while waited < DISK_PATIENCE
        && let Planned::Refused(findings) = &planned
        && let Some(missing) = missing_disk(findings)
    {
        if waited.is_zero() {
            let seconds = DISK_PATIENCE.as_secs();
            watch.log(&format!("waiting up to {seconds} s for disks: {}", missing.message));
        }
        sleep(LOOK_EVERY);
        waited += LOOK_EVERY;
        facts = look(context)?;
        planned = plan(context, &facts)?;
    }
    Ok(Settled { facts, planned, waited: !waited.is_zero() })
}

/// The disk that another look may find, if nothing but the storage is wrong: with a disk that is missing, so is what is
/// to be on it, such as the ESP.
fn missing_disk(findings: &[Finding]) -> Option<&Finding> {
    let mut errors = findings.iter().filter(|finding| finding.is_error());
    let missing =
        |finding: &&Finding| finding.path.starts_with("storage.disks[") && finding.path.ends_with("].select");
    findings.iter().find(missing).filter(|_| errors.all(|finding| finding.path.starts_with("storage")))
}

/// All findings as one error: a person fixes them together.
pub fn refused(findings: &[Finding]) -> anyhow::Error {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("the NII does not fit this machine:\n{}", lines.join("\n"))
}
