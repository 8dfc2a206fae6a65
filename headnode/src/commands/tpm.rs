//! `headnode tpm …`

use anyhow::{Result, ensure};
use serde_json::json;

use super::{Context, actor};
use crate::cli::Tpm as Command;
use crate::clock;
use crate::output::List;

pub(super) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::List => list(context).await,
        Command::Accept { node, name } => {
            let node = context.store.node(&node).await?;
            context.store.accept_tpm(&node, name, &actor()).await
        }
        Command::Forget { node } => forget(context, &node).await,
    }
}

async fn list(context: &Context) -> Result<()> {
    let mut list = List::new(&["node", "accepted", "by", "TPM"]);
    for tpm in context.store.tpms().await? {
        let accepted = clock::text(tpm.accepted_at);
        list.push(
            vec![tpm.node.clone(), accepted.clone(), tpm.actor.clone(), tpm.name.clone()],
            json!({"node": tpm.node, "accepted_at": accepted, "actor": tpm.actor, "tpm": tpm.name}),
        );
    }
    list.print(context.output)
}

async fn forget(context: &Context, node: &str) -> Result<()> {
    let node = context.store.node(node).await?;
    let forgotten = context.store.forget_tpm(&node, &actor()).await?;
    ensure!(forgotten, "{} has no TPM: see `headnode tpm list`", node.name);
    Ok(())
}
