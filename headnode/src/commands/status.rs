//! `headnode status` and `headnode events`

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::Context;
use crate::clock;
use crate::log;
use crate::output::{List, or_dash};
use crate::recipe::Recipe;
use crate::report::Report;
use crate::state::State;
use crate::store::events::Line;
use crate::store::nodes::Node;

pub(super) async fn status(context: &Context, names: &[String]) -> Result<()> {
    let nodes = context.store.nodes().await?;
    for name in names {
        ensure!(
            nodes.iter().any(|node| node.name == *name),
            "there is no node `{name}`: see `headnode node list`"
        );
    }
    let mut list = List::new(&["node", "group", "address", "state", "step", "progress", "since", "error"]);
    for node in nodes {
        if names.is_empty() || names.contains(&node.name) {
            let (row, json) = node_row(context, node).await?;
            list.push(row, json);
        }
    }
    if names.is_empty() {
        for stranger in context.store.strangers().await? {
            let (state, since) = (State::Discovered.name(), clock::text(stranger.first_seen));
            let json = json!({
                "node": null, "group": null, "mac": stranger.mac.as_str(), "address": stranger.address, "state": state,
                "since": since, "lost": false, "arming": null, "attempt": null, "tries": 0, "attempts": null,
                "step": null, "progress": null, "error": null, "seen": clock::text(stranger.last_seen),
            });
            let dash = || "-".to_owned();
            let mac = format!("({})", stranger.mac);
            list.push(vec![mac, dash(), stranger.address, state.into(), dash(), dash(), since, dash()], json);
        }
    }
    list.print(context.output)
}

async fn node_row(context: &Context, node: Node) -> Result<(Vec<String>, Value)> {
    let arming = context.store.arming(node.id).await?;
    let attempt = context.store.last_attempt(node.id).await?;
    let recipe = Recipe::of(&context.store, node.clone()).await?;
    let (id, report) =
        attempt.map_or((None, Report::default()), |attempt| (Some(attempt.id), attempt.report));
    let lost = node.state == State::Installing && report.is_lost(clock::now_ms());
    let since = clock::text(node.since);
    let json = json!({
        "node": node.name, "group": node.group, "mac": node.mac.as_str(), "address": node.address,
        "state": node.state.name(), "since": since, "lost": lost,
        "arming": arming.map(|(id, _)| id), "attempt": id, "tries": arming.map_or(0, |(_, tries)| tries),
        "attempts": recipe.document.attempts, "step": report.step, "progress": report.progress, "error": report.error,
        "seen": node.seen_at.map(clock::text),
    });
    let step = report.step.as_ref().map(|step| format!("{}/{} {}", step.number, step.of, step.name));
    let state = match (&report.step, lost) {
        (Some(step), true) => format!("lost at step {} ({})", step.number, step.name),
        (None, true) => "lost before the first step".to_owned(),
        _ => node.state.to_string(),
    };
    let progress = report.progress.filter(|progress| progress.total > 0);
    let progress =
        progress.map(|progress| format!("{} %", progress.done.saturating_mul(100) / progress.total));
    let row = vec![
        node.name,
        node.group,
        or_dash(node.address),
        state,
        or_dash(step),
        or_dash(progress),
        since,
        or_dash(report.error),
    ];
    Ok((row, json))
}

pub(super) async fn events(context: &Context, node: Option<&str>, limit: u32) -> Result<()> {
    let mut list = List::new(&["at", "node", "kind", "what"]);
    for line in context.store.history(node, limit).await? {
        let source = line.source.as_ref();
        let json = json!({
            "at": clock::text(line.at), "node": line.node, "kind": line.kind,
            "attempt": source.map(|source| &source.attempt), "boot_id": source.map(|source| &source.boot_id),
            "seq": source.map(|source| source.seq), "mono_ms": source.map(|source| source.mono_ms), "body": line.body,
        });
        let what = describe(&line);
        list.push(vec![clock::text(line.at), line.node, line.kind, what], json);
    }
    list.print(context.output)
}

/// One line for people.
fn describe(line: &Line) -> String {
    let body = &line.body;
    let text = |key: &str| match &body[key] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    match line.kind.as_str() {
        "step-started" => format!("{}/{} {}", text("number"), text("of"), text("step")),
        "step-finished" => format!("{} in {} ms", text("step"), text("ms")),
        "progress" => format!("{}: {} of {} bytes", text("step"), text("done"), text("total")),
        "failed" => {
            let causes = body["cause"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let op = body["op"].as_str().map(|op| format!(" at `{op}`")).unwrap_or_default();
            let hint = body["hint"].as_str().map(|hint| format!(" (try: {hint})")).unwrap_or_default();
            format!("{}{op}: {}{hint}", text("step"), causes.collect::<Vec<_>>().join(": "))
        }
        "installed" => format!("peak {} KiB, {} image bytes", text("peak_kib"), text("image_bytes")),
        "facts" => format!("{} bytes of facts", body["facts"].to_string().len()),
        "warning" => text("message"),
        "state" => format!(
            "{} -> {} ({}, by {}) {}",
            text("from"),
            text("to"),
            text("cause"),
            text("actor"),
            text("detail")
        ),
        _ => log::printable(&format!("{} (from {}) {}", text("cause"), text("actor"), text("detail"))),
    }
}
