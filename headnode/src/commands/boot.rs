//! `headnode boot …`

use anyhow::Result;

use super::{Context, actor};
use crate::cli::Boot as Command;
use crate::http;
use crate::localboot;
use crate::output;
use crate::recipe::{Catalog, Recipe};
use crate::script::{self, Platform};
use crate::state::State;
use crate::store::attempts;

/// What `boot show` has in place of the attempt: whoever sees a script need not be able to ask for its token.
const HIDDEN: &str = "(hidden)";

pub(super) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Install { nodes } => install(context, &nodes).await,
        Command::Local { nodes } => {
            for node in context.nodes_to_change(&nodes).await? {
                context.store.boot_local(&node, &actor()).await?;
            }
            Ok(())
        }
        Command::Show { node, platform } => show(context, &node, platform).await,
    }
}

/// All or none: every node is checked before the first is armed.
async fn install(context: &Context, names: &[String]) -> Result<()> {
    let mut ready = Vec::new();
    let catalog = Catalog::load(&context.store).await?;
    for node in context.nodes_to_change(names).await? {
        let recipe = catalog.recipe(node)?;
        recipe.netboot()?;
        ready.push(recipe.node);
    }
    for node in ready {
        context.store.arm(&node, &actor()).await?;
    }
    Ok(())
}

async fn show(context: &Context, word: &str, platform: Platform) -> Result<()> {
    let node = context.node(word).await?;
    let recipe = Recipe::of(&context.store, node).await?;
    if !attempts::may_try(recipe.node.state, recipe.retries_failed()) {
        return output::text(&http::idle(&recipe, platform, localboot::is_made(&context.dir)));
    }
    let netboot = recipe.netboot()?;
    // Numbers begin anew when a diskless node came up well.
    let number = match context.store.last_attempt(recipe.node.id).await? {
        Some(attempt) if attempt.is_fresh() => attempt.number,
        Some(attempt) if recipe.node.state != State::DisklessRunning => attempt.number + 1,
        _ => 1,
    };
    let banner = script::banner(&recipe.node.name, number, recipe.document.attempts);
    output::text(&script::install(&recipe, netboot, HIDDEN, platform, &banner))
}
