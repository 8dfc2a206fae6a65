//! `headnode plugin …`

use std::fs;
use std::io::{self, Read as _};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::Context;
use crate::cli::{Plugin as Command, Render};
use crate::clock;
use crate::output::{self, List, or_dash};
use crate::plugins::render::Template;
use crate::plugins::shipped::{self, SHIPPED};
use crate::plugins::{self, Verb, folder, input, target};
use crate::store::events::Line;
use crate::store::nodes::Node;

/// More is no input of a plugin.
const INPUT_MAX: u64 = 1 << 30;

pub(super) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::List => list(context).await,
        Command::Install { names } => install(context, &names),
        Command::Run { nodes } => {
            let nodes = context.nodes(&nodes).await?;
            context.tell(Verb::Updated, &nodes).await
        }
        Command::Input { nodes } => {
            let nodes = context.nodes(&nodes).await?;
            let input = input::of(&context.store, Verb::Updated, &nodes).await?;
            output::data(context.output, &serde_json::to_value(input)?)
        }
        Command::Template { name } => output::text(shipped::find(&name)?.template),
        Command::Render(options) => render(&options),
    }
}

impl Context {
    /// Tells plugins what a command has done, and that this was all.
    ///
    /// # Errors
    /// Those of [`plugins::tell`].
    pub(super) async fn tell(&self, verb: Verb, nodes: &[Node]) -> Result<()> {
        plugins::tell(&self.dir, &self.store, verb, nodes).await
    }
}

fn install(context: &Context, names: &[String]) -> Result<()> {
    let folder = context.dir.plugins();
    for name in names {
        ensure!(
            !shipped::place(&folder, shipped::find(name)?).exists(),
            "the plugin {name} is installed already ({}): remove it first, if it may go",
            shipped::place(&folder, shipped::find(name)?).display()
        );
    }
    for name in names {
        let path = shipped::install(&folder, shipped::find(name)?)?;
        output::text(&format!("{}\n", path.display()))?;
    }
    Ok(())
}

async fn list(context: &Context) -> Result<()> {
    let folder = context.dir.plugins();
    let mut last = context.store.last_plugin_calls().await?;
    let mut list = List::new(&["name", "installed", "policy", "deadline", "last call", "about"]);
    let about = |path: &std::path::Path| {
        SHIPPED.iter().find(|shipped| shipped::place(&folder, shipped) == path).map(|shipped| shipped.about)
    };
    for plugin in folder::list(&folder)? {
        let policy = if plugin.required { "required" } else { "best-effort" };
        let call = last.remove(&plugin.name);
        let about = plugin.broken.as_deref().or(about(&plugin.path));
        let json = json!({
            "name": plugin.name, "installed": true, "policy": policy, "deadline_s": plugin.deadline.as_secs(),
            "last": call.as_ref().map(|line| json!({"at": clock::text(line.at), "failure": line.body["failure"]})),
            "about": about,
        });
        let deadline = format!("{} s", plugin.deadline.as_secs());
        list.push(
            vec![
                plugin.name,
                "yes".into(),
                policy.into(),
                deadline,
                or_dash(call.map(|line| ended(&line))),
                or_dash(about),
            ],
            json,
        );
    }
    for shipped in SHIPPED.iter().filter(|shipped| !shipped::place(&folder, shipped).exists()) {
        let json = json!({"name": shipped.name, "installed": false, "policy": null, "deadline_s": null, "last": null, "about": shipped.about});
        let dash = || "-".to_owned();
        list.push(vec![shipped.name.into(), "no".into(), dash(), dash(), dash(), shipped.about.into()], json);
    }
    list.print(context.output)
}

fn ended(line: &Line) -> String {
    let how = line.body["failure"].as_str().unwrap_or("well");
    format!("{}: {how}", clock::text(line.at))
}

/// Needs nothing but its stdin: a plugin may run as it likes.
pub(super) fn render(options: &Render) -> Result<()> {
    let Render { template: name, write, block, each, prefix } = options;
    let text = match name.contains('/') {
        true => fs::read_to_string(name).with_context(|| format!("reading {name}"))?,
        false => shipped::find(name)?.template.to_owned(),
    };
    let mut read = Vec::new();
    io::stdin().lock().take(INPUT_MAX).read_to_end(&mut read).context("reading stdin")?;
    let input: Value = serde_json::from_slice(&read).context("reading what a plugin is told from stdin")?;
    let template = Template::new(name, &text)?;
    let (path, changed) = match (write, block, each) {
        (Some(path), ..) => (path, target::write(path, &template.render(&input, None)?)?),
        (_, Some(path), _) => (path, target::write_block(path, &template.render(&input, None)?)?),
        (.., Some(folder)) => (folder, target::write_all(folder, &files(&template, &input, prefix)?)?),
        (None, None, None) => return output::text(&template.render(&input, None)?),
    };
    if changed { output::text(&format!("{}\n", path.display())) } else { Ok(()) }
}

fn files(template: &Template<'_>, input: &Value, prefix: &str) -> Result<Vec<(String, String)>> {
    let nodes = input["nodes"].as_array().context("stdin has no `nodes`")?;
    let file = |node: &Value| {
        let mac = node["mac"].as_str().context("a node has no `mac`")?.replace(':', "-");
        Ok((format!("{prefix}{mac}"), template.render(input, Some(node))?))
    };
    nodes.iter().map(file).collect()
}
