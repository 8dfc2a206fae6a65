//! `headnode power …`: many nodes at once, and each one's result.

use anyhow::{Result, bail};
use serde_json::json;
use tokio::task::JoinSet;

use super::Context;
use crate::output::List;
use crate::recipe::{Catalog, Recipe};
use crate::site::{self, Power};

/// So many commands run at a time.
const AT_ONCE: usize = 16;

/// A node's name, and what its command said or why it failed.
type Answer = (String, Result<String>);

pub(super) async fn run(context: &Context, action: Power, words: &[String]) -> Result<()> {
    let catalog = Catalog::load(&context.store).await?;
    let nodes = context.nodes_to_change(words).await?;
    let recipes = nodes.into_iter().map(|node| catalog.recipe(node)).collect::<Result<Vec<_>>>()?;
    tell(context, recipes, action).await
}

/// Cycles the power of nodes that were armed.
pub(super) async fn cycle(context: &Context, recipes: Vec<Recipe>) -> Result<()> {
    tell(context, recipes, Power::Cycle).await
}

async fn tell(context: &Context, recipes: Vec<Recipe>, action: Power) -> Result<()> {
    let answers = all(recipes, action).await?;
    let failed = answers.iter().filter(|(_, answer)| answer.is_err()).count();
    let mut list = List::new(&["node", "result", "said"]);
    for (node, answer) in answers {
        let (result, said) = match answer {
            Ok(said) => ("ok", said),
            Err(error) => ("failed", format!("{error:#}")),
        };
        let json = json!({"node": node, "ok": result == "ok", "said": said});
        list.push(vec![node, result.into(), said], json);
    }
    list.print(context.output)?;
    if failed > 0 {
        bail!("power {} failed on {failed} nodes", action.name());
    }
    Ok(())
}

/// In the order of the nodes.
async fn all(recipes: Vec<Recipe>, action: Power) -> Result<Vec<Answer>> {
    let (mut waiting, mut running, mut answers) = (recipes.into_iter(), JoinSet::new(), Vec::new());
    loop {
        while running.len() < AT_ONCE
            && let Some(recipe) = waiting.next()
        {
            running.spawn(async move {
                let answer = site::power(&recipe, action).await;
                (recipe.node.name, answer)
            });
        }
        match running.join_next().await {
            Some(answer) => answers.push(answer?),
            None => break,
        }
    }
    answers.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(answers)
}
