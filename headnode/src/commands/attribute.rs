//! `headnode attribute …`: the table `attributes` of groups and nodes.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use toml_edit::Value;

use super::{Context, group, node};
use crate::cli::{Assignment, Attribute as Command};
use crate::document;
use crate::output::List;
use crate::store::nodes::Node;

pub(super) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Set { of, group, attributes } => {
            let set = |text: &str| {
                attributes.iter().try_fold(text.to_owned(), |text, Assignment { key, value }| {
                    document::set(&text, &path(key)?, &Value::from(value.as_str()).to_string())
                })
            };
            change(context, &of, group, set).await
        }
        Command::Unset { of, group, attributes } => {
            let unset = |text: &str| {
                attributes.iter().try_fold(text.to_owned(), |text, key| document::unset(&text, &path(key)?))
            };
            change(context, &of, group, unset).await
        }
        Command::List { of, group } => list(context, &of, group).await,
    }
}

fn path(name: &str) -> Result<String> {
    ensure!(!name.contains('.'), "`{name}`: an attribute with a dot in its name is set with `edit`");
    Ok(format!("attributes.{name}"))
}

async fn change(
    context: &Context,
    of: &str,
    is_group: bool,
    edit: impl Fn(&str) -> Result<String>,
) -> Result<()> {
    if is_group {
        let text = edit(&context.store.group(of).await?.document)?;
        return group::replace(context, of, &format!("group {of}"), text).await;
    }
    let changed = context.nodes_to_change(&[of.to_owned()]).await?.into_iter().map(|old| {
        let overrides = edit(&old.overrides).with_context(|| old.name.clone())?;
        Ok((old.clone(), Node { overrides, ..old }))
    });
    node::save(context, changed.collect::<Result<_>>()?).await
}

/// What nodes have in the end, from wherever.
async fn list(context: &Context, of: &str, is_group: bool) -> Result<()> {
    let mut texts = Vec::new();
    if is_group {
        texts.push((of.to_owned(), context.store.group(of).await?.document, String::new()));
    } else {
        let groups = context.store.groups().await?;
        for node in context.nodes(&[of.to_owned()]).await? {
            let group = groups.iter().find(|group| group.name == node.group).context("its group is gone")?;
            texts.push((node.name, group.document.clone(), node.overrides));
        }
    }
    let mut list = List::new(&["of", "name", "text"]);
    for (name, group, overrides) in texts {
        for value in document::effective(&group, &overrides, |_| None)? {
            if let Some(key) = value.key.strip_prefix("attributes.")
                && let Some(text) = value.value.as_str()
            {
                let json = json!({"of": name, "name": key, "text": text});
                list.push(vec![name.clone(), key.to_owned(), text.to_owned()], json);
            }
        }
    }
    list.print(context.output)
}
