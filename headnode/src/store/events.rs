//! What nodes reported. Each event arrives once: (node, boot id, sequence) is unique.

use anyhow::{Context as _, Result};
use nii::event::{Body, Event};
use nii::v1::InstallType;
use serde_json::{Value, json};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::attempts::Session;
use super::nodes::transition;
use super::package::drop_escrow;
use super::{Store, Write};
use crate::clock;
use crate::report::Report;
use crate::state::Cause;

/// What the events of one boot may come to before no more are taken in, in bytes. An install has some tens of KiB.
const QUOTA: i64 = 4 << 20;
/// What a node's events may come to when a boot begins, before those of old boots go.
const KEPT: i64 = 12 << 20;
/// What an event takes beside its JSON.
const OVERHEAD: i64 = 256;

/// A line of a node's history: an event, a change of state, or a security notice.
#[derive(Clone, Debug)]
pub struct Line {
    /// When it came, milliseconds since 1970.
    pub at: i64,
    /// The node's name.
    pub node: String,
    /// The event's name, `state` or `security`.
    pub kind: String,
    /// The event, or the audit log's columns.
    pub body: Value,
    /// Where an event comes from; `None` for the others.
    pub source: Option<Source>,
}

/// Where an event comes from.
#[derive(Clone, Debug)]
pub struct Source {
    /// The attempt.
    pub attempt: String,
    /// The boot.
    pub boot_id: String,
    /// Its number in the boot.
    pub seq: i64,
    /// Milliseconds since boot.
    pub mono_ms: i64,
}

impl Store {
    /// Takes in events of a session's boot, in order; those that are there already change nothing. What a
    /// success means is up to the NII that was released, not to what the group says by now. Returns the last sequence
    /// that is there; `None` if the boot has used up its [`QUOTA`].
    ///
    /// # Errors
    /// When the database cannot be written; then none of them is kept.
    pub async fn absorb(&self, session: &Session, events: &[Event]) -> Result<Option<u64>> {
        let row = sqlx::query(
            "SELECT coalesce(sum(octet_length(body) + ?), 0) FROM events WHERE node = ? AND boot_id = ?",
        )
        .bind(OVERHEAD)
        .bind(session.node.id)
        .bind(session.boot_id.to_string())
        .fetch_one(&self.pool)
        .await?;
        if row.try_get::<i64, _>(0)? >= QUOTA {
            return Ok(None);
        }
        let mut write = self.write().await?;
        for event in events {
            if insert(&mut write, session, event).await? {
                follow(&mut write, session, event).await?;
            }
        }
        // Not the end of an unbroken row: a node whose spool is full drops progress, and its numbers with it.
        let row = sqlx::query("SELECT coalesce(max(seq), 0) FROM events WHERE node = ? AND boot_id = ?")
            .bind(session.node.id)
            .bind(session.boot_id.to_string())
            .fetch_one(&mut *write)
            .await?;
        write.commit().await?;
        Ok(Some(u64::try_from(row.try_get::<i64, _>(0)?)?))
    }

    /// The last `limit` lines of some nodes' history, or of everybody's; oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn history(&self, nodes: Option<&[String]>, limit: u32) -> Result<Vec<Line>> {
        let (events, audit) = if nodes.is_some() { (EVENTS_OF, AUDIT_OF) } else { (EVENTS, AUDIT) };
        let nodes = nodes.map(serde_json::to_string).transpose()?;
        let mut lines = Vec::new();
        for row in &sqlx::query(events).bind(limit).bind(&nodes).fetch_all(&self.pool).await? {
            lines.push(event_line(row)?);
        }
        for row in &sqlx::query(audit).bind(limit).bind(&nodes).fetch_all(&self.pool).await? {
            lines.push(audit_line(row)?);
        }
        lines.extend(self.plugin_lines(nodes.as_deref(), limit).await?);
        // Stable: lines of one source keep their order. A change of state comes after the event that caused it.
        lines.reverse();
        lines.sort_by_key(|line| (line.at, line.source.is_none()));
        let surplus = lines.len().saturating_sub(limit as usize);
        Ok(lines.split_off(surplus))
    }

    /// The facts that a node reported last, and when, in milliseconds since 1970.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn last_facts(&self, node: i64) -> Result<Option<(i64, Value)>> {
        let row = sqlx::query(
            "SELECT received_at, json_extract(body, '$.facts') AS facts FROM events
             WHERE node = ? AND kind = 'facts' ORDER BY id DESC LIMIT 1",
        )
        .bind(node)
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let facts: String = row.try_get("facts")?;
        Ok(Some((row.try_get("received_at")?, serde_json::from_str(&facts)?)))
    }
}

/// The last `?1` events, and those of the nodes in `?2`: apart, for one query of both would always read the whole table.
const EVENTS: &str = "SELECT events.*, nodes.name FROM events JOIN nodes ON nodes.id = events.node
     ORDER BY events.id DESC LIMIT ?1";
const EVENTS_OF: &str = "SELECT events.*, nodes.name FROM events JOIN nodes ON nodes.id = events.node
     WHERE events.node IN (SELECT id FROM nodes WHERE name IN (SELECT value FROM json_each(?2)))
     ORDER BY events.id DESC LIMIT ?1";
/// The same of the audit log.
const AUDIT: &str = "SELECT * FROM audit ORDER BY id DESC LIMIT ?1";
const AUDIT_OF: &str =
    "SELECT * FROM audit WHERE node IN (SELECT value FROM json_each(?2)) ORDER BY id DESC LIMIT ?1";

/// Makes room for the events of another boot.
pub(super) async fn forget_old(write: &mut Write, node: i64) -> Result<()> {
    sqlx::query(
        "DELETE FROM events WHERE node = ?1 AND id <= (SELECT max(id) FROM
             (SELECT id, sum(octet_length(body) + ?2) OVER (ORDER BY id DESC) AS total FROM events WHERE node = ?1)
             WHERE total > ?3)",
    )
    .bind(node)
    .bind(OVERHEAD)
    .bind(KEPT)
    .execute(&mut **write)
    .await?;
    Ok(())
}

/// Whether the event is new.
async fn insert(write: &mut Write, session: &Session, event: &Event) -> Result<bool> {
    let body = serde_json::to_value(&event.body)?;
    let kind = body["event"].as_str().unwrap_or_default().to_owned();
    let inserted = sqlx::query(
        "INSERT OR IGNORE INTO events (node, attempt, boot_id, seq, mono_ms, received_at, kind, body)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(session.node.id)
    .bind(session.attempt.to_string())
    .bind(event.boot_id.to_string())
    .bind(i64::try_from(event.seq)?)
    .bind(i64::try_from(event.mono_ms)?)
    .bind(clock::now_ms())
    .bind(&kind)
    .bind(body.to_string())
    .execute(&mut **write)
    .await?;
    if inserted.rows_affected() == 1 && matches!(event.body, Body::Progress { .. } | Body::Alive { .. }) {
        // Of a step's progress, and signs of life, only the last is worth keeping.
        sqlx::query(
            "DELETE FROM events WHERE node = ?1 AND boot_id = ?2 AND kind = ?5 AND seq < ?3
             AND json_extract(body, '$.step') = json_extract(?4, '$.step')",
        )
        .bind(session.node.id)
        .bind(event.boot_id.to_string())
        .bind(i64::try_from(event.seq)?)
        .bind(body.to_string())
        .bind(kind)
        .execute(&mut **write)
        .await?;
    }
    Ok(inserted.rows_affected() == 1)
}

/// What an event changes: the attempt's report, and the node's state.
async fn follow(write: &mut Write, session: &Session, event: &Event) -> Result<()> {
    let attempt = session.attempt.to_string();
    let row = sqlx::query("SELECT report FROM attempts WHERE id = ?")
        .bind(&attempt)
        .fetch_one(&mut **write)
        .await?;
    let mut report: Report =
        serde_json::from_str(row.try_get("report")?).context("reading column report of the store")?;
    report.absorb(event.seq, &event.body, clock::now_ms());
    sqlx::query("UPDATE attempts SET report = ? WHERE id = ?")
        .bind(serde_json::to_string(&report)?)
        .bind(&attempt)
        .execute(&mut **write)
        .await?;
    match &event.body {
        Body::Failed(failure) => {
            let detail = format!("{}: {}", failure.step, failure.cause.join(": "));
            transition(write, session.node.id, Cause::Failed, "node", &detail).await?;
        }
        Body::Installed { arming, .. } if *arming == session.arming => {
            succeed(write, session, *arming).await?
        }
        _ => {}
    }
    Ok(())
}

async fn succeed(write: &mut Write, session: &Session, arming: Uuid) -> Result<()> {
    let done = match session.kind {
        Some(InstallType::Diskless) => Cause::Running,
        Some(InstallType::Disked | InstallType::Package) => Cause::Installed,
        // Whoever has not got its NII cannot have done what it says.
        None => return Ok(()),
    };
    sqlx::query("UPDATE armings SET tries = 0 WHERE id = ?")
        .bind(arming.to_string())
        .execute(&mut **write)
        .await?;
    if done == Cause::Installed {
        // Its disks have a new system, with these keys or, by its NII, with others. A root in RAM takes no disk's place.
        drop_escrow(write, session.node.id).await?;
    }
    transition(write, session.node.id, done, "node", &format!("arming {arming}")).await?;
    Ok(())
}

fn event_line(row: &SqliteRow) -> Result<Line> {
    Ok(Line {
        at: row.try_get("received_at")?,
        node: row.try_get("name")?,
        kind: row.try_get("kind")?,
        body: serde_json::from_str(row.try_get("body")?).context("reading column body of the store")?,
        source: Some(Source {
            attempt: row.try_get("attempt")?,
            boot_id: row.try_get("boot_id")?,
            seq: row.try_get("seq")?,
            mono_ms: row.try_get("mono_ms")?,
        }),
    })
}

fn audit_line(row: &SqliteRow) -> Result<Line> {
    let text = |column: &str| row.try_get::<Option<String>, _>(column);
    let (cause, actor, detail) = (text("cause")?, text("actor")?, text("detail")?);
    let kind: String = row.try_get("kind")?;
    let body = match kind.as_str() {
        "state" => {
            json!({"from": text("from_state")?, "to": text("to_state")?, "cause": cause, "actor": actor, "detail": detail})
        }
        _ => json!({"cause": cause, "actor": actor, "detail": detail}),
    };
    Ok(Line { at: row.try_get("at")?, node: row.try_get("node")?, kind, body, source: None })
}
