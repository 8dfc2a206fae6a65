//! What the package flow keeps here: scripts by name, and what nodes have in escrow.

use anyhow::{Result, ensure};
use nii::digest::Digest;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::attempts::Session;
use super::nodes::Node;
use super::notices::{Notice, notice};
use super::{Store, Write, parsed};
use crate::clock;

/// A version of a script or a kickstart template.
#[derive(Clone, Debug)]
pub struct Script {
    /// Its name.
    pub name: String,
    /// Digest of its content.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it has a `#!` line.
    pub program: bool,
    /// When it was added, milliseconds since 1970.
    pub added_at: i64,
}

impl Store {
    /// Lets a name mean this version of a script; older ones are kept for installs that are under way.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn add_script(&self, script: &Script) -> Result<()> {
        sqlx::query(
            "INSERT OR REPLACE INTO scripts (name, digest, size, program, added_at) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(&script.name)
        .bind(script.digest.to_string())
        .bind(i64::try_from(script.size)?)
        .bind(script.program)
        .bind(script.added_at)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// All versions of all scripts, by name, the one that the name means first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn script_versions(&self) -> Result<Vec<Script>> {
        // A row that is replaced gets a new rowid: of two in one millisecond the later counts.
        let rows = sqlx::query("SELECT * FROM scripts ORDER BY name, added_at DESC, rowid DESC")
            .fetch_all(&self.pool)
            .await?;
        let read = |row: &SqliteRow| {
            Ok(Script {
                name: row.try_get("name")?,
                digest: parsed(row, "digest")?,
                size: row.try_get::<i64, _>("size")?.try_into()?,
                program: row.try_get("program")?,
                added_at: row.try_get("added_at")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// What each name means, by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn scripts(&self) -> Result<Vec<Script>> {
        let mut scripts = self.script_versions().await?;
        scripts.dedup_by(|later, first| later.name == first.name);
        Ok(scripts)
    }

    /// Forgets a script with all its versions.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn remove_script(&self, name: &str) -> Result<()> {
        let removed =
            sqlx::query("DELETE FROM scripts WHERE name = ?").bind(name).execute(&self.pool).await?;
        ensure!(removed.rows_affected() > 0, "there is no script `{name}`: see `headnode script list`");
        Ok(())
    }

    /// Keeps what a node gives in escrow, and says so in the audit log. If something is there already that stays and is
    /// returned: the first attempt saw the old system, and a later one may only see another disk's.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn keep_escrow(
        &self,
        session: &Session,
        sealed: &[u8],
        actor: &str,
        detail: &str,
    ) -> Result<Option<Vec<u8>>> {
        let mut write = self.write().await?;
        let there = sqlx::query("SELECT sealed FROM escrows WHERE node = ?")
            .bind(session.node.id)
            .fetch_optional(&mut *write)
            .await?;
        if let Some(there) = there {
            return Ok(Some(there.try_get("sealed")?));
        }
        sqlx::query("INSERT INTO escrows (node, sealed, kept_at) VALUES (?, ?, ?)")
            .bind(session.node.id)
            .bind(sealed)
            .bind(clock::now_ms())
            .execute(&mut *write)
            .await?;
        notice(&mut write, Notice { node: &session.node.name, actor, cause: "escrow", detail }).await?;
        write.commit().await?;
        Ok(None)
    }

    /// Which nodes have something in escrow, by name, and since when (milliseconds since 1970).
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn escrows(&self) -> Result<Vec<(String, i64)>> {
        let rows = sqlx::query(
            "SELECT nodes.name, escrows.kept_at FROM escrows JOIN nodes ON nodes.id = escrows.node ORDER BY nodes.name",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok((row.try_get("name")?, row.try_get("kept_at")?))).collect()
    }

    /// Drops what a node has in escrow, and says so in the audit log. Whether there was anything.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn drop_escrow(&self, node: &Node, actor: &str, detail: &str) -> Result<bool> {
        let mut write = self.write().await?;
        if !drop_escrow(&mut write, node.id).await? {
            return Ok(false);
        }
        notice(&mut write, Notice { node: &node.name, actor, cause: "escrow-dropped", detail }).await?;
        write.commit().await?;
        Ok(true)
    }

    /// What a node has in escrow, sealed.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn escrow(&self, node: i64) -> Result<Option<Vec<u8>>> {
        let row = sqlx::query("SELECT sealed FROM escrows WHERE node = ?")
            .bind(node)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|row| row.try_get("sealed")).transpose()?)
    }
}

/// Drops what a node has in escrow. Whether there was anything.
///
/// # Errors
/// When the database cannot be written.
pub async fn drop_escrow(write: &mut Write, node: i64) -> Result<bool> {
    let dropped = sqlx::query("DELETE FROM escrows WHERE node = ?").bind(node).execute(&mut **write).await?;
    Ok(dropped.rows_affected() > 0)
}
