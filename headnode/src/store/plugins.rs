//! What came of calling plugins, and the host keys that they are told.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use serde_json::json;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::Store;
use super::events::Line;
use crate::clock;

/// A call that is over.
#[derive(Clone, Debug)]
pub struct Call {
    /// The plugin's name.
    pub plugin: String,
    /// Why it failed.
    pub failure: Option<String>,
    /// The end of what it said.
    pub output: String,
}

/// What the events keep of plugins.
const CALLS_MAX: i64 = 10_000;

impl Store {
    /// Keeps what came of calls with the same nodes.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn keep_plugin_calls(&self, verb: &str, nodes: &[&str], calls: &[Call]) -> Result<()> {
        let nodes = serde_json::to_string(nodes)?;
        let mut write = self.write().await?;
        for call in calls {
            sqlx::query(
                "INSERT INTO plugin_calls (at, plugin, verb, nodes, failure, output) VALUES (?, ?, ?, ?, ?, ?)",
            )
            .bind(clock::now_ms())
            .bind(&call.plugin)
            .bind(verb)
            .bind(&nodes)
            .bind(&call.failure)
            .bind(&call.output)
            .execute(&mut *write)
            .await?;
        }
        sqlx::query("DELETE FROM plugin_calls WHERE id <= (SELECT max(id) FROM plugin_calls) - ?")
            .bind(CALLS_MAX)
            .execute(&mut *write)
            .await?;
        Ok(write.commit().await?)
    }

    /// The last `limit` calls that told of some nodes (a JSON list of names), or of any; the last first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(super) async fn plugin_lines(&self, nodes: Option<&str>, limit: u32) -> Result<Vec<Line>> {
        let rows = sqlx::query(
            "SELECT * FROM plugin_calls
             WHERE ?1 IS NULL OR EXISTS (SELECT 1 FROM json_each(plugin_calls.nodes) AS told
                 JOIN json_each(?1) AS asked ON asked.value = told.value)
             ORDER BY id DESC LIMIT ?2",
        )
        .bind(nodes)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(line).collect()
    }

    /// What each plugin did last, by its name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn last_plugin_calls(&self) -> Result<HashMap<String, Line>> {
        let rows = sqlx::query(
            "SELECT * FROM plugin_calls WHERE id IN (SELECT max(id) FROM plugin_calls GROUP BY plugin)",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok((row.try_get("plugin")?, line(row)?))).collect()
    }

    /// The public SSH host keys that nodes reported last, by the nodes' keys in the store.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn host_keys(&self) -> Result<HashMap<i64, Vec<String>>> {
        let rows = sqlx::query("SELECT node, body FROM events WHERE kind = 'host-keys' ORDER BY node, id")
            .fetch_all(&self.pool)
            .await?;
        let read = |row: &SqliteRow| {
            let body: serde_json::Value =
                serde_json::from_str(row.try_get("body")?).context("reading column body of the store")?;
            let keys = body["keys"].as_array().into_iter().flatten();
            Ok((row.try_get("node")?, keys.filter_map(|key| key.as_str().map(str::to_owned)).collect()))
        };
        // Of one node's the last counts.
        rows.iter().map(read).collect()
    }
}

/// A call that told of several nodes is of none of them alone.
fn line(row: &SqliteRow) -> Result<Line> {
    let nodes: Vec<String> =
        serde_json::from_str(row.try_get("nodes")?).context("reading column nodes of the store")?;
    let node = match &nodes[..] {
        [only] => only.clone(),
        _ => String::new(),
    };
    let (failure, output): (Option<String>, String) = (row.try_get("failure")?, row.try_get("output")?);
    let (plugin, verb): (String, String) = (row.try_get("plugin")?, row.try_get("verb")?);
    let body = json!({"plugin": plugin, "verb": verb, "nodes": nodes, "failure": failure, "output": output});
    Ok(Line { at: row.try_get("at")?, node, kind: "plugin".into(), body, source: None })
}
