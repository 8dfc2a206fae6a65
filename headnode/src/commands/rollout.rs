//! `headnode boot rollout`, and the beginning of one.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::{Context, actor};
use crate::cli::Pace;
use crate::clock;
use crate::log;
use crate::output::{List, or_dash};
use crate::store::nodes::Node;
use crate::store::rollouts::{Member, Rollout};

/// How many minutes a node's turn may take unless it is said.
const TURN_MIN: u32 = 120;

pub(super) async fn begin(context: &Context, nodes: &[Node], pace: Pace, cycle: bool) -> Result<()> {
    let rollout = Rollout {
        id: 0,
        actor: actor(),
        canary: pace.canary.unwrap_or(0),
        batch: pace.batch.unwrap_or(32),
        stop_after: pace.stop_after_failures.unwrap_or(1),
        cycle,
        turn_s: pace.deadline.unwrap_or(TURN_MIN).saturating_mul(60),
        begun_at: clock::now_ms(),
        ended_at: None,
        outcome: None,
    };
    ensure!(
        rollout.batch > 0 && rollout.stop_after > 0 && rollout.turn_s > 0,
        "--batch, --stop-after-failures and --deadline are at least 1"
    );
    let id = context.store.begin_rollout(&rollout, nodes).await?;
    log::line(format_args!("rollout {id}: `headnode serve` arms {} nodes, some at a time", nodes.len()));
    Ok(())
}

pub(super) async fn run(context: &Context, id: Option<i64>, abort: bool) -> Result<()> {
    let Some(id) = id else { return list(context).await };
    if abort {
        return context.store.end_rollout(id, &format!("aborted by {}", actor())).await;
    }
    show(context, id).await
}

fn result(member: &Member) -> &'static str {
    match (member.over, &member.failure, member.arming) {
        (true, Some(_), _) => "failed",
        (true, None, _) => "done",
        (false, _, Some(_)) => "busy",
        (false, _, None) => "waiting",
    }
}

async fn list(context: &Context) -> Result<()> {
    let mut list = List::new(&["id", "begun", "waiting", "busy", "done", "failed", "outcome"]);
    for rollout in context.store.rollouts().await? {
        let members = context.store.rollout_members(rollout.id).await?;
        let count = |word: &str| members.iter().filter(|member| result(member) == word).count();
        let counts = ["waiting", "busy", "done", "failed"].map(count);
        let begun = clock::text(rollout.begun_at);
        let json = json!({
            "id": rollout.id, "begun_at": begun, "waiting": counts[0], "busy": counts[1], "done": counts[2],
            "failed": counts[3], "outcome": rollout.outcome, "canary": rollout.canary, "batch": rollout.batch,
            "stop_after_failures": rollout.stop_after, "deadline_min": rollout.turn_s / 60, "actor": rollout.actor,
        });
        let mut row = vec![rollout.id.to_string(), begun];
        row.extend(counts.iter().map(ToString::to_string));
        row.push(or_dash(rollout.outcome));
        list.push(row, json);
    }
    list.print(context.output)
}

async fn show(context: &Context, id: i64) -> Result<()> {
    let found = context.store.rollouts().await?.into_iter().find(|rollout| rollout.id == id);
    found.with_context(|| format!("there is no rollout {id}: see `headnode boot rollout`"))?;
    let mut list = List::new(&["node", "result", "state", "failure"]);
    for member in context.store.rollout_members(id).await? {
        let (name, state, result) =
            (member.node.name.clone(), member.node.state.to_string(), result(&member));
        let json = json!({"node": name, "result": result, "state": state, "failure": member.failure});
        list.push(vec![name, result.into(), state, or_dash(member.failure)], json);
    }
    list.print(context.output)
}
