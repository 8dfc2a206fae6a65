//! `headnode logs`

use std::collections::HashMap;
use std::fs;

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use uuid::Uuid;

use super::Context;
use crate::cli::Output;
use crate::clock;
use crate::logs::{self, Log};
use crate::output::{self, List};
use crate::store::attempts::Attempt;

pub(super) async fn run(
    context: &Context,
    node: &str,
    name: Option<&str>,
    attempt: Option<&str>,
) -> Result<()> {
    let node = context.node(node).await?;
    // The last first.
    let mut attempts = context.store.attempts(node.id).await?;
    if let Some(wanted) = attempt {
        attempts.retain(|attempt| attempt.id.to_string() == wanted || attempt.number.to_string() == wanted);
        attempts.truncate(1);
        if attempts.is_empty() {
            bail!("{} has no attempt {wanted}: see `headnode logs {}`", node.name, node.name);
        }
    }
    let mut logs: HashMap<Uuid, Vec<Log>> = HashMap::new();
    for log in logs::list(&context.dir, &node.name)? {
        logs.entry(log.attempt).or_default().push(log);
    }
    let of_attempts =
        attempts.into_iter().map(|attempt| (logs.remove(&attempt.id).unwrap_or_default(), attempt));
    let of_attempts: Vec<(Attempt, Vec<Log>)> = of_attempts.map(|(logs, attempt)| (attempt, logs)).collect();
    match name {
        Some(name) => print(context, &node.name, name, &of_attempts),
        None => list(context, of_attempts),
    }
}

/// The last attempt at the end, where the eye is.
fn list(context: &Context, of_attempts: Vec<(Attempt, Vec<Log>)>) -> Result<()> {
    let mut list = List::new(&["attempt", "log", "bytes", "at"]);
    for (attempt, logs) in of_attempts.into_iter().rev() {
        for log in logs {
            let at = clock::text(clock::ms(log.at));
            let json = json!({
                "arming": attempt.arming, "attempt": attempt.id, "number": attempt.number, "name": log.name,
                "size": log.size, "at": at,
            });
            list.push(vec![attempt.number.to_string(), log.name, log.size.to_string(), at], json);
        }
    }
    list.print(context.output)
}

/// That of the last attempt that has it.
fn print(context: &Context, node: &str, name: &str, of_attempts: &[(Attempt, Vec<Log>)]) -> Result<()> {
    let log = of_attempts.iter().flat_map(|(_, logs)| logs).find(|log| log.name == name);
    let log = log.with_context(|| format!("{node} has sent no log `{name}`: see `headnode logs {node}`"))?;
    let bytes = fs::read(&log.path).with_context(|| format!("reading {}", log.path.display()))?;
    match context.output {
        Output::Table => output::bytes(&bytes),
        Output::Json | Output::Yaml => output::data(
            context.output,
            &json!({
                "attempt": log.attempt, "name": log.name, "size": log.size, "at": clock::text(clock::ms(log.at)),
                "text": String::from_utf8_lossy(&bytes),
            }),
        ),
    }
}
