//! The subcommands that install nothing: what would be done, and what is known.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use host::Watch;
use host::output::{Output, json, lines, print, refusal};
use host::runner;
use nii::{Finding, Nii, Strictness};
use plan::{Facts, kickstart, package, summary};
use uuid::Uuid;

use crate::cli::{PlanInputs, USAGE};
use crate::steps::{ANACONDA, FINISH, PREPARE};

/// `help`.
pub fn help() -> Result<()> {
    print(USAGE)
}

/// `--list`.
pub fn list() -> Result<()> {
    print(&all_steps())
}

/// Both tables, and what is between them.
pub fn all_steps() -> String {
    let (name, deadline) = ANACONDA;
    let between = format!("{name}: the distribution's own work ({} s)\n", deadline.as_secs());
    format!("prepare\n{}{between}finish\n{}", runner::list(PREPARE), runner::list(FINISH))
}

/// `plan`: what the steps would do on the disks and in the root. Arming and attempt are nil: a real plan has other GUIDs.
pub fn plan(inputs: &PlanInputs, output: Output) -> Result<()> {
    let (nii, facts, warnings) = read(inputs)?;
    let (arming, attempt) = (Uuid::nil(), Uuid::nil());
    let made = package::prepare(&package::Inputs { facts: &facts, nii: &nii, arming, attempt, head: None });
    let summary = summary(&facts, &nii.storage, arming);
    let made = made.map_err(|findings| refusal(output, &summary, &findings))?;
    let after = package::after(&facts, &made);
    let finish = package::finish(&package::Inputs { facts: &after, nii: &nii, arming, attempt, head: None });
    let finish = finish.map_err(|findings| refusal(output, &summary, &findings))?;
    print(&match output {
        Output::Text => {
            format!("{}{summary}\n{}{}", lines(&warnings), plan::render(&made), plan::render(&finish))
        }
        Output::Json => json(&serde_json::json!({
            "summary": summary,
            "findings": warnings,
            "prepare": made,
            "finish": finish,
        }))?,
    })
}

/// `kickstart`: the text; what is worth a look goes to standard error.
pub fn kickstart(inputs: &PlanInputs, template: Option<&Path>) -> Result<()> {
    let (nii, facts, warnings) = read(inputs)?;
    let template =
        template.map(|path| fs::read_to_string(path).with_context(|| format!("reading {}", path.display())));
    let inputs = kickstart::Inputs { facts: &facts, nii: &nii, arming: Uuid::nil() };
    match kickstart::render(&inputs, template.transpose()?.as_deref()) {
        Ok(rendered) => {
            eprint!("{}{}", lines(&warnings), lines(&rendered.warnings));
            print(&rendered.text)
        }
        Err(findings) => bail!("no kickstart:\n{}", lines(&findings)),
    }
}

/// `facts`.
pub fn facts() -> Result<()> {
    let facts = host::linux::facts::read(Path::new("/sys"), Path::new("/proc"), &mut Words)?;
    print(&json(&facts)?)
}

fn read(inputs: &PlanInputs) -> Result<(Nii, Facts, Vec<Finding>)> {
    let bytes = |path: &Path| fs::read(path).with_context(|| format!("reading {}", path.display()));
    let (nii, warnings) = nii::read(&bytes(&inputs.nii)?, Strictness::Lenient)
        .with_context(|| format!("reading {}", inputs.nii.display()))?;
    let facts = serde_json::from_slice(&bytes(&inputs.facts)?)
        .with_context(|| format!("reading {}", inputs.facts.display()))?;
    Ok((nii, facts, warnings))
}

/// Remarks go to standard error: standard output is for programs.
struct Words;

impl Watch for Words {
    fn progress(&mut self, _: u64, _: u64) {}
    fn log(&mut self, line: &str) {
        eprintln!("installer: {line}");
    }
}
