//! What addhost changes: machines become nodes, or take a node's place. Each change is one transaction, with what plugins
//! are to be told of it, so that a kill at any moment loses nothing and leaves nothing half done.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use anyhow::Result;
use sqlx::Row as _;
use thiserror::Error;
use uuid::Uuid;

use super::attempts::arm;
use super::nodes::{Node, change_machine, owner, save};
use super::{Store, Write, parsed_option};
use crate::addresses::{Mac, swapped};

/// Why a machine does not become a node.
#[derive(Debug, Error)]
pub enum Refused {
    /// It is one.
    #[error("{mac} is the node {node} already")]
    Mac {
        /// Its MAC address.
        mac: Mac,
        /// The node.
        node: String,
    },
    /// It is one, with another interface.
    #[error(
        "{mac} is of the machine {uuid}, which is the node {node} already; if that has a new interface: \
         headnode addhost --replace {node}"
    )]
    Machine {
        /// Its MAC address.
        mac: Mac,
        /// Its own id.
        uuid: Uuid,
        /// The node.
        node: String,
    },
    /// Its name is another's.
    #[error("the name {0} is taken")]
    Name(String),
    /// Its address is another's.
    #[error("the address {0} is taken")]
    Address(Ipv4Addr),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] anyhow::Error),
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What plugins are still to be told of.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// Key in the store.
    pub id: i64,
    /// The node that was added, or whose machine was replaced.
    pub node: Node,
    /// The MAC address of the machine that was replaced.
    pub replaced: Option<Mac>,
}

impl Store {
    /// Makes machines nodes: all, or none. `install`: arms them.
    ///
    /// # Errors
    /// [`Refused`], at the first that cannot be one.
    pub async fn enrol(&self, newcomers: &[Node], install: bool, actor: &str) -> Result<(), Refused> {
        let mut write = self.write().await?;
        for node in newcomers {
            check_machine(&mut write, 0, &node.mac, node.machine).await?;
            check_place(&mut write, node).await?;
            let id = save(&mut write, node).await?;
            if install {
                arm(&mut write, id, actor).await?;
            }
            announce(&mut write, "added", id, None).await?;
        }
        Ok(write.commit().await?)
    }

    /// Puts a machine in a node's place; the node stays what it is. `install`: arms it.
    ///
    /// # Errors
    /// [`Refused`] when the machine is another node, or the node is gone or has another machine meanwhile.
    pub async fn replace(
        &self,
        node: &Node,
        mac: &Mac,
        uuid: Option<Uuid>,
        install: bool,
        actor: &str,
    ) -> Result<(), Refused> {
        let mut write = self.write().await?;
        check_machine(&mut write, node.id, mac, uuid).await?;
        change_machine(&mut write, node, mac, uuid, actor).await?;
        if install {
            arm(&mut write, node.id, actor).await?;
        }
        announce(&mut write, "replaced", node.id, Some(&node.mac)).await?;
        Ok(write.commit().await?)
    }

    /// The node whose machine has this id, if there is one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn node_by_uuid(&self, uuid: Uuid) -> Result<Option<String>> {
        let row = sqlx::query("SELECT name FROM nodes WHERE uuid IN (?, ?)")
            .bind(uuid.to_string())
            .bind(swapped(uuid).to_string())
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|row| row.try_get("name")).transpose()?)
    }

    /// Names and addresses that nodes and hosts have.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn taken(&self) -> Result<(Vec<String>, HashSet<Ipv4Addr>)> {
        let rows = sqlx::query("SELECT name, address FROM nodes UNION ALL SELECT name, address FROM hosts")
            .fetch_all(&self.pool)
            .await?;
        let (mut names, mut addresses) = (Vec::new(), HashSet::new());
        for row in &rows {
            names.push(row.try_get("name")?);
            addresses.extend(parsed_option::<Ipv4Addr>(row, "address")?);
        }
        Ok((names, addresses))
    }

    /// What plugins are still to be told of, in order.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn announcements(&self) -> Result<Vec<Announcement>> {
        let rows = sqlx::query(
            "SELECT nodes.*, announcements.id AS announcement, announcements.mac AS replaced
             FROM announcements JOIN nodes ON nodes.id = announcements.node ORDER BY announcements.id",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut found = Vec::new();
        for row in &rows {
            let (id, node) = (row.try_get("announcement")?, Node::of(row)?);
            found.push(Announcement { id, node, replaced: parsed_option(row, "replaced")? });
        }
        Ok(found)
    }

    /// Plugins were told.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn announced(&self, id: i64) -> Result<()> {
        sqlx::query("DELETE FROM announcements WHERE id = ?").bind(id).execute(&self.pool).await?;
        Ok(())
    }
}

/// Neither its interface nor the machine itself is another node than `id`.
async fn check_machine(write: &mut Write, id: i64, mac: &Mac, uuid: Option<Uuid>) -> Result<(), Refused> {
    let name = |row: sqlx::sqlite::SqliteRow| row.try_get::<String, _>("name");
    let by_mac = sqlx::query("SELECT name FROM nodes WHERE mac = ?").bind(mac.as_str());
    if let Some(row) = by_mac.fetch_optional(&mut **write).await? {
        return Err(Refused::Mac { mac: mac.clone(), node: name(row)? });
    }
    let Some(uuid) = uuid else { return Ok(()) };
    match owner(write, id, uuid).await? {
        Some(node) => Err(Refused::Machine { mac: mac.clone(), uuid, node }),
        None => Ok(()),
    }
}

/// Nobody has its name or its address.
async fn check_place(write: &mut Write, node: &Node) -> Result<(), Refused> {
    let name = sqlx::query("SELECT 1 FROM nodes WHERE name = ?1 UNION SELECT 1 FROM hosts WHERE name = ?1")
        .bind(&node.name);
    if name.fetch_optional(&mut **write).await?.is_some() {
        return Err(Refused::Name(node.name.clone()));
    }
    let Some(wanted) = node.address else { return Ok(()) };
    let address =
        sqlx::query("SELECT 1 FROM nodes WHERE address = ?1 UNION SELECT 1 FROM hosts WHERE address = ?1")
            .bind(wanted.to_string());
    match address.fetch_optional(&mut **write).await? {
        Some(_) => Err(Refused::Address(wanted)),
        None => Ok(()),
    }
}

async fn announce(write: &mut Write, verb: &str, node: i64, replaced: Option<&Mac>) -> Result<()> {
    sqlx::query("INSERT INTO announcements (verb, node, mac) VALUES (?, ?, ?)")
        .bind(verb)
        .bind(node)
        .bind(replaced.map(Mac::as_str))
        .execute(&mut **write)
        .await?;
    Ok(())
}
