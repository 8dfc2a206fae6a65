//! Nodes and their states.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::attempts::end_arming;
use super::notices::{Notice, notice};
use super::tpms::forget;
use super::{Store, Write, parsed, parsed_option, refused};
use crate::addresses::{Mac, swapped};
use crate::clock;
use crate::state::{Cause, State};

/// A node.
#[derive(Clone, Debug, Deserialize)]
pub struct Node {
    /// Key in the store; 0 before it is added.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its group's name.
    pub group: String,
    /// Its network's name.
    pub network: String,
    /// MAC address of its boot interface.
    pub mac: Mac,
    /// Its reserved address.
    pub address: Option<Ipv4Addr>,
    /// Its id in the site's own inventory.
    pub uid: Option<String>,
    /// The id of its machine (SMBIOS), if no other is to be installed as this node.
    pub machine: Option<Uuid>,
    /// TOML that is merged over the group's document.
    pub overrides: String,
    /// Its state.
    pub state: State,
    /// Since when, milliseconds since 1970.
    pub since: i64,
    /// When it last asked for a boot script.
    pub seen_at: Option<i64>,
}

/// A MAC address that asked for a boot script and is no node.
#[derive(Clone, Debug)]
pub struct Stranger {
    /// The MAC address that it named.
    pub mac: Mac,
    /// The machine's own id, if it named one.
    pub uuid: Option<Uuid>,
    /// Where from.
    pub address: String,
    /// When first, milliseconds since 1970.
    pub first_seen: i64,
    /// When last.
    pub last_seen: i64,
}

/// A node's state becomes what follows on `cause`, and the audit log says so. `None` if it cannot come now: nothing
/// is changed. The only way in which a state changes.
///
/// # Errors
/// When the database cannot be written.
pub async fn transition(
    write: &mut Write,
    node: i64,
    cause: Cause,
    actor: &str,
    detail: &str,
) -> Result<Option<State>> {
    let row =
        sqlx::query("SELECT name, state FROM nodes WHERE id = ?").bind(node).fetch_one(&mut **write).await?;
    let from: State = parsed(&row, "state")?;
    let Some(to) = from.after(cause) else { return Ok(None) };
    let now = clock::now_ms();
    sqlx::query("UPDATE nodes SET state = ?, since = ? WHERE id = ?")
        .bind(to.name())
        .bind(now)
        .bind(node)
        .execute(&mut **write)
        .await?;
    sqlx::query(
        "INSERT INTO audit (at, kind, node, actor, cause, from_state, to_state, detail)
         VALUES (?, 'state', ?, ?, ?, ?, ?, ?)",
    )
    .bind(now)
    .bind(row.try_get::<String, _>("name")?)
    .bind(actor)
    .bind(cause.name())
    .bind(from.name())
    .bind(to.name())
    .bind(detail)
    .execute(&mut **write)
    .await?;
    Ok(Some(to))
}

/// Adds or changes a node (but not its state) within a larger change; its id.
///
/// # Errors
/// When its name, MAC or address is another node's.
pub async fn save(write: &mut Write, node: &Node) -> Result<i64> {
    check_unique(write, node.id, node.machine).await?;
    let row = sqlx::query(
        "INSERT INTO nodes (id, name, group_name, network, mac, address, uid, uuid, overrides, state, since)
         VALUES (nullif(?, 0), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, group_name = excluded.group_name,
             network = excluded.network, mac = excluded.mac, address = excluded.address,
             uid = excluded.uid, uuid = excluded.uuid, overrides = excluded.overrides
         RETURNING id",
    )
    .bind(node.id)
    .bind(&node.name)
    .bind(&node.group)
    .bind(&node.network)
    .bind(node.mac.as_str())
    .bind(node.address.map(|address| address.to_string()))
    .bind(&node.uid)
    .bind(node.machine.map(|machine| machine.to_string()))
    .bind(&node.overrides)
    .bind(node.state.name())
    .bind(clock::now_ms())
    .fetch_one(&mut **write)
    .await
    .map_err(|error| {
        refused(error, |message| taken(node, message), || "its group or network is gone".into())
    })?;
    let id = row.try_get("id")?;
    if forget_stranger(write, &node.mac).await? {
        transition(write, id, Cause::Seen, "server", "asked for a boot script before it was added").await?;
    }
    Ok(id)
}

/// A machine is one node only; its id may be known in either byte order.
async fn check_unique(write: &mut Write, node: i64, machine: Option<Uuid>) -> Result<()> {
    let Some(id) = machine else { return Ok(()) };
    match owner(write, node, id).await? {
        Some(name) => bail!("{name} is the machine {id} already"),
        None => Ok(()),
    }
}

/// The node, other than `node`, that is this machine.
///
/// # Errors
/// When the database cannot be read.
pub(super) async fn owner(write: &mut Write, node: i64, machine: Uuid) -> Result<Option<String>> {
    let row = sqlx::query("SELECT name FROM nodes WHERE uuid IN (?, ?) AND id != ?")
        .bind(machine.to_string())
        .bind(swapped(machine).to_string())
        .bind(node)
        .fetch_optional(&mut **write)
        .await?;
    Ok(row.map(|row| row.try_get("name")).transpose()?)
}

/// Puts a machine in a node's place. What was going on was the old machine's and ends; the new one boots its own disk
/// until somebody arms it. The only way in which a node's MAC address changes.
///
/// # Errors
/// When the MAC address is another node's, or the node is no longer what `node` says.
pub async fn change_machine(
    write: &mut Write,
    node: &Node,
    mac: &Mac,
    uuid: Option<Uuid>,
    actor: &str,
) -> Result<()> {
    check_unique(write, node.id, uuid).await?;
    // Ids of nodes that are gone are used again: the name tells them apart.
    let changed = sqlx::query("UPDATE nodes SET mac = ?, uuid = ? WHERE id = ? AND name = ? AND mac = ?")
        .bind(mac.as_str())
        .bind(uuid.map(|uuid| uuid.to_string()))
        .bind(node.id)
        .bind(&node.name)
        .bind(node.mac.as_str())
        .execute(&mut **write)
        .await
        .map_err(|error| {
            refused(error, |_| format!("another node has the MAC address {mac}"), String::new)
        })?;
    ensure!(changed.rows_affected() == 1, "{}", meanwhile(&node.name));
    end_arming(write, node.id).await?;
    forget(write, node.id).await?;
    let own = |mac: &Mac, id: Option<Uuid>| match id {
        Some(id) => format!("{mac} ({id})"),
        None => mac.to_string(),
    };
    let detail = format!("{} takes the place of {}", own(mac, uuid), own(&node.mac, node.machine));
    transition(write, node.id, Cause::BootLocal, actor, &detail).await?;
    forget_stranger(write, mac).await?;
    notice(write, Notice { node: &node.name, actor, cause: "replaced", detail: &detail }).await
}

/// Whether it was one.
async fn forget_stranger(write: &mut Write, mac: &Mac) -> Result<bool> {
    let gone =
        sqlx::query("DELETE FROM strangers WHERE mac = ?").bind(mac.as_str()).execute(&mut **write).await?;
    Ok(gone.rows_affected() == 1)
}

/// All nodes as they are for a larger change.
///
/// # Errors
/// When the database cannot be read.
pub(super) async fn all(write: &mut Write) -> Result<Vec<Node>> {
    let rows = sqlx::query("SELECT * FROM nodes").fetch_all(&mut **write).await?;
    rows.iter().map(Node::of).collect()
}

fn meanwhile(name: &str) -> String {
    format!("the node {name} was changed meanwhile: run it again")
}

impl Node {
    /// Whether all that an admin may change of a node is alike.
    fn is_like(&self, other: &Self) -> bool {
        let fields = |node: &Self| {
            let Self { id, name, group, network, mac, address, uid, machine, overrides, .. } = node.clone();
            (id, name, group, network, mac, address, uid, machine, overrides)
        };
        fields(self) == fields(other)
    }

    pub(super) fn of(row: &SqliteRow) -> Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            group: row.try_get("group_name")?,
            network: row.try_get("network")?,
            mac: parsed(row, "mac")?,
            address: parsed_option(row, "address")?,
            uid: row.try_get("uid")?,
            machine: parsed_option(row, "uuid")?,
            overrides: row.try_get("overrides")?,
            state: parsed(row, "state")?,
            since: row.try_get("since")?,
            seen_at: row.try_get("seen_at")?,
        })
    }
}

impl Store {
    /// Adds a node.
    ///
    /// # Errors
    /// When its name, MAC or address is another node's.
    pub async fn save_node(&self, node: &Node) -> Result<()> {
        let mut write = self.write().await?;
        save(&mut write, node).await?;
        Ok(write.commit().await?)
    }

    /// Changes nodes, from what was read of each to what it is to be (but not their states): all or none.
    ///
    /// # Errors
    /// When a name, MAC or address is another node's, or a node is no longer what was read.
    pub async fn save_nodes(&self, changed: &[(Node, Node)], actor: &str) -> Result<()> {
        let mut write = self.write().await?;
        let nodes: HashMap<i64, Node> =
            all(&mut write).await?.into_iter().map(|node| (node.id, node)).collect();
        for (old, new) in changed {
            ensure!(nodes.get(&old.id).is_some_and(|node| node.is_like(old)), "{}", meanwhile(&old.name));
            let other = old.machine.is_some() && new.machine.is_some() && old.machine != new.machine;
            if old.mac != new.mac || other {
                change_machine(&mut write, old, &new.mac, new.machine, actor).await?;
            }
            save(&mut write, new).await?;
        }
        Ok(write.commit().await?)
    }

    /// All nodes, by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn nodes(&self) -> Result<Vec<Node>> {
        self.list(
            // As a node's fields follow each other: names would double the text.
            "SELECT json_group_array(json_array(id, name, group_name, network, mac, address, uid, uuid, overrides,
                 state, since, seen_at) ORDER BY name) FROM nodes",
        )
        .await
    }

    /// One node.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn node(&self, name: &str) -> Result<Node> {
        let row =
            sqlx::query("SELECT * FROM nodes WHERE name = ?").bind(name).fetch_optional(&self.pool).await?;
        Node::of(&row.with_context(|| format!("there is no node `{name}`: see `headnode node list`"))?)
    }

    /// The node with a MAC address, if there is one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn node_by_mac(&self, mac: &Mac) -> Result<Option<Node>> {
        let row = sqlx::query("SELECT * FROM nodes WHERE mac = ?")
            .bind(mac.as_str())
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(Node::of).transpose()
    }

    /// Removes a node with its armings and events; the audit log keeps its name.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn remove_node(&self, name: &str) -> Result<()> {
        let removed = sqlx::query("DELETE FROM nodes WHERE name = ?").bind(name).execute(&self.pool).await?;
        ensure!(removed.rows_affected() == 1, "there is no node `{name}`: see `headnode node list`");
        Ok(())
    }

    /// A node asked for a boot script.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn see_node(&self, node: i64, peer: &str) -> Result<()> {
        let mut write = self.write().await?;
        sqlx::query("UPDATE nodes SET seen_at = ? WHERE id = ?")
            .bind(clock::now_ms())
            .bind(node)
            .execute(&mut *write)
            .await?;
        transition(&mut write, node, Cause::Seen, peer, "asked for a boot script").await?;
        Ok(write.commit().await?)
    }

    /// Somebody who is no node asked for a boot script. Only the thousand that asked last are kept: anybody can make
    /// up addresses.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn see_stranger(&self, mac: &Mac, uuid: Option<Uuid>, peer: &str) -> Result<()> {
        let mut write = self.write().await?;
        sqlx::query(
            "INSERT INTO strangers (mac, address, first_seen, last_seen, uuid) VALUES (?1, ?2, ?3, ?3, ?4)
             ON CONFLICT (mac) DO UPDATE SET address = excluded.address, last_seen = excluded.last_seen,
                 uuid = excluded.uuid",
        )
        .bind(mac.as_str())
        .bind(peer)
        .bind(clock::now_ms())
        .bind(uuid.map(|uuid| uuid.to_string()))
        .execute(&mut *write)
        .await?;
        sqlx::query("DELETE FROM strangers WHERE mac NOT IN (SELECT mac FROM strangers ORDER BY last_seen DESC LIMIT 1000)")
            .execute(&mut *write)
            .await?;
        Ok(write.commit().await?)
    }

    /// Who asked and is no node, by MAC.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn strangers(&self) -> Result<Vec<Stranger>> {
        let rows = sqlx::query("SELECT * FROM strangers ORDER BY mac").fetch_all(&self.pool).await?;
        let read = |row: &SqliteRow| {
            Ok(Stranger {
                mac: parsed(row, "mac")?,
                uuid: parsed_option(row, "uuid")?,
                address: row.try_get("address")?,
                first_seen: row.try_get("first_seen")?,
                last_seen: row.try_get("last_seen")?,
            })
        };
        rows.iter().map(read).collect()
    }
}

/// SQLite names the column: `UNIQUE constraint failed: nodes.mac`.
fn taken(node: &Node, message: &str) -> String {
    match message.rsplit('.').next() {
        Some("mac") => format!("another node has the MAC address {}", node.mac),
        Some("address") => {
            format!(
                "another node has the address {}",
                node.address.map_or_else(String::new, |ip| ip.to_string())
            )
        }
        _ => format!("there is a node `{}` already: change it with `headnode node set`", node.name),
    }
}
