//! What admins define beside nodes: networks, images, netboots, groups.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use nii::digest::Digest;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Store, Write, parsed, parsed_option, refused};
use crate::addresses::{Range, Subnet};
use crate::clock;

/// A provisioning network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// The head node's interface on it.
    pub interface: String,
    /// Its addresses.
    pub subnet: Subnet,
    /// The head node's own address.
    pub address: Ipv4Addr,
    /// What unreserved leases come from.
    pub range: Option<Range>,
    /// Default gateway of its nodes.
    pub gateway: Option<Ipv4Addr>,
    /// Name servers of its nodes.
    pub dns: Vec<IpAddr>,
    /// Domain of its nodes.
    pub domain: Option<String>,
    /// Who serves DHCP.
    pub dhcp: Dhcp,
    /// How a node's MAC address is proved.
    pub mac_proof: MacProof,
}

/// Who serves DHCP on a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dhcp {
    /// A dnsmasq that `serve` drives.
    Managed,
    /// The site's own server.
    External,
}

/// How the MAC address behind an IP address is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MacProof {
    /// By ARP on the link, or our lease.
    Link,
    /// Not at all: the request's word is taken. For nodes behind a relay.
    None,
}

/// A named version of an image.
#[derive(Clone, Debug)]
pub struct ImageRow {
    /// The name.
    pub name: String,
    /// Digest of its manifest, and its folder.
    pub digest: Digest,
    /// When it was imported, milliseconds since 1970.
    pub imported_at: i64,
}

/// A kernel and an initrd.
#[derive(Clone, Debug)]
pub struct Netboot {
    /// The name.
    pub name: String,
    /// Digest of the kernel.
    pub kernel: Digest,
    /// Digest of the initrd.
    pub initrd: Digest,
    /// Digest of our segment, if the initrd is a distribution's installer.
    pub segment: Option<Digest>,
    /// When it was added, milliseconds since 1970.
    pub added_at: i64,
}

/// A group and its document's text.
#[derive(Clone, Debug)]
pub struct Group {
    /// The name.
    pub name: String,
    /// TOML.
    pub document: String,
    /// When it was last changed, milliseconds since 1970.
    pub changed_at: i64,
}

/// The text that serde makes of a unit variant.
fn word(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_value(value)?.as_str().unwrap_or_default().to_owned())
}

fn from_word<T: for<'a> Deserialize<'a>>(row: &SqliteRow, column: &'static str) -> Result<T> {
    let text: String = row.try_get(column)?;
    serde_json::from_value(text.into()).with_context(|| format!("reading column {column} of the store"))
}

impl Network {
    fn of(row: &SqliteRow) -> Result<Self> {
        Ok(Self {
            name: row.try_get("name")?,
            interface: row.try_get("interface")?,
            subnet: parsed(row, "subnet")?,
            address: parsed(row, "address")?,
            range: parsed_option(row, "range")?,
            gateway: parsed_option(row, "gateway")?,
            dns: serde_json::from_str(row.try_get("dns")?).context("reading column dns of the store")?,
            domain: row.try_get("domain")?,
            dhcp: from_word(row, "dhcp")?,
            mac_proof: from_word(row, "mac_proof")?,
        })
    }
}

impl Store {
    /// Adds a network.
    ///
    /// # Errors
    /// When its name or address is taken.
    pub async fn add_network(&self, network: &Network) -> Result<()> {
        sqlx::query(
            "INSERT INTO networks (name, interface, subnet, address, range, gateway, dns, domain, dhcp, mac_proof)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&network.name)
        .bind(&network.interface)
        .bind(network.subnet.to_string())
        .bind(network.address.to_string())
        .bind(network.range.map(|range| range.to_string()))
        .bind(network.gateway.map(|gateway| gateway.to_string()))
        .bind(serde_json::to_string(&network.dns)?)
        .bind(&network.domain)
        .bind(word(&network.dhcp)?)
        .bind(word(&network.mac_proof)?)
        .execute(&self.pool)
        .await
        .map_err(|error| {
            let taken = |_: &str| format!("there is a network of the name {} or the address {} already", network.name, network.address);
            refused(error, taken, String::new)
        })?;
        Ok(())
    }

    /// All networks, by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn networks(&self) -> Result<Vec<Network>> {
        let rows = sqlx::query("SELECT * FROM networks ORDER BY name").fetch_all(&self.pool).await?;
        rows.iter().map(Network::of).collect()
    }

    /// One network.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn network(&self, name: &str) -> Result<Network> {
        let row = sqlx::query("SELECT * FROM networks WHERE name = ?")
            .bind(name)
            .fetch_optional(&self.pool)
            .await?;
        Network::of(
            &row.with_context(|| format!("there is no network `{name}`: see `headnode network list`"))?,
        )
    }

    /// Removes a network.
    ///
    /// # Errors
    /// When nodes are on it, or there is none of that name.
    pub async fn remove_network(&self, name: &str) -> Result<()> {
        let result = sqlx::query("DELETE FROM networks WHERE name = ?").bind(name).execute(&self.pool).await;
        let in_use = || format!("the network {name} has nodes: remove them first");
        let removed = result.map_err(|error| refused(error, str::to_owned, in_use))?.rows_affected();
        ensure!(removed == 1, "there is no network `{name}`: see `headnode network list`");
        Ok(())
    }

    /// Lets a name mean an image.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn set_image(&self, name: &str, digest: Digest) -> Result<()> {
        sqlx::query("INSERT OR REPLACE INTO images (name, digest, imported_at) VALUES (?, ?, ?)")
            .bind(name)
            .bind(digest.to_string())
            .bind(clock::now_ms())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// All images, by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn images(&self) -> Result<Vec<ImageRow>> {
        let rows = sqlx::query("SELECT * FROM images ORDER BY name").fetch_all(&self.pool).await?;
        let read = |row: &SqliteRow| {
            let digest = parsed(row, "digest")?;
            Ok(ImageRow { name: row.try_get("name")?, digest, imported_at: row.try_get("imported_at")? })
        };
        rows.iter().map(read).collect()
    }

    /// Forgets an image's name.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn remove_image(&self, name: &str) -> Result<()> {
        let removed = sqlx::query("DELETE FROM images WHERE name = ?").bind(name).execute(&self.pool).await?;
        ensure!(removed.rows_affected() == 1, "there is no image `{name}`: see `headnode image list`");
        Ok(())
    }

    /// Lets a name mean a kernel and an initrd.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn set_netboot(&self, netboot: &Netboot) -> Result<()> {
        let mut write = self.write().await?;
        put_netboot(&mut write, netboot).await?;
        Ok(write.commit().await?)
    }

    /// All netboots, by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn netboots(&self) -> Result<Vec<Netboot>> {
        let rows = sqlx::query("SELECT * FROM netboots ORDER BY name").fetch_all(&self.pool).await?;
        let read = |row: &SqliteRow| {
            Ok(Netboot {
                name: row.try_get("name")?,
                kernel: parsed(row, "kernel")?,
                initrd: parsed(row, "initrd")?,
                segment: parsed_option(row, "segment")?,
                added_at: row.try_get("added_at")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Forgets a netboot.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn remove_netboot(&self, name: &str) -> Result<()> {
        let removed =
            sqlx::query("DELETE FROM netboots WHERE name = ?").bind(name).execute(&self.pool).await?;
        ensure!(removed.rows_affected() == 1, "there is no netboot `{name}`: see `headnode netboot list`");
        Ok(())
    }

    /// Adds a group.
    ///
    /// # Errors
    /// When the name is taken.
    pub async fn add_group(&self, name: &str, document: &str) -> Result<()> {
        sqlx::query("INSERT INTO groups (name, document, changed_at) VALUES (?, ?, ?)")
            .bind(name)
            .bind(document)
            .bind(clock::now_ms())
            .execute(&self.pool)
            .await
            .map_err(|error| {
                let taken = |_: &str| {
                    format!("there is a group `{name}` already: change it with `headnode group set`")
                };
                refused(error, taken, String::new)
            })?;
        Ok(())
    }

    /// Replaces a group's document.
    ///
    /// # Errors
    /// When there is no such group.
    pub async fn set_group(&self, name: &str, document: &str) -> Result<()> {
        let set = sqlx::query("UPDATE groups SET document = ?, changed_at = ? WHERE name = ?")
            .bind(document)
            .bind(clock::now_ms())
            .bind(name)
            .execute(&self.pool)
            .await?;
        ensure!(set.rows_affected() == 1, "there is no group `{name}`: see `headnode group list`");
        Ok(())
    }

    /// All groups, by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn groups(&self) -> Result<Vec<Group>> {
        let rows = sqlx::query("SELECT * FROM groups ORDER BY name").fetch_all(&self.pool).await?;
        let read = |row: &SqliteRow| {
            let document = row.try_get("document")?;
            Ok(Group { name: row.try_get("name")?, document, changed_at: row.try_get("changed_at")? })
        };
        rows.iter().map(read).collect()
    }

    /// One group.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn group(&self, name: &str) -> Result<Group> {
        let found = self.groups().await?.into_iter().find(|group| group.name == name);
        found.with_context(|| format!("there is no group `{name}`: see `headnode group list`"))
    }

    /// Removes a group.
    ///
    /// # Errors
    /// When it has nodes, or there is none of that name.
    pub async fn remove_group(&self, name: &str) -> Result<()> {
        let result = sqlx::query("DELETE FROM groups WHERE name = ?").bind(name).execute(&self.pool).await;
        let in_use =
            || format!("the group {name} has nodes: remove them, or move them to another group, first");
        let removed = result.map_err(|error| refused(error, str::to_owned, in_use))?.rows_affected();
        ensure!(removed == 1, "there is no group `{name}`: see `headnode group list`");
        Ok(())
    }
}

/// Lets a name mean a kernel and an initrd.
///
/// # Errors
/// When the database cannot be written.
pub(super) async fn put_netboot(write: &mut Write, netboot: &Netboot) -> Result<()> {
    sqlx::query(
        "INSERT OR REPLACE INTO netboots (name, kernel, initrd, segment, added_at) VALUES (?, ?, ?, ?, ?)",
    )
    .bind(&netboot.name)
    .bind(netboot.kernel.to_string())
    .bind(netboot.initrd.to_string())
    .bind(netboot.segment.map(|segment| segment.to_string()))
    .bind(netboot.added_at)
    .execute(&mut **write)
    .await?;
    Ok(())
}
