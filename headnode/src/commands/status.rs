//! `headnode status` and `headnode events`

use std::collections::HashMap;

use anyhow::Result;
use serde_json::{Value, json};

use super::Context;
use crate::cli::Output;
use crate::clock;
use crate::document::{self, Source};
use crate::log;
use crate::names;
use crate::output::{List, or_dash};
use crate::report::Report;
use crate::state::State;
use crate::store::Store;
use crate::store::attempts::Progress;
use crate::store::events::Line;
use crate::store::nodes::{Node, Stranger};

pub(super) async fn status(context: &Context, names: &[String]) -> Result<()> {
    let nodes = context.nodes(names).await?;
    let mut list = of_nodes(&context.store, &nodes, context.output).await?;
    if names.is_empty() {
        add_strangers(&context.store, &mut list).await?;
    }
    list.print(context.output)
}

/// How far each node is, and who asked and is none, as columns.
///
/// # Errors
/// When the store cannot be read.
pub async fn of_all(store: &Store) -> Result<List> {
    let mut list = of_nodes(store, &store.nodes().await?, Output::Table).await?;
    add_strangers(store, &mut list).await?;
    Ok(list)
}

async fn add_strangers(store: &Store, list: &mut List) -> Result<()> {
    for stranger in store.strangers().await? {
        let (row, json) = stranger_row(&stranger);
        list.push(row, json);
    }
    Ok(())
}

async fn of_nodes(store: &Store, nodes: &[Node], output: Output) -> Result<List> {
    let groups: HashMap<String, (String, Option<u32>)> = store
        .groups()
        .await?
        .into_iter()
        .map(|group| (group.name, (group.document.clone(), cap(&group.document))))
        .collect();
    // Thousands of documents take seconds to merge, and few nodes have attempts of their own.
    let cap = |node: &Node| match groups.get(&node.group)? {
        (_, cap) if !node.overrides.contains("attempts") => *cap,
        (text, _) => document::merge(text, &node.overrides).ok().and_then(|text| cap(&text)),
    };
    let progress = store.progress().await?;
    let progress: HashMap<&str, &Progress> =
        progress.iter().map(|progress| (progress.node.as_str(), progress)).collect();
    let (locks, nothing) = (store.locks().await?, Report::default());
    let mut list = List::new(&["node", "group", "address", "state", "step", "progress", "since", "error"]);
    for node in nodes {
        let progress = progress.get(node.name.as_str()).copied();
        let report = progress.map_or(&nothing, |progress| &progress.report);
        let lost = node.state == State::Installing && report.is_lost(clock::now_ms());
        let now = Now { node, progress, report, lost, locked: locks.get(&node.id) };
        list.push_for(output, || now.row(), || now.json(cap(node)));
    }
    Ok(list)
}

/// How many attempts a document gives; `None` if it cannot be read, which is no reason to show nothing.
fn cap(text: &str) -> Option<u32> {
    Some(Source { name: "", text }.read().ok()?.attempts)
}

fn stranger_row(stranger: &Stranger) -> (Vec<String>, Value) {
    let (state, since) = (State::Discovered.name(), clock::text(stranger.first_seen));
    let json = json!({
        "node": null, "group": null, "mac": stranger.mac.as_str(), "address": stranger.address, "state": state,
        "since": since, "lost": false, "arming": null, "attempt": null, "tries": 0, "attempts": null,
        "step": null, "progress": null, "error": null, "locked": null, "seen": clock::text(stranger.last_seen),
    });
    let dash = || "-".to_owned();
    let mac = format!("({})", stranger.mac);
    (vec![mac, dash(), stranger.address.clone(), state.into(), dash(), dash(), since, dash()], json)
}

/// How far a node is.
struct Now<'a> {
    node: &'a Node,
    progress: Option<&'a Progress>,
    report: &'a Report,
    lost: bool,
    locked: Option<&'a String>,
}

impl Now<'_> {
    fn json(&self, cap: Option<u32>) -> Value {
        let Self { node, progress, report, lost, locked } = self;
        json!({
            "node": node.name, "group": node.group, "mac": node.mac.as_str(), "address": node.address,
            "state": node.state.name(), "since": clock::text(node.since), "lost": lost,
            "arming": progress.map(|progress| progress.arming), "attempt": progress.map(|progress| progress.attempt),
            "tries": progress.map_or(0, |progress| progress.tries), "attempts": cap, "step": report.step,
            "progress": report.progress, "error": report.error, "locked": locked, "seen": node.seen_at.map(clock::text),
        })
    }

    fn row(&self) -> Vec<String> {
        let Self { node, report, lost, locked, .. } = self;
        let step = report.step.as_ref().map(|step| format!("{}/{} {}", step.number, step.of, step.name));
        let mut state = match (&report.step, lost) {
            (Some(step), true) => format!("lost at step {} ({})", step.number, step.name),
            (None, true) => "lost before the first step".to_owned(),
            _ => node.state.to_string(),
        };
        if locked.is_some() {
            state.push_str(" (locked)");
        }
        let progress = report.progress.filter(|progress| progress.total > 0);
        let progress =
            progress.map(|progress| format!("{} %", progress.done.saturating_mul(100) / progress.total));
        let (name, group, since) = (node.name.clone(), node.group.clone(), clock::text(node.since));
        let (address, error) = (or_dash(node.address), or_dash(report.error.as_ref()));
        vec![name, group, address, state, or_dash(step), or_dash(progress), since, error]
    }
}

pub(super) async fn events(context: &Context, words: &[String], limit: u32) -> Result<()> {
    // The audit log outlives nodes: a plain name need not be one's any more.
    let names = match words {
        [] => None,
        [name] if names::is_name(name) => Some(vec![name.clone()]),
        words => Some(context.nodes(words).await?.into_iter().map(|node| node.name).collect()),
    };
    let mut list = List::new(&["at", "node", "kind", "what"]);
    for line in context.store.history(names.as_deref(), limit).await? {
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
        "alive" => format!("{} goes on", text("step")),
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
        "host-keys" => format!("{} SSH host keys", body["keys"].as_array().map_or(0, Vec::len)),
        "plugin" => called(body),
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

/// What came of a plugin's call: why it failed, and the last of what it said.
fn called(body: &Value) -> String {
    let text = |key: &str| body[key].as_str().unwrap_or_default();
    let nodes = match body["nodes"].as_array().map(Vec::as_slice) {
        Some([Value::String(only)]) => only.clone(),
        nodes => format!("{} nodes", nodes.map_or(0, <[Value]>::len)),
    };
    let how = body["failure"].as_str().unwrap_or("well");
    let said = text("output").trim_end().rsplit('\n').next().unwrap_or_default();
    let said = if said.is_empty() { String::new() } else { format!(" ({said})") };
    log::printable(&format!("{} {} {nodes}: {how}{said}", text("plugin"), text("verb")))
}
