//! Planning once the disks are there: those behind RAID controllers and expanders show up long after their driver.

use std::time::Duration;

use nii::Finding;
use nii::v1::Storage;
use plan::Facts;

use crate::machine::Watch;

const DISK_PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A disk that is chosen among others is chosen when no other has come for so long.
const QUIET: Duration = Duration::from_secs(4);

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

/// Looks and plans, again and again while nothing but a disk is missing, for half a minute; where `chosen`, some disk is the
/// first, the smallest or the only one of a kind, also until no more have come for a while: one that comes later could be
/// the one that is meant.
///
/// # Errors
/// Those of `look` and `plan`.
pub fn settle<C, P>(
    context: &mut C,
    watch: &mut dyn Watch,
    sleep: fn(Duration),
    chosen: bool,
    look: fn(&mut C) -> anyhow::Result<Facts>,
    plan: fn(&mut C, &Facts) -> anyhow::Result<Planned<P>>,
) -> anyhow::Result<Settled<P>> {
    let mut facts = look(context)?;
    let mut planned = plan(context, &facts)?;
    let (mut waited, mut quiet, mut told) = (Duration::ZERO, Duration::ZERO, false);
    while waited < DISK_PATIENCE {
        match &planned {
            Planned::Refused(findings) => match missing_disk(findings) {
                Some(missing) if !told => {
                    let seconds = DISK_PATIENCE.as_secs();
                    watch.log(&format!("waiting up to {seconds} s for disks: {}", missing.message));
                    told = true;
                }
                Some(_) => {}
                None => break,
            },
            Planned::Ready(_) if chosen && quiet < QUIET => {}
            Planned::Ready(_) | Planned::Done => break,
        }
        sleep(LOOK_EVERY);
        waited += LOOK_EVERY;
        let before = paths(&facts);
        facts = look(context)?;
        quiet = if paths(&facts) == before { quiet + LOOK_EVERY } else { Duration::ZERO };
        planned = plan(context, &facts)?;
    }
    Ok(Settled { facts, planned, waited: !waited.is_zero() })
}

fn paths(facts: &Facts) -> Vec<String> {
    facts.disks.iter().map(|disk| disk.path.clone()).collect()
}

/// Whether the document leaves it to the machine which of its disks one is.
pub fn chooses(storage: &Storage) -> bool {
    storage.disks.iter().any(|disk| !disk.select.identifies())
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
