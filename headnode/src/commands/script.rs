//! `headnode script …`

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::{Context, check_name, short};
use crate::cli::{Output, Script as Command};
use crate::clock;
use crate::document::{self, Document, Source};
use crate::output::{self, List};
use crate::scripts::keep;
use crate::store::package::Script;

pub(super) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Add { name, file } => add(context, &name, &file).await,
        Command::List => list(context).await,
        Command::Show { name } => show(context, &name).await,
        Command::Rm { name } => remove(context, &name).await,
    }
}

async fn add(context: &Context, name: &str, file: &Path) -> Result<()> {
    check_name("script", name)?;
    let script = keep(&context.dir, name, file)?;
    context.store.add_script(&script).await
}

async fn list(context: &Context) -> Result<()> {
    let mut list = List::new(&["name", "digest", "size", "added"]);
    for Script { name, digest, size, added_at } in context.store.scripts().await? {
        let added = clock::text(added_at);
        let json = json!({"name": name, "digest": digest, "size": size, "added_at": added});
        list.push(vec![name, short(&digest), size.to_string(), added], json);
    }
    list.print(context.output)
}

async fn show(context: &Context, name: &str) -> Result<()> {
    let found = context.store.scripts().await?.into_iter().find(|script| script.name == name);
    let script = found.with_context(|| format!("there is no script `{name}`: see `headnode script list`"))?;
    let path = context.dir.script(&script.digest);
    let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    match context.output {
        Output::Table => output::bytes(&bytes),
        Output::Json => output::json(&json!({
            "name": name, "digest": script.digest, "size": script.size, "added_at": clock::text(script.added_at),
            "text": String::from_utf8_lossy(&bytes),
        })),
    }
}

async fn remove(context: &Context, name: &str) -> Result<()> {
    if let Some(user) = user_of(context, name).await? {
        bail!("{user} uses the script {name}");
    }
    let versions = context.store.script_versions().await?;
    context.store.remove_script(name).await?;
    let kept = context.store.script_versions().await?;
    for version in versions.iter().filter(|version| version.name == name) {
        let path = context.dir.script(&version.digest);
        if kept.iter().all(|other| other.digest != version.digest) && path.exists() {
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

/// A group or a node whose document names the script.
async fn user_of(context: &Context, name: &str) -> Result<Option<String>> {
    let groups = context.store.groups().await?;
    for group in &groups {
        if names_script(&group.document, name)? {
            return Ok(Some(format!("the group {}", group.name)));
        }
    }
    for node in context.store.nodes().await?.into_iter().filter(|node| !node.overrides.is_empty()) {
        let group = groups.iter().find(|group| group.name == node.group);
        let text = document::merge(group.map_or("", |group| &group.document), &node.overrides)?;
        if names_script(&text, name)? {
            return Ok(Some(format!("the node {}", node.name)));
        }
    }
    Ok(None)
}

fn names_script(text: &str, name: &str) -> Result<bool> {
    let Document { scripts, package, .. } = Source { name: "the document", text }.read()?;
    let template = package.and_then(|package| package.template);
    Ok(template.as_deref() == Some(name) || scripts.iter().any(|script| script.name == name))
}
