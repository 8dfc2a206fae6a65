//! How the programs' subcommands show what they know.

use std::io::Write as _;

use anyhow::{Context as _, Error, Result, anyhow, bail};
use nii::Finding;
use plan::Summary;
use serde::Serialize;
use serde_json::json;

/// For whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// People.
    Text,
    /// Programs.
    Json,
}

impl Output {
    /// Reads the value of `--output`; without one it is for people.
    ///
    /// # Errors
    /// When it is another word.
    pub fn read(word: Option<&str>) -> Result<Self> {
        match word {
            None | Some("text") => Ok(Self::Text),
            Some("json") => Ok(Self::Json),
            Some(other) => bail!("--output is text or json, not {other}"),
        }
    }
}

/// Writes to standard output.
///
/// # Errors
/// When it takes no more.
pub fn print(text: &str) -> Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("writing to standard output")
}

/// As a program reads it.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn json(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// As a person reads them, a line each.
pub fn lines(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

/// Tells what a plan is refused for; a program reads on standard output what the disks were found to be, too.
pub fn refusal(output: Output, summary: &Summary, findings: &[Finding]) -> Error {
    let told = match output {
        Output::Text => return anyhow!("no plan:\n{}", lines(findings)),
        Output::Json => {
            json(&json!({"summary": summary, "findings": findings})).and_then(|text| print(&text))
        }
    };
    told.err().unwrap_or_else(|| anyhow!("no plan: see `findings`"))
}
