//! What `serve` tells plugins: which nodes boot something else now, or have other host keys. That nodes come, go and
//! change is told by the commands that do it.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;

use super::{Verb, folder};
use crate::data_dir::DataDir;
use crate::log;
use crate::state::{Settled, State};
use crate::store::Store;
use crate::store::nodes::Node;

/// How often the store is looked at. A call takes longer.
const LOOK: Duration = Duration::from_secs(1);

/// What a node boots, as far as its state says it, and its host keys.
type Seen = (Boots, Vec<String>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Boots {
    Install,
    AfterFailure,
    Rescue,
    Local,
    Nothing,
}

impl Boots {
    fn of(state: State, locked: bool) -> Self {
        match (state.settled(locked), state) {
            (Some(Settled::LocalDisk), _) => Self::Local,
            (Some(Settled::Wait), _) => Self::Nothing,
            (None, State::Rescue) => Self::Rescue,
            (None, State::Failed) => Self::AfterFailure,
            (None, _) => Self::Install,
        }
    }
}

/// Follows the store for ever. At first all nodes are told of: calls may have been lost, if nothing ran.
///
/// # Errors
/// When the store cannot be read.
pub async fn follow(dir: &DataDir, store: &Store) -> Result<()> {
    let mut watch = store.watch().await?;
    let mut seen: Option<HashMap<i64, Seen>> = None;
    loop {
        if watch.changed().await? {
            if folder::list(&dir.plugins())?.is_empty() {
                // Whoever puts a plugin there calls it (`plugin run`).
                seen = Some(HashMap::new());
            } else {
                let nodes = store.nodes().await?;
                let now = look(store, &nodes).await?;
                tell(dir, store, changed(nodes, seen.as_ref(), &now)).await;
                seen = Some(now);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn look(store: &Store, nodes: &[Node]) -> Result<HashMap<i64, Seen>> {
    let mut keys = store.host_keys().await?;
    let locks = store.locks().await?;
    let seen = |node: &Node| {
        let boots = Boots::of(node.state, locks.contains_key(&node.id));
        (node.id, (boots, keys.remove(&node.id).unwrap_or_default()))
    };
    Ok(nodes.iter().map(seen).collect())
}

/// Those that were there before, and are not as they were.
fn changed(mut nodes: Vec<Node>, before: Option<&HashMap<i64, Seen>>, now: &HashMap<i64, Seen>) -> Vec<Node> {
    if let Some(before) = before {
        nodes.retain(|node| before.get(&node.id).is_some_and(|seen| now.get(&node.id) != Some(seen)));
    }
    nodes
}

/// A plugin that fails is in the log already; nobody waits for an answer.
async fn tell(dir: &DataDir, store: &Store, nodes: Vec<Node>) {
    if nodes.is_empty() {
        return;
    }
    let told = super::tell(dir, store, Verb::Updated, &nodes).await;
    if let Err(error) = told {
        log::line(format_args!("{error:#}"));
    }
}
