//! Rollouts (crate::rollout), and locks of nodes.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteExecutor};
use uuid::Uuid;

use super::attempts::end_arming;
use super::nodes::{Node, transition};
use super::{Store, Write, attempts, parsed, parsed_option};
use crate::clock;
use crate::state::{Cause, State};

/// An install of many nodes.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// Its number.
    pub id: i64,
    /// Who wanted it.
    pub actor: String,
    /// How many nodes go first.
    pub canary: u32,
    /// How many at once then.
    pub batch: u32,
    /// After how many failures no more nodes begin.
    pub stop_after: u32,
    /// Whether nodes are power-cycled when it is their turn.
    pub cycle: bool,
    /// How long a node's turn may take, in seconds.
    pub turn_s: u32,
    /// When it began, milliseconds since 1970.
    pub begun_at: i64,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// How it ended.
    pub outcome: Option<String>,
}

/// A node of a rollout.
#[derive(Clone, Debug)]
pub struct Member {
    /// The node.
    pub node: Node,
    /// Its arming, from its turn on.
    pub arming: Option<Uuid>,
    /// When its turn began, milliseconds since 1970.
    pub begun_at: Option<i64>,
    /// Whether its power was cycled.
    pub cycled: bool,
    /// Whether it is over with it.
    pub over: bool,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

impl Member {
    /// Whether it is armed and waits for its power. One that is being installed must not lose it.
    pub fn wants_cycle(&self) -> bool {
        self.arming.is_some() && !self.cycled && !self.over && self.node.state == State::Armed
    }

    /// Whether its turn took too long.
    pub fn is_late(&self, rollout: &Rollout) -> bool {
        let end = |begun_at: i64| begun_at + i64::from(rollout.turn_s) * 1000;
        self.begun_at.is_some_and(|begun_at| clock::now_ms() >= end(begun_at))
    }
}

/// Why a node is locked, if it is.
///
/// # Errors
/// When the database cannot be read.
pub async fn lock_of(executor: impl SqliteExecutor<'_>, node: i64) -> Result<Option<String>> {
    let row = sqlx::query("SELECT reason FROM locks WHERE node = ?").bind(node);
    let row = row.fetch_optional(executor).await?;
    Ok(row.map(|row| row.try_get("reason")).transpose()?)
}

/// Refuses what must not be done to a locked node.
///
/// # Errors
/// When it is locked: with the reason.
pub async fn check_lock(write: &mut Write, node: i64) -> Result<()> {
    let row = sqlx::query(
        "SELECT nodes.name, reason, actor FROM locks JOIN nodes ON nodes.id = locks.node WHERE locks.node = ?",
    )
    .bind(node)
    .fetch_optional(&mut **write)
    .await?;
    let Some(row) = row else { return Ok(()) };
    let text = |column: &str| row.try_get::<String, _>(column);
    let (name, reason, actor) = (text("name")?, text("reason")?, text("actor")?);
    bail!("{name} is locked by {actor}: {reason} (headnode unlock {name})")
}

/// A node's present arming, if the node is in this state.
async fn under_way(write: &mut Write, node: i64, state: State) -> Result<Option<Uuid>> {
    let row = sqlx::query(
        "SELECT armings.id FROM armings JOIN nodes ON nodes.id = armings.node
         WHERE nodes.id = ? AND state = ? AND ended_at IS NULL",
    )
    .bind(node)
    .bind(state.name())
    .fetch_optional(&mut **write)
    .await?;
    row.as_ref().map(|row| parsed(row, "id")).transpose()
}

impl Store {
    /// Locks nodes, or gives their locks another reason. The names of those that are being installed: for this attempt
    /// it comes too late.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn lock(&self, nodes: &[Node], reason: &str, actor: &str) -> Result<Vec<String>> {
        let mut write = self.write().await?;
        let mut late = Vec::new();
        for node in nodes {
            sqlx::query("INSERT OR REPLACE INTO locks (node, reason, actor, locked_at) VALUES (?, ?, ?, ?)")
                .bind(node.id)
                .bind(reason)
                .bind(actor)
                .bind(clock::now_ms())
                .execute(&mut *write)
                .await?;
            let row = sqlx::query("SELECT state FROM nodes WHERE id = ?").bind(node.id);
            if parsed::<State>(&row.fetch_one(&mut *write).await?, "state")? == State::Installing {
                late.push(node.name.clone());
            }
        }
        write.commit().await?;
        Ok(late)
    }

    /// Takes nodes' locks away.
    ///
    /// # Errors
    /// When one has none.
    pub async fn unlock(&self, nodes: &[Node]) -> Result<()> {
        let mut write = self.write().await?;
        for node in nodes {
            let done =
                sqlx::query("DELETE FROM locks WHERE node = ?").bind(node.id).execute(&mut *write).await?;
            ensure!(done.rows_affected() == 1, "{} is not locked", node.name);
        }
        Ok(write.commit().await?)
    }

    /// Why nodes are locked, by the node's key.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn locks(&self) -> Result<BTreeMap<i64, String>> {
        let rows = sqlx::query("SELECT node, reason FROM locks").fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get("node")?, row.try_get("reason")?))).collect()
    }

    /// Why a node is locked, if it is.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn lock_of(&self, node: i64) -> Result<Option<String>> {
        lock_of(&self.pool, node).await
    }

    /// Whether a node may be armed or removed.
    ///
    /// # Errors
    /// When it is locked: with the reason.
    pub async fn check_lock(&self, node: &Node) -> Result<()> {
        check_lock(&mut self.write().await?, node.id).await
    }

    /// Begins a rollout (its `id` is given here); its number.
    ///
    /// # Errors
    /// When a node is in another one that is not over.
    pub async fn begin_rollout(&self, rollout: &Rollout, nodes: &[Node]) -> Result<i64> {
        let mut write = self.write().await?;
        let row = sqlx::query(
            "INSERT INTO rollouts (actor, canary, batch, stop_after, cycle, turn_s, begun_at)
             VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
        )
        .bind(&rollout.actor)
        .bind(rollout.canary)
        .bind(rollout.batch)
        .bind(rollout.stop_after)
        .bind(rollout.cycle)
        .bind(rollout.turn_s)
        .bind(rollout.begun_at)
        .fetch_one(&mut *write)
        .await?;
        let id: i64 = row.try_get("id")?;
        for node in nodes {
            let busy = sqlx::query(
                "SELECT rollouts.id FROM rollout_nodes JOIN rollouts ON rollouts.id = rollout
                 WHERE node = ? AND ended_at IS NULL",
            )
            .bind(node.id)
            .fetch_optional(&mut *write)
            .await?;
            if let Some(row) = busy {
                let other: i64 = row.try_get("id")?;
                bail!("{} is in rollout {other} already: see `headnode boot rollout`", node.name);
            }
            sqlx::query("INSERT INTO rollout_nodes (rollout, node) VALUES (?, ?)")
                .bind(id)
                .bind(node.id)
                .execute(&mut *write)
                .await?;
        }
        write.commit().await?;
        Ok(id)
    }

    /// All rollouts, the first one first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn rollouts(&self) -> Result<Vec<Rollout>> {
        let rows = sqlx::query("SELECT * FROM rollouts ORDER BY id").fetch_all(&self.pool).await?;
        let read = |row: &SqliteRow| {
            Ok(Rollout {
                id: row.try_get("id")?,
                actor: row.try_get("actor")?,
                canary: row.try_get("canary")?,
                batch: row.try_get("batch")?,
                stop_after: row.try_get("stop_after")?,
                cycle: row.try_get("cycle")?,
                turn_s: row.try_get("turn_s")?,
                begun_at: row.try_get("begun_at")?,
                ended_at: row.try_get("ended_at")?,
                outcome: row.try_get("outcome")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// A rollout's nodes, in the order of their turns.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn rollout_members(&self, rollout: i64) -> Result<Vec<Member>> {
        let rows = sqlx::query(
            "SELECT nodes.*, arming, coalesce(begun_at, armed_at) AS turn_at, cycled, over, failure
             FROM rollout_nodes JOIN nodes ON nodes.id = rollout_nodes.node
             LEFT JOIN armings ON armings.id = arming
             WHERE rollout = ? ORDER BY rollout_nodes.rowid",
        )
        .bind(rollout)
        .fetch_all(&self.pool)
        .await?;
        let read = |row: &SqliteRow| {
            Ok(Member {
                node: Node::of(row)?,
                arming: parsed_option(row, "arming")?,
                begun_at: row.try_get("turn_at")?,
                cycled: row.try_get("cycled")?,
                over: row.try_get("over")?,
                failure: row.try_get("failure")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Begins a node's turn: arms it, unless the rollout was ended meanwhile. One that is being installed already goes on
    /// with that, and is not to lose its power. Whether it was armed.
    ///
    /// # Errors
    /// When the node is locked, or the database cannot be written.
    pub async fn begin_member(&self, rollout: &Rollout, node: &Node) -> Result<bool> {
        let mut write = self.write().await?;
        let open = sqlx::query("SELECT id FROM rollouts WHERE id = ? AND ended_at IS NULL").bind(rollout.id);
        ensure!(open.fetch_optional(&mut *write).await?.is_some(), "the rollout was ended");
        check_lock(&mut write, node.id).await?;
        let under_way = under_way(&mut write, node.id, State::Installing).await?;
        let arming = match under_way {
            Some(arming) => arming,
            None => attempts::arm(&mut write, node.id, &rollout.actor).await?,
        };
        sqlx::query(
            "UPDATE rollout_nodes SET arming = ?, begun_at = ?, cycled = ? WHERE rollout = ? AND node = ?",
        )
        .bind(arming.to_string())
        .bind(clock::now_ms())
        .bind(under_way.is_some())
        .bind(rollout.id)
        .bind(node.id)
        .execute(&mut *write)
        .await?;
        write.commit().await?;
        Ok(under_way.is_none())
    }

    /// A node's turn failed. If it still waits for its boot it is disarmed, lest that installs it long after.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn fail_member(&self, rollout: &Rollout, node: i64, failure: &str) -> Result<()> {
        let mut write = self.write().await?;
        let row = sqlx::query("SELECT arming FROM rollout_nodes WHERE rollout = ? AND node = ?")
            .bind(rollout.id)
            .bind(node)
            .fetch_one(&mut *write)
            .await?;
        let arming: Option<Uuid> = parsed_option(&row, "arming")?;
        if arming.is_some() && under_way(&mut write, node, State::Armed).await? == arming {
            end_arming(&mut write, node).await?;
            transition(&mut write, node, Cause::BootLocal, &rollout.actor, failure).await?;
        }
        sqlx::query("UPDATE rollout_nodes SET over = 1, failure = ? WHERE rollout = ? AND node = ?")
            .bind(failure)
            .bind(rollout.id)
            .bind(node)
            .execute(&mut *write)
            .await?;
        Ok(write.commit().await?)
    }

    /// A node's power was cycled.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn cycled_member(&self, rollout: i64, node: i64) -> Result<()> {
        sqlx::query("UPDATE rollout_nodes SET cycled = 1 WHERE rollout = ? AND node = ?")
            .bind(rollout)
            .bind(node)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// A node is installed.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn finish_member(&self, rollout: i64, node: i64) -> Result<()> {
        sqlx::query("UPDATE rollout_nodes SET over = 1 WHERE rollout = ? AND node = ?")
            .bind(rollout)
            .bind(node)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Ends a rollout: what is armed goes on, nothing else begins.
    ///
    /// # Errors
    /// When it is over already.
    pub async fn end_rollout(&self, id: i64, outcome: &str) -> Result<()> {
        let ended =
            sqlx::query("UPDATE rollouts SET ended_at = ?, outcome = ? WHERE id = ? AND ended_at IS NULL")
                .bind(clock::now_ms())
                .bind(outcome)
                .bind(id)
                .execute(&self.pool)
                .await?;
        ensure!(
            ended.rows_affected() == 1,
            "there is no rollout {id} that is not over: see `headnode boot rollout`"
        );
        Ok(())
    }
}
