//! Provisioning networks.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteQueryResult, SqliteRow};
use sqlx::{Row as _, SqliteConnection};

use super::{Store, parsed, parsed_option, refused};
use crate::addresses::{Range, Subnet};
use crate::ranges;

/// A provisioning network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// The head node's interface on it, or on the way to it.
    pub interface: String,
    /// Its addresses.
    pub subnet: Subnet,
    /// The head node's own address, as its nodes reach it. One that is not in `subnet`: they are behind a relay.
    pub address: Ipv4Addr,
    /// What unreserved leases come from.
    #[serde(default)]
    pub range: Option<Range>,
    /// Default gateway of its nodes.
    #[serde(default)]
    pub gateway: Option<Ipv4Addr>,
    /// Name servers of its nodes.
    #[serde(default)]
    pub dns: Vec<IpAddr>,
    /// Domain of its nodes.
    #[serde(default)]
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

/// The text that serde makes of a unit variant.
fn word(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_value(value)?.as_str().unwrap_or_default().to_owned())
}

fn from_word<T: for<'a> Deserialize<'a>>(row: &SqliteRow, column: &'static str) -> Result<T> {
    let text: String = row.try_get(column)?;
    serde_json::from_value(text.into()).with_context(|| format!("reading column {column} of the store"))
}

impl Network {
    /// Whether its nodes are behind a relay: the head node has no address in it.
    pub fn is_relayed(&self) -> bool {
        !self.subnet.has_host(self.address)
    }

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

    /// `verb`: what SQLite does with a row of that name.
    async fn write(&self, connection: &mut SqliteConnection, verb: Verb) -> Result<SqliteQueryResult> {
        let sql = match verb {
            Verb::Insert => {
                "INSERT INTO networks (interface, subnet, address, range, gateway, dns, domain, dhcp, mac_proof, name)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            }
            Verb::Update => {
                "UPDATE networks SET interface = ?, subnet = ?, address = ?, range = ?, gateway = ?, dns = ?,
                 domain = ?, dhcp = ?, mac_proof = ? WHERE name = ?"
            }
        };
        let written = sqlx::query(sql)
            .bind(&self.interface)
            .bind(self.subnet.to_string())
            .bind(self.address.to_string())
            .bind(self.range.map(|range| range.to_string()))
            .bind(self.gateway.map(|gateway| gateway.to_string()))
            .bind(serde_json::to_string(&self.dns)?)
            .bind(&self.domain)
            .bind(word(&self.dhcp)?)
            .bind(word(&self.mac_proof)?)
            .bind(&self.name)
            .execute(connection)
            .await;
        let taken = |_: &str| {
            let name = &self.name;
            format!("there is a network `{name}` already: change it with `headnode network set`")
        };
        written.map_err(|error| refused(error, taken, String::new))
    }

    /// Whether all that is on it has a place in it, and it keeps apart from the others.
    async fn check(&self, connection: &mut SqliteConnection) -> Result<()> {
        let placed = "SELECT name, address FROM nodes WHERE network = ?1 AND address IS NOT NULL
                      UNION ALL SELECT name, address FROM hosts WHERE network = ?1";
        let rows = sqlx::query(placed).bind(&self.name).fetch_all(&mut *connection).await?;
        let mut stranded = Vec::new();
        for row in &rows {
            let address: Ipv4Addr = parsed(row, "address")?;
            if !self.subnet.has_host(address) || address == self.address {
                stranded.push(row.try_get::<String, _>("name")?);
            }
        }
        ensure!(
            stranded.is_empty(),
            "{} of the network {} would have no host's address in {}, or the head node's {}: give them others first \
             (headnode node set NODE --network OTHER --ip IP), or change both in an export (headnode export, import)",
            ranges::fold(stranded.iter().map(String::as_str)),
            self.name,
            self.subnet,
            self.address
        );
        for row in sqlx::query("SELECT * FROM networks WHERE name <> ?")
            .bind(&self.name)
            .fetch_all(connection)
            .await?
        {
            let other = Self::of(&row)?;
            ensure!(
                !self.subnet.overlaps(other.subnet),
                "{} of the network {} overlaps {} of the network {}: an address must say which network it is in",
                self.subnet,
                self.name,
                other.subnet,
                other.name
            );
        }
        Ok(())
    }
}

/// See [`Network::write`].
#[derive(Clone, Copy)]
enum Verb {
    Insert,
    Update,
}

impl Store {
    /// Adds a network.
    ///
    /// # Errors
    /// When its name is taken, or its addresses are another's.
    pub async fn add_network(&self, network: &Network) -> Result<()> {
        let mut write = self.write().await?;
        network.check(&mut write).await?;
        network.write(&mut write, Verb::Insert).await?;
        Ok(write.commit().await?)
    }

    /// Whether a network may become `network`.
    ///
    /// # Errors
    /// Which nodes and hosts would be outside of it, or which network it would overlap.
    pub async fn may_set_network(&self, network: &Network) -> Result<()> {
        network.check(&mut *self.pool.acquire().await?).await
    }

    /// Lets a network become another of the same name.
    ///
    /// # Errors
    /// Those of [`Store::may_set_network`]; and when somebody has changed it since it was read as `old`.
    pub async fn set_network(&self, old: &Network, network: &Network) -> Result<()> {
        let mut write = self.write().await?;
        let row = sqlx::query("SELECT * FROM networks WHERE name = ?").bind(&old.name);
        let row = row.fetch_optional(&mut *write).await?;
        let is_as_read = row.map(|row| Network::of(&row)).transpose()?.as_ref() == Some(old);
        ensure!(is_as_read, "somebody changed the network {} meanwhile: nothing was changed", old.name);
        network.check(&mut write).await?;
        network.write(&mut write, Verb::Update).await?;
        Ok(write.commit().await?)
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
        let in_use = || format!("the network {name} has nodes or hosts: remove them first");
        let removed = result.map_err(|error| refused(error, str::to_owned, in_use))?.rows_affected();
        ensure!(removed == 1, "there is no network `{name}`: see `headnode network list`");
        Ok(())
    }
}
