//! The command line of the program.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use host::output::Output;

/// What `help` prints.
pub const USAGE: &str = "\
installer COMMAND

  prepare [--out FILE]                    in the initrd: everything up to the kickstart (default: /tmp/ks.cfg)
  finish --root DIR                       in %post --nochroot: everything after anaconda's own work
  report begin                            in %pre: the step anaconda begins, and a heartbeat
  report failed --script NAME             in %onerror and failed scripts: logs and report, then what the NII wants
  report failed --why SENTENCE            the same, for what has no name
  report failed --text SENTENCE           the report alone: whoever calls it holds
  kickstart --nii FILE --facts FILE [--template FILE]
                                          the kickstart that would be made
  plan --nii FILE --facts FILE [--output json]
                                          what is lost, kept and made, and every op with its reason; nothing is touched
  facts                                   what is known about this machine, as JSON
  --list                                  the steps
";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Everything up to the kickstart.
    Prepare {
        /// Where it goes.
        out: PathBuf,
    },
    /// Everything after anaconda's own work.
    Finish {
        /// The root that anaconda made.
        root: PathBuf,
    },
    /// Anaconda begins.
    ReportBegin,
    /// Anaconda failed.
    ReportFailed(Reason),
    /// Says once a minute that anaconda goes on; `report begin` starts it.
    Heartbeat,
    /// Show a kickstart.
    Kickstart {
        /// What it is made from.
        inputs: PlanInputs,
        /// The site's template.
        template: Option<PathBuf>,
    },
    /// Show a plan.
    Plan(PlanInputs, Output),
    /// Show the facts.
    Facts,
    /// Show the steps.
    List,
    /// Show the usage.
    Help,
}

/// Why anaconda failed.
#[derive(Debug, PartialEq, Eq)]
pub enum Reason {
    /// In this script or section of the kickstart; this program holds.
    Script(String),
    /// As this sentence says; this program holds.
    Why(String),
    /// As this sentence says; the caller holds.
    Text(String),
}

/// Files that a plan is made from.
#[derive(Debug, PartialEq, Eq)]
pub struct PlanInputs {
    /// An NII, as `headnode` renders it.
    pub nii: PathBuf,
    /// Facts, as `installer facts` prints them.
    pub facts: PathBuf,
}

/// Reads the arguments.
///
/// # Errors
/// What is missing or not known.
pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Command> {
    let Some(mut command) = args.next() else { bail!("what is to be done?\n\n{USAGE}") };
    if command == "report" {
        command = format!("report {}", args.next().unwrap_or_default());
    }
    let mut flags = flags(args)?;
    let parsed = with_flags(&command, &mut flags)?;
    match flags.keys().next() {
        None => Ok(parsed),
        Some(unknown) => bail!("{unknown} is not known here\n\n{USAGE}"),
    }
}

fn with_flags(command: &str, flags: &mut BTreeMap<String, String>) -> Result<Command> {
    let mut flag = |name: &str| flags.remove(name);
    let needed = |value: Option<String>, name: &str| value.with_context(|| format!("{command} needs {name}"));
    let mut inputs = || -> Result<PlanInputs> {
        let nii = needed(flag("--nii"), "--nii")?.into();
        Ok(PlanInputs { nii, facts: needed(flag("--facts"), "--facts")?.into() })
    };
    Ok(match command {
        "prepare" => Command::Prepare { out: flag("--out").unwrap_or("/tmp/ks.cfg".into()).into() },
        "finish" => Command::Finish { root: needed(flag("--root"), "--root")?.into() },
        "report begin" => Command::ReportBegin,
        "report failed" => Command::ReportFailed(match (flag("--text"), flag("--why")) {
            (Some(text), _) => Reason::Text(text),
            (None, Some(why)) => Reason::Why(why),
            (None, None) => Reason::Script(flag("--script").unwrap_or("anaconda".into())),
        }),
        "report heartbeat" => Command::Heartbeat,
        "kickstart" => {
            let inputs = inputs()?;
            Command::Kickstart { inputs, template: flag("--template").map(PathBuf::from) }
        }
        "plan" => {
            let inputs = inputs()?;
            Command::Plan(inputs, Output::read(flag("--output").as_deref())?)
        }
        "facts" => Command::Facts,
        "--list" => Command::List,
        "help" | "--help" | "-h" => Command::Help,
        other => bail!("there is no command {other}\n\n{USAGE}"),
    })
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
    fn what_the_kickstart_and_the_hooks_say() {
        assert_eq!(words("prepare").unwrap(), Command::Prepare { out: "/tmp/ks.cfg".into() });
        assert_eq!(
            words("finish --root /mnt/sysroot").unwrap(),
            Command::Finish { root: "/mnt/sysroot".into() }
        );
        assert_eq!(words("report begin").unwrap(), Command::ReportBegin);
        let script = |name: &str| Command::ReportFailed(Reason::Script(name.into()));
        assert_eq!(words("report failed --script onerror").unwrap(), script("onerror"));
        assert_eq!(words("report failed").unwrap(), script("anaconda"));
        let text = Command::ReportFailed(Reason::Text("why".into()));
        assert_eq!(words("report failed --text why").unwrap(), text);
        let why = Command::ReportFailed(Reason::Why("why".into()));
        assert_eq!(words("report failed --why why").unwrap(), why);
    }

    #[test]
    fn flags_are_checked() {
        assert_eq!(words("plan --nii n").unwrap_err().to_string(), "plan needs --facts");
        assert!(words("finish").is_err() && words("report").is_err() && words("").is_err());
        assert!(words("facts --nii n").unwrap_err().to_string().starts_with("--nii is not known here"));
    }
}
