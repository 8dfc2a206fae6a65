//! The store: one SQLite file, in WAL mode, so that the commands and a running `serve` can use it at once.
//!
//! * [`networks`]; [`inventory`]: what else admins define beside nodes: images, netboots, groups.
//! * [`nodes`]: nodes and their states.
//! * [`notices`]: the rest of the audit log.
//! * [`api_keys`]: who may command us from elsewhere.
//! * [`attempts`]: armings, attempts, sessions.
//! * [`backup`]: all of it as plain rows.
//! * [`events`]: what nodes reported.
//! * [`hosts`]: machines that are not ours to boot.
//! * [`enrol`]: what addhost changes, each in one transaction.
//! * [`rollouts`]: installs of many nodes, some at a time; locks.
//! * [`oses`]: distributions that package installs come from.
//! * [`package`]: scripts by name, and what nodes have in escrow.
//! * [`plugins`]: what came of calling them.
//! * [`tpms`]: whose chip is whose.
//!
//! Whatever reads before it writes runs in a transaction from [`Store::write`].

pub mod api_keys;
pub mod attempts;
pub mod backup;
pub mod enrol;
pub mod events;
pub mod hosts;
pub mod inventory;
mod networks;
pub mod nodes;
pub mod notices;
pub mod oses;
pub mod package;
pub mod plugins;
pub mod rollouts;
pub mod tpms;
pub mod trade;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Row as _, SqlSafeStr as _, Sqlite, SqlitePool, Transaction};

/// Version, name, SQL. Append only: what was released is never edited.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "first", include_str!("../../migrations/0001_first.sql")),
    (2, "package", include_str!("../../migrations/0002_package.sql")),
    (4, "addhost", include_str!("../../migrations/0004_addhost.sql")),
    (10, "plugins", include_str!("../../migrations/0010_plugins.sql")),
    (11, "boot", include_str!("../../migrations/0011_boot.sql")),
    (12, "rollouts", include_str!("../../migrations/0012_rollouts.sql")),
    (13, "os", include_str!("../../migrations/0013_os.sql")),
    (20, "relays", include_str!("../../migrations/0020_relays.sql")),
    (21, "api keys", include_str!("../../migrations/0021_api_keys.sql")),
    (22, "tpms", include_str!("../../migrations/0022_tpms.sql")),
    (23, "the TPM of a session", include_str!("../../migrations/0023_attempts_tpm.sql")),
];

/// The store.
#[derive(Clone, Debug)]
pub struct Store {
    pool: SqlitePool,
}

/// A transaction that will write: it holds the write lock from its beginning.
pub type Write = Transaction<'static, Sqlite>;

impl Store {
    /// Opens the database, makes it (0600) if there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// When the file is no database of ours, is locked for long, or comes from a newer release.
    pub async fn open(path: &Path) -> Result<Self> {
        let open = async || -> Result<Self> {
            OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
            let options = SqliteConnectOptions::new()
                .filename(path)
                .journal_mode(SqliteJournalMode::Wal)
                // In WAL mode NORMAL may lose the last commits in a power cut; tokens and states are worth the sync.
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true)
                .busy_timeout(Duration::from_secs(10));
            let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await?;
            migrator(MIGRATIONS).run(&pool).await?;
            Ok(Self { pool })
        };
        open().await.with_context(|| format!("opening the store {}", path.display()))
    }

    /// Begins a transaction that will write.
    ///
    /// # Errors
    /// When somebody else holds the write lock for too long.
    pub async fn write(&self) -> Result<Write> {
        // A transaction that begins with a read cannot wait for the lock when it comes to write.
        self.pool.begin_with("BEGIN IMMEDIATE").await.context("locking the store")
    }

    /// Changes when anybody else commits (a pragma of SQLite that is only comparable on one connection).
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn watch(&self) -> Result<Watch> {
        Ok(Watch { connection: self.pool.acquire().await?.detach(), version: None })
    }

    /// Writes a copy of the database to `path`, which must not be there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn copy_to(&self, path: &Path) -> Result<()> {
        let target = path.to_str().context("the path is no text")?;
        sqlx::query("VACUUM INTO ?").bind(target).execute(&self.pool).await.context("copying the store")?;
        Ok(())
    }

    /// What a query makes one JSON array of, for lists of thousands: the driver sends each row through a channel, which
    /// takes longer than all the rest.
    ///
    /// # Errors
    /// When the database cannot be read, or the array is not of `T`.
    async fn list<T: DeserializeOwned>(&self, query: &'static str) -> Result<Vec<T>> {
        let row = sqlx::query(query).fetch_one(&self.pool).await?;
        serde_json::from_str(row.try_get(0)?).context("reading rows of the store")
    }

    /// What SQLite finds wrong with the file: nothing, as a rule.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn damage(&self) -> Result<Vec<String>> {
        let mut damage: Vec<String> =
            sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&self.pool).await?;
        damage.retain(|line| line != "ok");
        for row in sqlx::query("PRAGMA foreign_key_check").fetch_all(&self.pool).await? {
            let (table, parent): (String, String) = (row.try_get(0)?, row.try_get(2)?);
            damage.push(format!("a row of {table} refers to {parent}, where nothing is"));
        }
        Ok(damage)
    }

    /// The number kept under `key`, or `default`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn port(&self, key: &str, default: u16) -> Result<u16> {
        let row = sqlx::query("SELECT value FROM settings WHERE key = ?")
            .bind(key)
            .fetch_optional(&self.pool)
            .await?;
        row.map_or(Ok(default), |row| parsed(&row, "value"))
    }

    /// Keeps a number under `key`.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn set_port(&self, key: &str, port: u16) -> Result<()> {
        sqlx::query("INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)")
            .bind(key)
            .bind(port.to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

fn migrator(migrations: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migrations = migrations.iter().map(|(version, name, sql)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

/// See [`Store::watch`].
pub struct Watch {
    connection: sqlx::SqliteConnection,
    version: Option<i64>,
}

impl Watch {
    /// Whether anything was committed since the last call; true at the first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn changed(&mut self) -> Result<bool> {
        let row = sqlx::query("PRAGMA data_version").fetch_one(&mut self.connection).await?;
        let version = Some(row.try_get::<i64, _>(0)?);
        Ok(std::mem::replace(&mut self.version, version) != version)
    }
}

/// A column of text that stands for something else.
fn parsed<T: FromStr>(row: &SqliteRow, column: &'static str) -> Result<T>
where
    T::Err: Into<anyhow::Error>,
{
    let text: String = row.try_get(column)?;
    text.parse().map_err(Into::into).with_context(|| format!("reading column {column} of the store"))
}

/// The same, where it may be NULL.
fn parsed_option<T: FromStr>(row: &SqliteRow, column: &'static str) -> Result<Option<T>>
where
    T::Err: Into<anyhow::Error>,
{
    let text: Option<String> = row.try_get(column)?;
    let parse = |text: String| text.parse().map_err(Into::into);
    text.map(parse).transpose().with_context(|| format!("reading column {column} of the store"))
}

/// Turns SQLite's refusal of a second row, or of a row that others need, into a sentence.
fn refused(
    error: sqlx::Error,
    unique: impl Fn(&str) -> String,
    foreign: impl Fn() -> String,
) -> anyhow::Error {
    match error.as_database_error() {
        Some(database) if database.is_unique_violation() => anyhow::anyhow!(unique(database.message())),
        Some(database) if database.is_foreign_key_violation() => anyhow::anyhow!(foreign()),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn networks_keep_what_is_on_them() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("camphor.db");
        let before: Vec<_> = MIGRATIONS.iter().filter(|(version, ..)| *version < 20).copied().collect();
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        migrator(&before).run(&pool).await.unwrap();
        let rows = "INSERT INTO networks VALUES ('prov', 'br0', '10.1.0.0/24', '10.1.0.1', NULL, NULL, '[]', NULL, 'managed', 'link');
             INSERT INTO groups VALUES ('g', '', 0);
             INSERT INTO nodes (name, group_name, network, mac, overrides, state, since)
             VALUES ('n1', 'g', 'prov', '52:54:00:00:00:01', '', 'unknown', 0);
             INSERT INTO hosts (name, network, address, added_at) VALUES ('h1', 'prov', '10.1.0.9', 0)";
        sqlx::raw_sql(rows).execute(&pool).await.unwrap();
        pool.close().await;

        let store = Store::open(&path).await.unwrap();
        assert!(store.damage().await.unwrap().is_empty());
        assert_eq!(store.networks().await.unwrap()[0].address.to_string(), "10.1.0.1");
        assert_eq!(store.node("n1").await.unwrap().network, "prov");
        assert!(store.remove_network("prov").await.unwrap_err().to_string().contains("has nodes"));
    }
}
