//! Distributions by name.

use anyhow::{Context as _, Result, ensure};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::Store;
use super::inventory::Netboot;
use crate::os::Os;

impl Os {
    fn of(row: &SqliteRow) -> Result<Self> {
        let content = row.try_get("content")?;
        Ok(Self {
            name: row.try_get("name")?,
            version: row.try_get("version")?,
            content: serde_json::from_str(content).context("reading column content of the store")?,
            link: row.try_get("link")?,
            size: row.try_get::<i64, _>("size")?.try_into()?,
            files: row.try_get::<i64, _>("files")?.try_into()?,
            imported_at: row.try_get("imported_at")?,
        })
    }
}

impl Store {
    /// Lets a name mean a tree and, at once, its kernel and initrd.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn set_os(&self, os: &Os, netboot: &Netboot) -> Result<()> {
        let mut write = self.write().await?;
        sqlx::query(
            "INSERT OR REPLACE INTO oses (name, version, content, link, size, files, imported_at)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&os.name)
        .bind(&os.version)
        .bind(serde_json::to_string(&os.content)?)
        .bind(&os.link)
        .bind(i64::try_from(os.size)?)
        .bind(i64::try_from(os.files)?)
        .bind(os.imported_at)
        .execute(&mut *write)
        .await?;
        super::inventory::put_netboot(&mut write, netboot).await?;
        Ok(write.commit().await?)
    }

    /// All of them, by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn oses(&self) -> Result<Vec<Os>> {
        let rows = sqlx::query("SELECT * FROM oses ORDER BY name").fetch_all(&self.pool).await?;
        rows.iter().map(Os::of).collect()
    }

    /// Which version a name means.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn os_version(&self, name: &str) -> Result<Option<String>> {
        let row = sqlx::query("SELECT version FROM oses WHERE name = ?")
            .bind(name)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|row| row.try_get("version")).transpose()?)
    }

    /// Forgets one, and the netboot of its name.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn remove_os(&self, name: &str) -> Result<()> {
        let mut write = self.write().await?;
        let removed = sqlx::query("DELETE FROM oses WHERE name = ?").bind(name).execute(&mut *write).await?;
        ensure!(removed.rows_affected() == 1, "there is no os `{name}`: see `headnode os list`");
        sqlx::query("DELETE FROM netboots WHERE name = ?").bind(name).execute(&mut *write).await?;
        Ok(write.commit().await?)
    }
}
