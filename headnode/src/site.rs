//! Commands of the site for one node: is it in use, what is its power. A command is a list of words, run as it stands:
//! no shell reads it. `{node}`, `{mac}`, `{address}`, `{group}`, `{action}` and `{ATTRIBUTE}` in a word are filled in.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;

use crate::recipe::Recipe;

/// What of a command's output is kept: the end.
const OUTPUT_MAX: u64 = 4096;

/// What the power command is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Power {
    /// Switch on.
    On,
    /// Switch off.
    Off,
    /// Off and on again.
    Cycle,
    /// Say whether it is on.
    Status,
}

impl Power {
    /// What `{action}` becomes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Cycle => "cycle",
            Self::Status => "status",
        }
    }
}

/// Runs the power command of a node's group; what it said.
///
/// # Errors
/// When there is none, or it fails.
pub async fn power(recipe: &Recipe, action: Power) -> Result<String> {
    let command = &recipe.document.commands.power;
    ensure!(
        !command.is_empty(),
        "{}: its group {} says no command for its power: commands.power=[\"PROGRAM\", \"{{node}}\", \"{{action}}\"]",
        recipe.node.name,
        recipe.node.group
    );
    run(recipe, command, action.name()).await
}

/// Asks the site whether a node may be installed anew. Without a command of its group it may.
///
/// # Errors
/// When it may not: with what the command said.
pub async fn ask_before_install(recipe: &Recipe) -> Result<()> {
    let command = &recipe.document.commands.before_reinstall;
    if command.is_empty() || !recipe.node.state.may_be_in_use() {
        return Ok(());
    }
    let answer = run(recipe, command, "reinstall").await;
    answer.map(drop).with_context(|| format!("{}: commands.before_reinstall refuses", recipe.node.name))
}

async fn run(recipe: &Recipe, template: &[String], action: &str) -> Result<String> {
    let values = values(recipe, action);
    let words = template.iter().map(|word| fill(word, &values));
    let words = words.collect::<Result<Vec<String>>>().with_context(|| recipe.node.name.clone())?;
    let [program, arguments @ ..] = words.as_slice() else { bail!("the command is empty") };
    let mut output = tempfile::tempfile().context("making a temporary file")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        // A file, not a pipe: nobody has to wait for what a command leaves behind.
        .stdout(output.try_clone().context("sharing a temporary file")?)
        .stderr(output.try_clone().context("sharing a temporary file")?)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let deadline = recipe.document.commands.timeout_s;
    let status = tokio::time::timeout(Duration::from_secs(deadline.into()), child.wait()).await;
    if status.is_err()
        && let Some(group) = group
    {
        // It is not reaped: nobody else has its id.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let said = tail(&mut output).context("reading a temporary file")?;
    match status {
        Ok(Ok(status)) if status.success() => Ok(said),
        Ok(Ok(status)) => bail!("{program} ended with {status}: {said}"),
        Ok(Err(error)) => Err(error).with_context(|| format!("waiting for {program}")),
        Err(_) => bail!("{program} took longer than {deadline} s: {said}"),
    }
}

fn tail(output: &mut std::fs::File) -> std::io::Result<String> {
    let len = output.seek(SeekFrom::End(0))?;
    output.seek(SeekFrom::Start(len.saturating_sub(OUTPUT_MAX)))?;
    let mut bytes = Vec::new();
    output.take(OUTPUT_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

fn values(recipe: &Recipe, action: &str) -> BTreeMap<String, String> {
    let node = &recipe.node;
    let mut values = recipe.document.attributes.clone();
    values.insert("node".into(), node.name.clone());
    values.insert("group".into(), node.group.clone());
    values.insert("mac".into(), node.mac.to_string());
    values.insert("address".into(), node.address.map_or_else(String::new, |address| address.to_string()));
    values.insert("action".into(), action.into());
    values
}

fn fill(word: &str, values: &BTreeMap<String, String>) -> Result<String> {
    let (mut out, mut rest) = (String::new(), word);
    while let Some((before, from)) = rest.split_once('{') {
        let (name, after) =
            from.split_once('}').with_context(|| format!("`{word}` has a `{{` and no `}}`"))?;
        let value = values.get(name).with_context(|| {
            format!("`{word}` wants the attribute `{name}`, which it has not: headnode attribute set")
        })?;
        out.push_str(before);
        out.push_str(value);
        rest = after;
    }
    Ok(out + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_filled_once_and_never_split() {
        let values = [("node", "n1"), ("bmc", "10.0.0.1; rm {node}")];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(fill("-H{bmc}/{node}", &values).unwrap(), "-H10.0.0.1; rm {node}/n1");
        assert_eq!(fill("plain", &values).unwrap(), "plain");
        assert!(fill("{mac}", &values).unwrap_err().to_string().contains("the attribute `mac`"));
        assert!(fill("{node", &values).is_err());
    }
}
