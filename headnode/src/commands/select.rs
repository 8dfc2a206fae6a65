//! Which nodes a command is about: words of [`crate::ranges`] looked up in the store.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, bail, ensure};

use super::Context;
use crate::ranges::{self, Selection, Term};
use crate::store::nodes::Node;

impl Context {
    /// The nodes that `words` name, by name; every node if there are no words.
    ///
    /// # Errors
    /// When a word is wrong, or names a node or a group that is not there.
    pub(super) async fn nodes(&self, words: &[String]) -> Result<Vec<Node>> {
        let selection = Selection::read(words.iter().map(String::as_str))?;
        if let ([], [Term::Names(names)]) = (selection.without.as_slice(), selection.with.as_slice())
            && let [name] = names.as_slice()
        {
            return Ok(vec![self.store.node(name).await?]);
        }
        let nodes = self.store.nodes().await?;
        if words.is_empty() {
            return Ok(nodes);
        }
        let groups = self.store.groups().await?;
        for term in selection.with.iter().chain(&selection.without) {
            if let Term::Group(name) = term {
                let known = groups.iter().any(|group| group.name == *name);
                ensure!(known, "there is no group `{name}`: see `headnode group list`");
            }
        }
        pick(nodes, &selection)
    }

    /// The nodes that a command is to act on: at least one.
    ///
    /// # Errors
    /// Those of [`Context::nodes`], and when there is none.
    pub(super) async fn nodes_to_change(&self, words: &[String]) -> Result<Vec<Node>> {
        let nodes = self.nodes(words).await?;
        ensure!(!nodes.is_empty(), "no node is {}: nothing was done", words.join(" "));
        Ok(nodes)
    }

    /// The one node that `word` names.
    ///
    /// # Errors
    /// Those of [`Context::nodes`], and when there are several.
    pub(super) async fn node(&self, word: &str) -> Result<Node> {
        let mut nodes = self.nodes(&[word.to_owned()]).await?;
        match (nodes.pop(), nodes.len()) {
            (Some(node), 0) => Ok(node),
            (_, others) => bail!("`{word}` names {} nodes, and this is about one", others + 1),
        }
    }
}

fn pick(nodes: Vec<Node>, selection: &Selection) -> Result<Vec<Node>> {
    let known: HashMap<&str, &Node> = nodes.iter().map(|node| (node.name.as_str(), node)).collect();
    let with = ids(&nodes, &known, &selection.with)?;
    let without = ids(&nodes, &known, &selection.without)?;
    Ok(nodes.into_iter().filter(|node| with.contains(&node.id) && !without.contains(&node.id)).collect())
}

fn ids(nodes: &[Node], known: &HashMap<&str, &Node>, terms: &[Term]) -> Result<HashSet<i64>> {
    let mut ids = HashSet::new();
    for term in terms {
        match term {
            Term::All => ids.extend(nodes.iter().map(|node| node.id)),
            Term::Group(name) => {
                ids.extend(nodes.iter().filter(|node| node.group == *name).map(|node| node.id));
            }
            Term::State(state) => {
                ids.extend(nodes.iter().filter(|node| node.state == *state).map(|node| node.id));
            }
            Term::Names(names) => {
                let unknown = names.iter().map(String::as_str).filter(|name| !known.contains_key(name));
                let unknown = ranges::fold(unknown);
                ensure!(unknown.is_empty(), "there is no node `{unknown}`: see `headnode node list`");
                ids.extend(names.iter().filter_map(|name| known.get(name.as_str())).map(|node| node.id));
            }
        }
    }
    Ok(ids)
}
