//! `headnode boot …`

use anyhow::{Result, ensure};
use nii::v1::InstallType;

use super::{Context, actor, power, rollout};
use crate::cli::{Boot as Command, Pace};
use crate::http;
use crate::localboot;
use crate::output;
use crate::ranges;
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
            context.store.boot_local(&context.nodes_to_change(&nodes).await?, &actor()).await
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
    let (nodes, recipes): (Vec<Node>, Vec<Recipe>) =
        ready.into_iter().map(|recipe| (recipe.node.clone(), recipe)).unzip();
    let when = if cycle { "now: their power is cycled" } else { "from their next network boot on" };
    agree(context, &nodes, &format!("are installed anew, {when}"))?;
    if pace.is_given() {
        return rollout::begin(context, &nodes, pace, cycle).await;
    }
    for recipe in &recipes {
        site::ask_before_install(recipe).await?;
    }
    context.store.arm(&nodes, &actor()).await?;
    if cycle { power::cycle(context, recipes).await } else { Ok(()) }
}

/// One node is what was typed; several may be more than was meant.
fn agree(context: &Context, nodes: &[Node], what: &str) -> Result<()> {
    if nodes.len() < 2 {
        return Ok(());
    }
    let names = ranges::fold(nodes.iter().map(|node| node.name.as_str()));
    context.confirm(&format!("{names}: {} {what}\n", nodes.len()), "Go on?")
}

async fn rescue(context: &Context, words: &[String]) -> Result<()> {
    let catalog = Catalog::load(&context.store).await?;
    let mut ready = Vec::new();
    for node in context.nodes_to_change(words).await? {
        context.store.check_lock(&node).await?;
        let recipe = catalog.recipe(node)?;
        recipe.rescue()?;
        ready.push(recipe);
    }
    let nodes: Vec<Node> = ready.iter().map(|recipe| recipe.node.clone()).collect();
    agree(context, &nodes, "boot their rescue systems, from their next network boot on")?;
    for recipe in &ready {
        site::ask_before_install(recipe).await?;
    }
    context.store.boot_rescue(&nodes, &actor()).await
}

async fn show(context: &Context, word: &str, platform: Platform) -> Result<()> {
    let node = context.node(word).await?;
    let locked = context.store.lock_of(node.id).await?;
    let local_boot = localboot::is_made(&context.dir);
    if let Some(script) = http::settled(&node, locked.as_deref(), platform, local_boot) {
        return output::text(&script);
    }
    let recipe = Recipe::of(&context.store, node).await?;
    if !attempts::may_try(recipe.node.state, recipe.retries_failed()) {
        return output::text(&http::idle(&recipe, platform));
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
