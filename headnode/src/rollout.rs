//! Installs of many nodes, some at a time: first the canaries, then no more at once than a batch. `serve` takes the
//! next step whenever something changes; all that is known of a rollout is in the store.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use crate::log;
use crate::recipe::Catalog;
use crate::site::{self, Power};
use crate::state::State;
use crate::store::Store;
use crate::store::rollouts::{Member, Rollout};

/// How often the store is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Then rollouts are looked at, even if nothing changed.
const LATEST_LOOK: Duration = Duration::from_secs(30);

/// How a node of a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its turn has not come.
    Waiting,
    /// It is armed, or being installed.
    Busy,
    /// It is installed.
    Done,
    /// It is not.
    Failed,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Begin with these, by their place.
    Begin(Vec<usize>),
    /// Nothing now.
    Wait,
    /// No more nodes: too many failed.
    Stop,
    /// Every node is done or has failed.
    Finish,
}

use Standing::{Busy, Done, Failed, Waiting};

/// The step that follows. Canaries are the first nodes; of them none may fail.
pub fn next(canary: usize, batch: usize, stop_after: usize, nodes: &[Standing]) -> Next {
    let (canaries, _) = nodes.split_at(canary.min(nodes.len()));
    let count = |nodes: &[Standing], standing| nodes.iter().filter(|node| **node == standing).count();
    if count(canaries, Failed) > 0 || count(nodes, Failed) >= stop_after.max(1) {
        return Next::Stop;
    }
    if count(nodes, Waiting) + count(nodes, Busy) == 0 {
        return Next::Finish;
    }
    let proved = count(canaries, Done) == canaries.len();
    let (open, at_once) = if proved { (nodes, batch.max(1)) } else { (canaries, canaries.len()) };
    let room = at_once.saturating_sub(count(open, Busy));
    let waiting = open.iter().enumerate().filter(|(_, node)| **node == Waiting).map(|(place, _)| place);
    match waiting.take(room).collect::<Vec<_>>() {
        none if none.is_empty() => Next::Wait,
        places => Next::Begin(places),
    }
}

/// Goes on with all rollouts, for ever.
///
/// # Errors
/// When the store cannot be read.
pub async fn keep(store: &Store) -> Result<()> {
    let mut watch = store.watch().await?;
    let mut looked = Instant::now();
    loop {
        // Deadlines pass without a change.
        if watch.changed().await? || looked.elapsed() >= LATEST_LOOK {
            looked = Instant::now();
            for rollout in store.rollouts().await?.into_iter().filter(|rollout| rollout.ended_at.is_none()) {
                if let Err(error) = advance(store, &rollout).await {
                    log::line(format_args!("rollout {}: {error:#}", rollout.id));
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn advance(store: &Store, rollout: &Rollout) -> Result<()> {
    let catalog = Catalog::load(store).await?;
    let mut members = store.rollout_members(rollout.id).await?;
    for member in members.iter_mut().filter(|member| member.arming.is_some() && !member.over) {
        settle(store, rollout, &catalog, member).await?;
    }
    let standings: Vec<Standing> = members.iter().map(standing).collect();
    let [canary, batch, stop_after] =
        [rollout.canary, rollout.batch, rollout.stop_after].map(|number| number as usize);
    let mut turns = JoinSet::new();
    match next(canary, batch, stop_after, &standings) {
        Next::Wait => {}
        Next::Stop => {
            let failed = standings.iter().filter(|standing| **standing == Failed).count();
            let outcome = format!("stopped: {failed} failed");
            log::line(format_args!("rollout {}: {outcome}", rollout.id));
            store.end_rollout(rollout.id, &outcome).await?;
        }
        Next::Finish => {
            log::line(format_args!("rollout {}: done", rollout.id));
            store.end_rollout(rollout.id, "done").await?;
        }
        Next::Begin(places) => {
            for place in places {
                turns.spawn(turn(store.clone(), rollout.clone(), catalog.clone(), members[place].clone()));
            }
        }
    }
    // What was armed before a crash of ours still wants its power cycled.
    for member in members.into_iter().filter(|member| rollout.cycle && member.wants_cycle()) {
        turns.spawn(turn(store.clone(), rollout.clone(), catalog.clone(), member));
    }
    while let Some(outcome) = turns.join_next().await {
        outcome??;
    }
    Ok(())
}

/// What became of a node whose turn has begun.
async fn settle(store: &Store, rollout: &Rollout, catalog: &Catalog, member: &mut Member) -> Result<()> {
    let node = &member.node;
    let goes_on = match node.state {
        State::Armed | State::Installing => Ok(true),
        State::Failed => catalog.recipe(node.clone()).map(|recipe| recipe.retries_failed()),
        _ => Ok(false),
    };
    let failure = match goes_on {
        _ if matches!(node.state, State::Installed | State::DisklessRunning) => None,
        Ok(true) if !member.is_late(rollout) => return Ok(()),
        Ok(true) => {
            Some(format!("it is {} still, {} min after its turn began", node.state, rollout.turn_s / 60))
        }
        Ok(false) => Some(format!("it is {}", node.state)),
        Err(error) => Some(format!("{error:#}")),
    };
    match &failure {
        Some(failure) => store.fail_member(rollout, node.id, failure).await?,
        None => store.finish_member(rollout.id, node.id).await?,
    }
    (member.over, member.failure) = (true, failure);
    Ok(())
}

fn standing(member: &Member) -> Standing {
    match (member.over, &member.failure, member.arming) {
        (true, Some(_), _) => Failed,
        (true, None, _) => Done,
        (false, _, Some(_)) => Busy,
        (false, _, None) => Waiting,
    }
}

/// One node's turn, from where it stands. What goes wrong is this node's failure, and nobody else's.
async fn turn(store: Store, rollout: Rollout, catalog: Catalog, member: Member) -> Result<()> {
    let id = member.node.id;
    match take_turn(&store, &rollout, &catalog, member).await {
        Ok(()) => Ok(()),
        Err(error) => store.fail_member(&rollout, id, &format!("{error:#}")).await,
    }
}

async fn take_turn(store: &Store, rollout: &Rollout, catalog: &Catalog, member: Member) -> Result<()> {
    let recipe = catalog.recipe(member.node)?;
    let node = &recipe.node;
    let mut armed = true;
    if member.arming.is_none() {
        recipe.netboot()?;
        site::ask_before_install(&recipe).await?;
        armed = store.begin_member(rollout, node).await?;
    }
    if rollout.cycle && armed {
        site::power(&recipe, Power::Cycle).await?;
        store.cycled_member(rollout.id, node.id).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn canaries_first_then_batches() {
        let mut nodes = [Waiting; 6];
        assert_eq!(next(1, 3, 2, &nodes), Next::Begin(vec![0]));
        nodes[0] = Busy;
        assert_eq!(next(1, 3, 2, &nodes), Next::Wait);
        nodes[0] = Done;
        assert_eq!(next(1, 3, 2, &nodes), Next::Begin(vec![1, 2, 3]));
        nodes[1..4].copy_from_slice(&[Busy, Failed, Busy]);
        assert_eq!(next(1, 3, 2, &nodes), Next::Begin(vec![4]));
        nodes[1] = Failed;
        assert_eq!(next(1, 3, 2, &nodes), Next::Stop);
        assert_eq!(next(1, 3, 9, &[Done, Failed, Done]), Next::Finish);
        assert_eq!(next(1, 3, 9, &[Failed, Waiting]), Next::Stop);
    }

    proptest! {
        /// Whatever comes of each node: never more at once than allowed, no node after a stop, and an end.
        #[test]
        fn a_rollout_ends(canary in 0usize..4, batch in 0usize..5, stop in 0usize..4,
                          fates in proptest::collection::vec(any::<bool>(), 1..20)) {
            let mut nodes = vec![Waiting; fates.len()];
            for _ in 0..3 * fates.len() + 3 {
                match next(canary, batch, stop, &nodes) {
                    Next::Begin(places) => for place in places {
                        prop_assert_eq!(nodes[place], Waiting);
                        nodes[place] = Busy;
                    },
                    Next::Wait => {
                        let busy = nodes.iter().position(|node| *node == Busy).unwrap();
                        nodes[busy] = if fates[busy] { Done } else { Failed };
                    }
                    Next::Stop => {
                        prop_assert!(nodes.contains(&Failed));
                        return Ok(());
                    }
                    Next::Finish => {
                        prop_assert!(!nodes.contains(&Waiting) && !nodes.contains(&Busy));
                        return Ok(());
                    }
                }
                let busy = nodes.iter().filter(|node| **node == Busy).count();
                prop_assert!(busy <= batch.max(canary).max(1));
            }
            prop_assert!(false, "it goes on for ever");
        }
    }
}
