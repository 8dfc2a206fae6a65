//! What admins define beside nodes and networks: images, netboots, groups.

use anyhow::{Context as _, Result, ensure};
use nii::digest::Digest;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

pub use super::networks::{Dhcp, MacProof, Network};
use super::{Store, Write, parsed, parsed_option, refused};
use crate::clock;

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

impl Store {
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
