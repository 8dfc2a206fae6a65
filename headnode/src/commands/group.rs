//! `headnode group …`

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::change::Change;
use super::{Context, check_name, effective, warn};
use crate::cli::{Assignment, Group as Command, Output};
use crate::clock;
use crate::document::{self, Source};
use crate::input;
use crate::output::{self, List, or_dash};
use crate::plugins::Verb;
use crate::recipe::{Catalog, Recipe};
use crate::state::State;
use crate::store::nodes::Node;

pub(super) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Add { name, file } => add(context, &name, &file).await,
        Command::Set { name, file, keys } => set(context, &name, file.as_deref(), &keys).await,
        Command::Unset { name, keys } => {
            let mut text = context.store.group(&name).await?.document;
            for key in &keys {
                text = document::unset(&text, key)?;
            }
            replace(context, &name, &format!("group {name}"), text).await
        }
        Command::Edit { name } => edit(context, &name).await,
        Command::List => list(context).await,
        Command::Show { name, effective: true, .. } => {
            let catalog = Catalog::load(&context.store).await?;
            let group = catalog.group(&name)?;
            // Its nodes' networks may be several; the first is as good as any to show.
            let network = catalog.networks.values().next();
            let defaults = |os: &str| catalog.defaults(os, network?);
            let values = document::effective(&group.document, "", defaults)?;
            effective::print(context, &values, &group.name, &[])
        }
        Command::Show { name, secrets, .. } => show(context, &name, secrets).await,
        Command::Rm { name } => {
            context.store.group(&name).await?;
            context.confirm(&format!("the group {name} goes\n"), "Remove it?")?;
            context.store.remove_group(&name).await
        }
    }
}

async fn add(context: &Context, name: &str, file: &Path) -> Result<()> {
    check_name("group", name)?;
    ensure!(name != "all", "`all` is no name for a group: `@all` means every node");
    let text = input::text(file)?;
    let catalog = Catalog::load(&context.store).await?;
    check(&catalog, name, Source { name: &file.display().to_string(), text: &text })?;
    context.store.add_group(name, &text).await
}

async fn set(context: &Context, name: &str, file: Option<&Path>, keys: &[Assignment]) -> Result<()> {
    let mut text = context.store.group(name).await?.document;
    let mut from = format!("group {name}");
    if let Some(file) = file {
        (text, from) = (input::text(file)?, file.display().to_string());
    }
    for Assignment { key, value } in keys {
        text = document::set(&text, key, value)?;
    }
    replace(context, name, &from, text).await
}

async fn edit(context: &Context, name: &str) -> Result<()> {
    let old = context.store.group(name).await?.document;
    let (catalog, nodes) = (Catalog::load(&context.store).await?, context.store.nodes().await?);
    let text = context.edit(&old, |text| {
        let source = Source { name: &format!("group {name}"), text };
        check(&catalog, name, source)?;
        check_nodes(&catalog, &nodes, name, text)
    })?;
    let change = Change { name: format!("group {name}"), old, new: text };
    if context.agree(std::slice::from_ref(&change))? {
        context.store.set_group(name, &change.new).await?;
        tell(context, name).await?;
    }
    Ok(())
}

/// Gives a group another document, from where `from` says, if all its nodes can live with it.
pub(super) async fn replace(context: &Context, name: &str, from: &str, text: String) -> Result<()> {
    let old = context.store.group(name).await?.document;
    let catalog = Catalog::load(&context.store).await?;
    check(&catalog, name, Source { name: from, text: &text })?;
    check_nodes(&catalog, &context.store.nodes().await?, name, &text)?;
    let change = Change { name: format!("group {name}"), old, new: text };
    if context.agree(std::slice::from_ref(&change))? {
        context.store.set_group(name, &change.new).await?;
        tell(context, name).await?;
    }
    Ok(())
}

/// Tells plugins of a group's nodes: attributes and boots may be others now.
async fn tell(context: &Context, group: &str) -> Result<()> {
    let mut nodes = context.store.nodes().await?;
    nodes.retain(|node| node.group == group);
    context.tell(Verb::Updated, &nodes).await
}

fn check_nodes(catalog: &Catalog, nodes: &[Node], group: &str, text: &str) -> Result<()> {
    for node in nodes.iter().filter(|node| node.group == group) {
        let about = format!("node {} with the new document of its group", node.name);
        let merged = document::merge(text, &node.overrides)?;
        Recipe::build(catalog, node.clone(), Source { name: &about, text: &merged })?;
    }
    Ok(())
}

/// A document is checked by what it would make of a node. Addresses are a node's own: one is lent to it.
pub(super) fn check(catalog: &Catalog, group: &str, source: Source<'_>) -> Result<()> {
    source.read()?;
    let network = catalog.networks.values().next();
    let network = network.context("there is no network yet: add one with `headnode network add` first")?;
    let sample = Node {
        id: 0,
        name: "sample".into(),
        group: group.into(),
        network: network.name.clone(),
        mac: "02:00:00:00:00:01".parse()?,
        address: Some(network.subnet.first_host()),
        uid: None,
        machine: None,
        overrides: String::new(),
        state: State::Unknown,
        since: 0,
        seen_at: None,
    };
    warn(&Recipe::build(catalog, sample, source)?);
    Ok(())
}

async fn list(context: &Context) -> Result<()> {
    let nodes = context.store.nodes().await?;
    let mut list = List::new(&["name", "install", "image", "os", "netboot", "nodes", "changed"]);
    for group in context.store.groups().await? {
        let document = Source { name: &group.name, text: &group.document }.read()?;
        let kind = serde_json::to_value(document.install.kind)?;
        let image = document.image.map(|image| image.name);
        let (os, netboot) = (document.os.clone(), document.netboot.or(document.os));
        let members = nodes.iter().filter(|node| node.group == group.name).count();
        let changed = clock::text(group.changed_at);
        let json = json!({
            "name": group.name, "install": kind, "image": image, "os": os, "netboot": netboot, "nodes": members,
            "changed_at": changed,
        });
        let kind = kind.as_str().unwrap_or_default().to_owned();
        let names = [image, os, netboot].map(or_dash);
        let row = [vec![group.name, kind], names.into(), vec![members.to_string(), changed]].concat();
        list.push(row, json);
    }
    list.print(context.output)
}

async fn show(context: &Context, name: &str, secrets: bool) -> Result<()> {
    let group = context.store.group(name).await?;
    let text = if secrets { group.document } else { document::hide_secrets(&group.document)? };
    match context.output {
        Output::Table => output::text(&text),
        Output::Json | Output::Yaml => {
            let document: Value = toml_edit::de::from_str(&text)?;
            output::data(
                context.output,
                &json!({"name": name, "changed_at": clock::text(group.changed_at), "document": document}),
            )
        }
    }
}
