//! `headnode boot …`

use anyhow::{Result, ensure};
use nii::v1::InstallType;

use super::{Context, actor, power, rollout};
use crate::cli::{Boot as Command, Pace};
use crate::http;
use crate::localboot;
use crate::output;
use crate::recipe::{Catalog, Recipe};
use crate::script::{self, Platform};
use crate::site;
use crate::state::State;
use crate::store::attempts;
use crate::store::nodes::Node;

/// What `boot show` has in place of the attempt: whoever sees a script need not be able to ask for its token.
const HIDDEN: &str = "(hidden)";

pub(super) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Install { nodes, pace } => install(context, &nodes, pace, false).await,
        Command::Reinstall { nodes, pace } => install(context, &nodes, pace, true).await,
        Command::Diskless { nodes, pace } => {
            let catalog = Catalog::load(&context.store).await?;
            for node in context.nodes_to_change(&nodes).await? {
                let recipe = catalog.recipe(node)?;
                let (name, kind) = (&recipe.node.name, recipe.document.install.kind);
                ensure!(
                    kind == InstallType::Diskless,
                    "{name} is to have a disk written: install.type is not `diskless`"
                );
            }
            install(context, &nodes, pace, false).await
        }
        Command::Rescue { nodes } => rescue(context, &nodes).await,
        Command::Rollout { id, abort } => rollout::run(context, id, abort).await,
        Command::Local { nodes } => {
            for node in context.nodes_to_change(&nodes).await? {
                context.store.boot_local(&node, &actor()).await?;
            }
            Ok(())
        }
        Command::Show { node, platform } => show(context, &node, platform).await,
    }
}

/// All or none: every node is checked, and the site asked about each, before the first is armed.
async fn install(context: &Context, words: &[String], pace: Pace, cycle: bool) -> Result<()> {
    let catalog = Catalog::load(&context.store).await?;
    let mut ready = Vec::new();
    for node in context.nodes_to_change(words).await? {
        context.store.check_lock(&node).await?;
        let recipe = catalog.recipe(node)?;
        recipe.netboot()?;
        let powerless = recipe.document.commands.power.is_empty();
        ensure!(
            !(cycle && powerless),
            "{}: its group says no commands.power: use `boot install`",
            recipe.node.name
        );
        ready.push(recipe);
    }
    if pace.canary.is_some() || pace.batch.is_some() || pace.stop_after_failures.is_some() {
        let nodes: Vec<Node> = ready.into_iter().map(|recipe| recipe.node).collect();
        return rollout::begin(context, &nodes, pace, cycle).await;
    }
    for recipe in &ready {
        site::ask_before_install(recipe).await?;
    }
    for recipe in &ready {
        context.store.arm(&recipe.node, &actor()).await?;
    }
    if cycle { power::cycle(context, ready).await } else { Ok(()) }
}

async fn rescue(context: &Context, words: &[String]) -> Result<()> {
    let catalog = Catalog::load(&context.store).await?;
    let mut ready = Vec::new();
    for node in context.nodes_to_change(words).await? {
        context.store.check_lock(&node).await?;
        let recipe = catalog.recipe(node)?;
        recipe.rescue()?;
        site::ask_before_install(&recipe).await?;
        ready.push(recipe.node);
    }
    for node in ready {
        context.store.boot_rescue(&node, &actor()).await?;
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
