//! Machines that are not ours to boot (switches, storage, a site's servers): their names and addresses are taken.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::nodes::{self, Node};
use super::{Store, Write, parsed, refused};
use crate::clock;

/// A machine that is not ours to boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its network's name.
    pub network: String,
    /// Its address.
    pub address: Ipv4Addr,
}

impl Store {
    /// Adds hosts: all, or none.
    ///
    /// # Errors
    /// When a name or an address is another host's or a node's.
    pub async fn add_hosts(&self, hosts: &[Host]) -> Result<()> {
        self.add_machines(&[], hosts).await
    }

    /// Adds nodes and hosts: all, or none.
    ///
    /// # Errors
    /// When a name, a MAC or an address is somebody's already.
    pub async fn add_machines(&self, nodes: &[Node], hosts: &[Host]) -> Result<()> {
        let mut write = self.write().await?;
        for node in nodes {
            nodes::save(&mut write, node).await?;
        }
        for host in hosts {
            add(&mut write, host).await?;
        }
        Ok(write.commit().await?)
    }

    /// All hosts, by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn hosts(&self) -> Result<Vec<Host>> {
        let rows = sqlx::query("SELECT * FROM hosts ORDER BY name").fetch_all(&self.pool).await?;
        let read = |row: &SqliteRow| {
            let address = parsed(row, "address")?;
            Ok(Host { name: row.try_get("name")?, network: row.try_get("network")?, address })
        };
        rows.iter().map(read).collect()
    }

    /// Removes a host.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn remove_host(&self, name: &str) -> Result<()> {
        let removed = sqlx::query("DELETE FROM hosts WHERE name = ?").bind(name).execute(&self.pool).await?;
        ensure!(removed.rows_affected() == 1, "there is no host `{name}`: see `headnode host list`");
        Ok(())
    }
}

async fn add(write: &mut Write, host: &Host) -> Result<()> {
    let Host { name, network, address } = host;
    sqlx::query("INSERT INTO hosts (name, network, address, added_at) VALUES (?, ?, ?, ?)")
        .bind(name)
        .bind(network)
        .bind(address.to_string())
        .bind(clock::now_ms())
        .execute(&mut **write)
        .await
        .map_err(|error| {
            let taken =
                |_: &str| format!("there is a host of the name {name} or the address {address} already");
            refused(error, taken, || format!("there is no network `{network}`"))
        })?;
    Ok(())
}
