//! `headnode script …`

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::{Context, check_name, short};
use crate::cli::{Output, Script as Command};
use crate::clock;
use crate::document::Document;
use crate::output::{self, List};
use crate::scripts;
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
    let (script, bytes) = scripts::read(name, file)?;
    let runs = |document: &Document| {
        document.scripts.iter().any(|script| script.name == name && script.interpreter.is_none())
    };
    if !script.program
        && let Some(user) = context.user_of(runs).await?
    {
        bail!(
            "{user} runs the script {name} by its first line, and {} has none (`#!/bin/sh`): say an `interpreter` there",
            file.display()
        );
    }
    scripts::keep(&context.dir, &script, &bytes)?;
    context.store.add_script(&script).await
}

async fn list(context: &Context) -> Result<()> {
    let mut list = List::new(&["name", "digest", "size", "added"]);
    for Script { name, digest, size, added_at, .. } in context.store.scripts().await? {
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
        Output::Json | Output::Yaml => output::data(
            context.output,
            &json!({
                "name": name, "digest": script.digest, "size": script.size, "added_at": clock::text(script.added_at),
                "text": String::from_utf8_lossy(&bytes),
            }),
        ),
    }
}

async fn remove(context: &Context, name: &str) -> Result<()> {
    let names = |document: &Document| {
        let template = document.package.as_ref().and_then(|package| package.template.as_deref());
        template == Some(name) || document.scripts.iter().any(|script| script.name == name)
    };
    if let Some(user) = context.user_of(names).await? {
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
