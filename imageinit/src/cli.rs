//! The command line of the program: as PID 1 none at all, else a subcommand.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use host::output::Output;
use nii::digest::Digest;

/// What `help` prints.
pub const USAGE: &str = "\
imageinit COMMAND

  --list                                                    the steps
  plan --nii FILE --facts FILE --manifest FILE [--output json]
                                                            what is lost, kept and made, and every op with its reason;
                                                            nothing is touched
  facts                                                     what is known about this machine, as JSON
  unpack --url BASE --digest D --key PUBKEY --target DIR    unpack an image, and say how fast
  run                                                       the worker; PID 1 starts it

As PID 1 it takes its words from the kernel command line: see docs/imageinit.md.
";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Be PID 1.
    Init,
    /// Be the worker.
    Run,
    /// Show the steps.
    List,
    /// Show a plan.
    Plan(PlanInputs, Output),
    /// Show the facts.
    Facts,
    /// Unpack an image.
    Unpack(UnpackInputs),
    /// Show the usage.
    Help,
}

/// Files that a plan is made from.
#[derive(Debug, PartialEq, Eq)]
pub struct PlanInputs {
    /// An NII, as `headnode` renders it.
    pub nii: PathBuf,
    /// Facts, as `imageinit facts` prints them.
    pub facts: PathBuf,
    /// The image's `manifest.json`.
    pub manifest: PathBuf,
}

/// An image and where it goes.
#[derive(Debug, PartialEq, Eq)]
pub struct UnpackInputs {
    /// Base URL; the image's files are below it, in a directory named by the digest.
    pub url: String,
    /// Digest of the manifest.
    pub digest: Digest,
    /// The image key: its base64 line.
    pub key: String,
    /// An empty directory.
    pub target: PathBuf,
}

/// Reads the arguments.
///
/// # Errors
/// What is missing or not known.
pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Command> {
    if std::process::id() == 1 {
        return Ok(Command::Init);
    }
    let Some(command) = args.next() else { bail!("what is to be done?\n\n{USAGE}") };
    let mut flags = flags(args)?;
    let mut flag = |name: &str| flags.remove(name).with_context(|| format!("{command} needs {name}"));
    let command = match command.as_str() {
        "run" => Command::Run,
        "--list" => Command::List,
        "facts" => Command::Facts,
        "help" | "--help" | "-h" => Command::Help,
        "plan" => {
            let (nii, facts) = (flag("--nii")?.into(), flag("--facts")?.into());
            let manifest = flag("--manifest")?.into();
            Command::Plan(
                PlanInputs { nii, facts, manifest },
                Output::read(flags.remove("--output").as_deref())?,
            )
        }
        "unpack" => Command::Unpack(UnpackInputs {
            url: flag("--url")?,
            digest: flag("--digest")?.parse().context("reading --digest")?,
            key: flag("--key")?,
            target: flag("--target")?.into(),
        }),
        other => bail!("there is no command {other}\n\n{USAGE}"),
    };
    match flags.keys().next() {
        None => Ok(command),
        Some(unknown) => bail!("{unknown} is not known here\n\n{USAGE}"),
    }
}

/// All further arguments come in pairs.
fn flags(mut args: impl Iterator<Item = String>) -> Result<BTreeMap<String, String>> {
    let mut flags = BTreeMap::new();
    while let Some(name) = args.next() {
        let value = args.next().with_context(|| format!("{name} has no value"))?;
        flags.insert(name, value);
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Command> {
        parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_are_checked() {
        let files = PlanInputs { nii: "n".into(), facts: "f".into(), manifest: "m".into() };
        assert_eq!(words("plan --facts f --nii n --manifest m").unwrap(), Command::Plan(files, Output::Text));
        let json = words("plan --facts f --nii n --manifest m --output json").unwrap();
        assert!(matches!(json, Command::Plan(_, Output::Json)));
        assert!(words("plan --facts f --nii n --manifest m --output xml").is_err());
        assert_eq!(words("plan --nii n --facts f").unwrap_err().to_string(), "plan needs --manifest");
        assert!(words("facts --nii n").unwrap_err().to_string().starts_with("--nii is not known here"));
        assert!(words("install").is_err());
    }
}
