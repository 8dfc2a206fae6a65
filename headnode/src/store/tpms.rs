//! The TPMs that nodes are known by.

use anyhow::{Result, ensure};
use serde::Deserialize;
use sqlx::Row as _;

use super::nodes::Node;
use super::notices::{Notice, notice};
use super::{Store, Write, refused};
use crate::clock;
use crate::tpm::Name;

/// A node's TPM.
#[derive(Clone, Debug, Deserialize)]
pub struct Accepted {
    /// The node's name.
    pub node: String,
    /// The name of its endorsement key.
    pub name: String,
    /// Who it was accepted by.
    pub actor: String,
    /// When, milliseconds since 1970.
    pub accepted_at: i64,
}

impl Store {
    /// All of them, by node.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn tpms(&self) -> Result<Vec<Accepted>> {
        self.list(
            "SELECT json_group_array(json_object('node', nodes.name, 'name', tpms.name, 'actor', actor,
                 'accepted_at', accepted_at) ORDER BY nodes.name)
             FROM tpms JOIN nodes ON nodes.id = tpms.node",
        )
        .await
    }

    /// A node's, if it has one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn tpm(&self, node: i64) -> Result<Option<Name>> {
        let row =
            sqlx::query("SELECT name FROM tpms WHERE node = ?").bind(node).fetch_optional(&self.pool).await?;
        row.as_ref().map(|row| super::parsed(row, "name")).transpose()
    }

    /// Which node has this one, if one has.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn node_of_tpm(&self, name: Name) -> Result<Option<String>> {
        let row =
            sqlx::query("SELECT nodes.name FROM tpms JOIN nodes ON nodes.id = tpms.node WHERE tpms.name = ?")
                .bind(name.to_string())
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// This is the node's from now on, and the audit log says so, unless it was already.
    ///
    /// # Errors
    /// When it is another node's, or the node has another.
    pub async fn accept_tpm(&self, node: &Node, name: Name, actor: &str) -> Result<()> {
        let mut write = self.write().await?;
        let text = name.to_string();
        let added = sqlx::query(
            "INSERT INTO tpms (node, name, actor, accepted_at) VALUES (?, ?, ?, ?) ON CONFLICT (node) DO NOTHING",
        )
        .bind(node.id)
        .bind(&text)
        .bind(actor)
        .bind(clock::now_ms())
        .execute(&mut *write)
        .await
        .map_err(|error| {
            refused(error, |_| format!("the TPM {name} is another node's: see `headnode tpm list`"), String::new)
        })?;
        if added.rows_affected() == 0 {
            let there: String = sqlx::query_scalar("SELECT name FROM tpms WHERE node = ?")
                .bind(node.id)
                .fetch_one(&mut *write)
                .await?;
            let node = &node.name;
            ensure!(there == text, "{node} has the TPM {there}: `headnode tpm forget {node}` comes first");
            return Ok(());
        }
        notice(&mut write, Notice { node: &node.name, actor, cause: "tpm-accepted", detail: &text }).await?;
        Ok(write.commit().await?)
    }

    /// The node has none any more, and the audit log says so. Whether it had one.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn forget_tpm(&self, node: &Node, actor: &str) -> Result<bool> {
        let mut write = self.write().await?;
        if !forget(&mut write, node.id).await? {
            return Ok(false);
        }
        let detail = "by `headnode tpm forget`";
        notice(&mut write, Notice { node: &node.name, actor, cause: "tpm-forgotten", detail }).await?;
        write.commit().await?;
        Ok(true)
    }
}

/// Within a larger change. Whether the node had one.
pub(super) async fn forget(write: &mut Write, node: i64) -> Result<bool> {
    let gone = sqlx::query("DELETE FROM tpms WHERE node = ?").bind(node).execute(&mut **write).await?;
    Ok(gone.rows_affected() > 0)
}
