//! The store's content as rows of plain values: what `export` writes and `import` reads. What nodes reported, attempts,
//! escrows and the audit log are no part of it; they belong to this one head node.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::attempts::may_try;
use super::nodes::{self, Node};
use super::notices::{Notice, notice};
use super::{Store, Write, refused};
use crate::addresses::Mac;
use crate::clock;
use crate::state::State;
use crate::store_file::{Line, Tables};

/// A table in the order of what refers to what.
struct Table {
    name: &'static str,
    /// What tells its rows apart.
    keys: &'static [&'static str],
    /// Columns that are this store's own business.
    hidden: &'static [&'static str],
    /// Columns that a row that is there already keeps.
    kept: &'static [&'static str],
}

const fn table(name: &'static str, keys: &'static [&'static str]) -> Table {
    Table { name, keys, hidden: &[], kept: &[] }
}

const TABLES: &[Table] = &[
    table("settings", &["key"]),
    table("networks", &["name"]),
    table("images", &["name"]),
    table("netboots", &["name"]),
    table("oses", &["name"]),
    table("scripts", &["name", "digest"]),
    table("groups", &["name"]),
    table("hosts", &["name"]),
    Table { hidden: &["id"], kept: &["state", "since", "seen_at"], ..table("nodes", &["name"]) },
];
/// The armings that are not over, with their nodes' names.
const ARMINGS: &str = "armings";
/// Why nodes are locked, with their names.
const LOCKS: &str = "locks";

/// What a row of [`TABLES`] gets where a file says nothing.
fn fill(table: &str, line: &mut Line) {
    let now = clock::now_ms();
    let defaults: &[(&str, Value)] = match table {
        "nodes" => &[("state", json!("unknown")), ("since", json!(now)), ("overrides", json!(""))],
        "groups" => &[("changed_at", json!(now))],
        "networks" => &[("dns", json!("[]")), ("dhcp", json!("managed")), ("mac_proof", json!("link"))],
        "netboots" | "scripts" | "hosts" => &[("added_at", json!(now))],
        "images" | "oses" => &[("imported_at", json!(now))],
        _ => &[],
    };
    for (column, value) in defaults {
        line.entry(*column).or_insert_with(|| value.clone());
    }
}

impl Store {
    /// Everything, each table's rows in the order of their keys.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn dump(&self) -> Result<Tables> {
        let mut tables = Tables::new();
        for table in TABLES {
            let columns = self.columns(table).await?;
            let pairs: Vec<String> = columns.iter().map(|column| format!("'{column}', {column}")).collect();
            let (pairs, keys) = (pairs.join(", "), table.keys.join(", "));
            let sql = format!("SELECT json_object({pairs}) FROM {} ORDER BY {keys}", table.name);
            tables.insert(table.name.into(), self.lines(sql).await?);
        }
        let armings =
            "SELECT json_object('id', armings.id, 'node', nodes.name, 'armed_at', armed_at, 'tries', tries)
             FROM armings JOIN nodes ON nodes.id = armings.node WHERE ended_at IS NULL ORDER BY nodes.name";
        tables.insert(ARMINGS.into(), self.lines(armings.into()).await?);
        let locks =
            "SELECT json_object('node', nodes.name, 'reason', reason, 'actor', actor, 'locked_at', locked_at)
             FROM locks JOIN nodes ON nodes.id = locks.node ORDER BY nodes.name";
        tables.insert(LOCKS.into(), self.lines(locks.into()).await?);
        Ok(tables)
    }

    /// `sql` is made of names in this file and of the schema's own.
    async fn lines(&self, sql: String) -> Result<Vec<Line>> {
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&self.pool).await?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            let mut line: Line =
                serde_json::from_str(row.try_get(0)?).context("reading a row of the store")?;
            line.retain(|_, value| !value.is_null());
            Ok(line)
        };
        rows.iter().map(read).collect()
    }

    async fn columns(&self, table: &Table) -> Result<Vec<String>> {
        let rows = sqlx::query("SELECT name FROM pragma_table_info(?) ORDER BY cid")
            .bind(table.name)
            .fetch_all(&self.pool)
            .await?;
        let mut columns = rows.iter().map(|row| row.try_get("name")).collect::<Result<Vec<String>, _>>()?;
        columns.retain(|column| !table.hidden.contains(&column.as_str()));
        Ok(columns)
    }

    /// Adds rows, and puts them in the place of those with the same keys: all or none. A node that is there keeps its
    /// state and its arming, unless its MAC address changes. The names of new nodes that the rows would have installed:
    /// with `armings` they are armed as the rows say, else they are `local`.
    ///
    /// # Errors
    /// When a table or a column is not known, or rows contradict each other or what is there.
    pub async fn load(&self, mut tables: Tables, armings: bool, actor: &str) -> Result<Vec<String>> {
        let mut columns = Vec::new();
        for table in TABLES {
            columns.push((table, self.columns(table).await?));
        }
        let mut write = self.write().await?;
        let known: HashMap<String, Node> =
            nodes::all(&mut write).await?.into_iter().map(|node| (node.name.clone(), node)).collect();
        let lines = tables.get_mut("nodes").map(Vec::as_mut_slice).unwrap_or_default();
        let armed = settle(lines, &known, armings);
        for line in lines {
            change_machine(&mut write, line, &known, actor).await.context("importing nodes")?;
        }
        for (table, columns) in columns {
            let lines = tables.remove(table.name).unwrap_or_default();
            merge(&mut write, table, &columns, lines)
                .await
                .with_context(|| format!("importing {}", table.name))?;
        }
        let mut open = tables.remove(ARMINGS).unwrap_or_default();
        open.retain(|line| armings && word(line, "node").is_some_and(|node| !known.contains_key(node)));
        arm(&mut write, open).await.context("importing armings")?;
        lock(&mut write, tables.remove(LOCKS).unwrap_or_default()).await.context("importing locks")?;
        if let Some(name) = tables.keys().next() {
            bail!("`{name}` is no part of a store; docs/headnode.md has them all");
        }
        notice(&mut write, Notice { node: "-", actor, cause: "import", detail: "rows of a file" }).await?;
        write.commit().await?;
        Ok(armed)
    }
}

fn word<'a>(line: &'a Line, column: &str) -> Option<&'a str> {
    line.get(column).and_then(Value::as_str)
}

/// The names of new nodes that may install at their next boot. An old file must not wipe what runs today: unless that is
/// wanted, they boot their own disks.
fn settle(lines: &mut [Line], known: &HashMap<String, Node>, armings: bool) -> Vec<String> {
    let mut armed = Vec::new();
    for line in lines {
        let state = word(line, "state").and_then(|state| state.parse().ok());
        let Some(name) = word(line, "name").filter(|name| !known.contains_key(*name)) else { continue };
        if state.is_some_and(|state| may_try(state, true)) {
            armed.push(name.to_owned());
            if !armings {
                line.insert("state".into(), State::Local.name().into());
            }
        }
    }
    armed
}

/// A row of a known node with another MAC address or another id is another machine; an id that stayed in the row with another
/// MAC address is the old one's.
async fn change_machine(
    write: &mut Write,
    line: &mut Line,
    known: &HashMap<String, Node>,
    actor: &str,
) -> Result<()> {
    let Some(node) = word(line, "name").and_then(|name| known.get(name)) else { return Ok(()) };
    let mac: Mac = word(line, "mac").map_or(Ok(node.mac.clone()), str::parse)?;
    let id: Option<Uuid> = word(line, "uuid").map(str::parse).transpose()?;
    if mac == node.mac && (id == node.machine || id.is_none() || node.machine.is_none()) {
        return Ok(());
    }
    if id == node.machine {
        line.remove("uuid");
    }
    nodes::change_machine(write, node, &mac, None, actor).await
}

async fn merge(write: &mut Write, table: &Table, columns: &[String], mut lines: Vec<Line>) -> Result<()> {
    for line in &mut lines {
        fill(table.name, line);
        if let Some(unknown) = line.keys().find(|key| !columns.contains(key)) {
            bail!("`{unknown}` is not known there; known are {}", columns.join(", "));
        }
        let missing = table.keys.iter().find(|key| !line.contains_key(**key));
        ensure!(missing.is_none(), "a row has no `{}`", missing.copied().unwrap_or_default());
    }
    let extracted: Vec<String> =
        columns.iter().map(|column| format!("json_extract(value, '$.{column}')")).collect();
    let changes = columns.iter().filter(|column| {
        let column = column.as_str();
        !table.keys.contains(&column) && !table.kept.contains(&column)
    });
    let changes: Vec<String> = changes.map(|column| format!("{column} = excluded.{column}")).collect();
    let sql = format!(
        "INSERT INTO {} ({}) SELECT {} FROM json_each(?) WHERE true ON CONFLICT ({}) DO UPDATE SET {}",
        table.name,
        columns.join(", "),
        extracted.join(", "),
        table.keys.join(", "),
        changes.join(", ")
    );
    let merged =
        sqlx::query(AssertSqlSafe(sql)).bind(serde_json::to_string(&lines)?).execute(&mut **write).await;
    let twice = |message: &str| {
        let column = message.rsplit('.').next().unwrap_or_default();
        format!("two rows, here or in the store, have the same {column}")
    };
    merged.map_err(|error| {
        refused(error, twice, || "a row names a group or a network that is not there".into())
    })?;
    Ok(())
}

async fn lock(write: &mut Write, locks: Vec<Line>) -> Result<()> {
    sqlx::query(
        "INSERT OR REPLACE INTO locks (node, reason, actor, locked_at)
         SELECT nodes.id, json_extract(value, '$.reason'), json_extract(value, '$.actor'),
             json_extract(value, '$.locked_at')
         FROM json_each(?) JOIN nodes ON nodes.name = json_extract(value, '$.node')",
    )
    .bind(serde_json::to_string(&locks)?)
    .execute(&mut **write)
    .await?;
    Ok(())
}

async fn arm(write: &mut Write, armings: Vec<Line>) -> Result<()> {
    sqlx::query(
        "INSERT INTO armings (id, node, armed_at, tries)
         SELECT json_extract(value, '$.id'), nodes.id, json_extract(value, '$.armed_at'), json_extract(value, '$.tries')
         FROM json_each(?) JOIN nodes ON nodes.name = json_extract(value, '$.node')",
    )
    .bind(serde_json::to_string(&armings)?)
    .execute(&mut **write)
    .await?;
    Ok(())
}
