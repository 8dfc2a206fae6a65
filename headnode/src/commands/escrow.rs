//! `headnode escrow …`

use anyhow::{Result, ensure};
use serde_json::json;

use super::{Context, actor};
use crate::cli::Escrow as Command;
use crate::clock;
use crate::output::List;

pub(super) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::List => list(context).await,
        Command::Drop { node } => drop(context, &node).await,
    }
}

async fn list(context: &Context) -> Result<()> {
    let mut list = List::new(&["node", "kept"]);
    for (node, kept_at) in context.store.escrows().await? {
        let kept = clock::text(kept_at);
        list.push(vec![node.clone(), kept.clone()], json!({"node": node, "kept_at": kept}));
    }
    list.print(context.output)
}

async fn drop(context: &Context, node: &str) -> Result<()> {
    let node = context.store.node(node).await?;
    let dropped = context.store.drop_escrow(&node, &actor(), "by `headnode escrow drop`").await?;
    ensure!(dropped, "{} has nothing in escrow: see `headnode escrow list`", node.name);
    Ok(())
}
