//! `headnode group …`

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Context, check_name, warn};
use crate::cli::{Assignment, Group as Command, Output};
use crate::clock;
use crate::document::{self, Source};
use crate::output::{self, List, or_dash};
use crate::recipe::Recipe;
use crate::state::State;
use crate::store::nodes::Node;

pub(super) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Add { name, file } => add(context, &name, &file).await,
        Command::Set { name, file, keys } => set(context, &name, file.as_deref(), &keys).await,
        Command::List => list(context).await,
        Command::Show { name, secrets } => show(context, &name, secrets).await,
        Command::Rm { name } => context.store.remove_group(&name).await,
    }
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}

async fn add(context: &Context, name: &str, file: &Path) -> Result<()> {
    check_name("group", name)?;
    let text = read(file)?;
    check(context, name, Source { name: &file.display().to_string(), text: &text }).await?;
    context.store.add_group(name, &text).await
}

async fn set(context: &Context, name: &str, file: Option<&Path>, keys: &[Assignment]) -> Result<()> {
    let old = context.store.group(name).await?;
    let (mut text, mut from) = (old.document, format!("group {name}"));
    if let Some(file) = file {
        (text, from) = (read(file)?, file.display().to_string());
    }
    for Assignment { key, value } in keys {
        text = document::set(&text, key, value)?;
    }
    check(context, name, Source { name: &from, text: &text }).await?;
    for node in context.store.nodes().await?.into_iter().filter(|node| node.group == name) {
        let about = format!("node {} with the new document of its group", node.name);
        let merged = document::merge(&text, &node.overrides)?;
        Recipe::build(&context.store, node, Source { name: &about, text: &merged }).await?;
    }
    context.store.set_group(name, &text).await
}

/// A document is checked by what it would make of a node. Addresses are a node's own: one is lent to it.
async fn check(context: &Context, group: &str, source: Source<'_>) -> Result<()> {
    source.read()?;
    let networks = context.store.networks().await?;
    let network =
        networks.first().context("there is no network yet: add one with `headnode network add` first")?;
    let sample = Node {
        id: 0,
        name: "sample".into(),
        group: group.into(),
        network: network.name.clone(),
        mac: "02:00:00:00:00:01".parse()?,
        address: Some(network.address),
        uid: None,
        overrides: String::new(),
        state: State::Unknown,
        since: 0,
        seen_at: None,
    };
    warn(&Recipe::build(&context.store, sample, source).await?);
    Ok(())
}

async fn list(context: &Context) -> Result<()> {
    let nodes = context.store.nodes().await?;
    let mut list = List::new(&["name", "install", "image", "netboot", "nodes", "changed"]);
    for group in context.store.groups().await? {
        let document = Source { name: &group.name, text: &group.document }.read()?;
        let kind = serde_json::to_value(document.install.kind)?;
        let image = document.image.map(|image| image.name);
        let members = nodes.iter().filter(|node| node.group == group.name).count();
        let changed = clock::text(group.changed_at);
        let json = json!({
            "name": group.name, "install": kind, "image": image, "netboot": document.netboot, "nodes": members,
            "changed_at": changed,
        });
        let kind = kind.as_str().unwrap_or_default().to_owned();
        let row =
            vec![group.name, kind, or_dash(image), or_dash(document.netboot), members.to_string(), changed];
        list.push(row, json);
    }
    list.print(context.output)
}

async fn show(context: &Context, name: &str, secrets: bool) -> Result<()> {
    let group = context.store.group(name).await?;
    let text = if secrets { group.document } else { document::hide_secrets(&group.document)? };
    match context.output {
        Output::Table => output::text(&text),
        Output::Json => {
            let document: Value = toml_edit::de::from_str(&text)?;
            output::json(
                &json!({"name": name, "changed_at": clock::text(group.changed_at), "document": document}),
            )
        }
    }
}
