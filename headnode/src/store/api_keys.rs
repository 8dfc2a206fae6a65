//! Keys of admins who are elsewhere: their hashes, and what they may do.

use anyhow::{Context as _, Result, ensure};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::notices::{Notice, notice};
use super::{Store, parsed, refused};
use crate::admin::Scope;
use crate::clock;
use crate::keys;

/// A key, without its secret.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// Whose it is.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// Since when it is one, milliseconds since 1970.
    pub made_at: i64,
    /// When it ends by itself, if it does.
    pub expires_at: Option<i64>,
}

impl Store {
    /// Keeps the hash of a new key's secret, and says so in the audit log.
    ///
    /// # Errors
    /// When there is one of that name.
    pub async fn add_api_key(&self, key: &ApiKey, secret: &str, actor: &str) -> Result<()> {
        let ApiKey { name, scope, made_at, expires_at } = key;
        let mut write = self.write().await?;
        sqlx::query("INSERT INTO api_keys (name, hash, scope, made_at, expires_at) VALUES (?, ?, ?, ?, ?)")
            .bind(name)
            .bind(keys::hash(secret).as_bytes().to_vec())
            .bind(scope.name())
            .bind(made_at)
            .bind(expires_at)
            .execute(&mut *write)
            .await
            .map_err(|error| {
                let taken = |_: &str| format!("there is an API key `{name}` already: revoke it first");
                refused(error, taken, String::new)
            })?;
        let detail = format!("{name}, {}", scope.name());
        notice(&mut write, Notice { node: "-", actor, cause: "api-key-added", detail: &detail }).await?;
        Ok(write.commit().await?)
    }

    /// All keys, by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn api_keys(&self) -> Result<Vec<ApiKey>> {
        let rows = sqlx::query("SELECT * FROM api_keys ORDER BY name").fetch_all(&self.pool).await?;
        rows.iter().map(read).collect()
    }

    /// The key with this hash, if it has not ended.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn api_key(&self, hash: blake3::Hash) -> Result<Option<ApiKey>> {
        // Found by its hash: how long the search takes says nothing about the secret.
        let row =
            sqlx::query("SELECT * FROM api_keys WHERE hash = ? AND (expires_at IS NULL OR expires_at > ?)")
                .bind(hash.as_bytes().to_vec())
                .bind(clock::now_ms())
                .fetch_optional(&self.pool)
                .await?;
        row.as_ref().map(read).transpose()
    }

    /// Forgets a key, and says so in the audit log.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn revoke_api_key(&self, name: &str, actor: &str) -> Result<()> {
        let mut write = self.write().await?;
        let removed =
            sqlx::query("DELETE FROM api_keys WHERE name = ?").bind(name).execute(&mut *write).await?;
        ensure!(removed.rows_affected() == 1, "there is no API key `{name}`: see `headnode api-key list`");
        notice(&mut write, Notice { node: "-", actor, cause: "api-key-revoked", detail: name }).await?;
        Ok(write.commit().await?)
    }
}

fn read(row: &SqliteRow) -> Result<ApiKey> {
    let name: String = row.try_get("name")?;
    let scope = parsed(row, "scope").with_context(|| format!("the API key {name}"))?;
    Ok(ApiKey { name, scope, made_at: row.try_get("made_at")?, expires_at: row.try_get("expires_at")? })
}
