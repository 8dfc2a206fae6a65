//! Armings, attempts and sessions (CONTRACTS: an admin arms; each boot of an armed node is an attempt; its one-time
//! token is traded for a session, bound to the node's ephemeral key).

use anyhow::{Context as _, Result};
use nii::envelope::PublicKey;
use nii::v1::InstallType;
use serde::Deserialize;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::nodes::{Node, transition};
use super::rollouts::{check_lock, lock_of};
use super::{Store, Write, parsed, parsed_option};
use crate::clock;
use crate::keys::{self, Keys};
use crate::report::Report;
use crate::state::{Cause, State};
use crate::tpm::Name;

/// An unused token ends after this time.
pub(super) const TOKEN_MS: i64 = 30 * 60 * 1000;

/// A boot's try at an arming.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Its id.
    pub id: Uuid,
    /// The arming that it tries to carry out.
    pub arming: Uuid,
    /// 1, 2, 3, … since the arming last went well.
    pub number: u32,
    /// When it was made, milliseconds since 1970.
    pub minted_at: i64,
    /// When its token was traded.
    pub begun_at: Option<i64>,
}

/// How far an armed node is.
#[derive(Clone, Debug, Deserialize)]
pub struct Progress {
    /// The node's name.
    pub node: String,
    /// Its arming.
    pub arming: Uuid,
    /// Attempts at it since it last went well.
    pub tries: u32,
    /// The last one.
    pub attempt: Option<Uuid>,
    /// What the node said in it.
    pub report: Report,
}

/// What a boot of an armed node gets.
#[derive(Clone, Debug)]
pub enum Mint {
    /// This attempt.
    Attempt(Attempt),
    /// Nothing: the arming's attempts are used up.
    Parked,
    /// Nothing: the node is not armed.
    NotArmed,
    /// Nothing: the node is locked, with this reason.
    Locked(String),
}

/// An open session.
#[derive(Clone, Debug)]
pub struct Session {
    /// The node.
    pub node: Node,
    /// Its arming.
    pub arming: Uuid,
    /// Its attempt.
    pub attempt: Uuid,
    /// The boot that opened it.
    pub boot_id: Uuid,
    /// What kind of install its NII says; `None` before that is released.
    pub kind: Option<InstallType>,
    /// The TPM that its key was wrapped for, if its group wants one.
    pub tpm: Option<Name>,
}

/// The one-time token of an attempt.
pub fn token(keys: &Keys, attempt: Uuid) -> zeroize::Zeroizing<String> {
    keys.derive("token", &[attempt.as_bytes()])
}

/// The session of an attempt and an ephemeral key.
pub fn session(keys: &Keys, attempt: Uuid, key: PublicKey) -> zeroize::Zeroizing<String> {
    keys.derive("session", &[attempt.as_bytes(), &keys::key_bytes(key)])
}

impl Attempt {
    pub(super) fn of(row: &SqliteRow) -> Result<Self> {
        Ok(Self {
            id: parsed(row, "id")?,
            arming: parsed(row, "arming")?,
            number: row.try_get("number")?,
            minted_at: row.try_get("minted_at")?,
            begun_at: row.try_get("begun_at")?,
        })
    }

    /// Whether its token may still be given out and traded.
    pub fn is_fresh(&self) -> bool {
        self.begun_at.is_none() && clock::now_ms() < self.minted_at + TOKEN_MS
    }

    /// Whether another boot would have time to trade it.
    fn lasts(&self) -> bool {
        self.is_fresh() && clock::now_ms() < self.minted_at + TOKEN_MS / 2
    }
}

/// The last attempt of a node's arming, ended or not.
pub(super) const OF_NODE: &str = "SELECT attempts.* FROM attempts JOIN armings ON armings.id = attempts.arming
     WHERE armings.node = ? AND armings.ended_at IS NULL ORDER BY attempts.minted_at DESC, attempts.rowid DESC LIMIT 1";

pub(super) async fn end_arming(write: &mut Write, node: i64) -> Result<()> {
    let now = clock::now_ms();
    sqlx::query(
        "UPDATE attempts SET ended_at = ?1 WHERE ended_at IS NULL
         AND arming IN (SELECT id FROM armings WHERE node = ?2 AND ended_at IS NULL)",
    )
    .bind(now)
    .bind(node)
    .execute(&mut **write)
    .await?;
    sqlx::query("UPDATE armings SET ended_at = ? WHERE node = ? AND ended_at IS NULL")
        .bind(now)
        .bind(node)
        .execute(&mut **write)
        .await?;
    Ok(())
}

/// Arms a node within a larger change; see [`Store::arm`].
///
/// # Errors
/// When it is locked, or the database cannot be written.
pub async fn arm(write: &mut Write, node: i64, actor: &str) -> Result<Uuid> {
    check_lock(write, node).await?;
    let id = Uuid::new_v4();
    end_arming(write, node).await?;
    sqlx::query("INSERT INTO armings (id, node, armed_at) VALUES (?, ?, ?)")
        .bind(id.to_string())
        .bind(node)
        .bind(clock::now_ms())
        .execute(&mut **write)
        .await?;
    transition(write, node, Cause::Arm, actor, &format!("arming {id}")).await?;
    Ok(id)
}

impl Store {
    /// Arms nodes, all or none: a new arming each, which ends the one before with its attempts and sessions.
    ///
    /// # Errors
    /// When one is locked, or the database cannot be written.
    pub async fn arm(&self, nodes: &[Node], actor: &str) -> Result<()> {
        let mut write = self.write().await?;
        for node in nodes {
            arm(&mut write, node.id, actor).await?;
        }
        Ok(write.commit().await?)
    }

    /// Lets nodes boot their groups' rescue systems, all or none; ends their armings.
    ///
    /// # Errors
    /// When one is locked, or the database cannot be written.
    pub async fn boot_rescue(&self, nodes: &[Node], actor: &str) -> Result<()> {
        let mut write = self.write().await?;
        for node in nodes {
            check_lock(&mut write, node.id).await?;
            end_arming(&mut write, node.id).await?;
            transition(&mut write, node.id, Cause::BootRescue, actor, "").await?;
        }
        Ok(write.commit().await?)
    }

    /// Lets nodes boot their local disks, all or none; ends their armings.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn boot_local(&self, nodes: &[Node], actor: &str) -> Result<()> {
        let mut write = self.write().await?;
        for node in nodes {
            end_arming(&mut write, node.id).await?;
            transition(&mut write, node.id, Cause::BootLocal, actor, "").await?;
        }
        Ok(write.commit().await?)
    }

    /// The attempt of this boot: the present one while it has not begun (iPXE asks again) and its token lasts, else a new one
    /// that ends the one before. Of these an arming has `cap`, and one more if the last that began came to its commit; what
    /// takes the place of one whose token would have run out does not count.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn mint(&self, node: i64, cap: u32, keys: &Keys) -> Result<Mint> {
        let mut write = self.write().await?;
        let arming = sqlx::query("SELECT id, tries FROM armings WHERE node = ? AND ended_at IS NULL")
            .bind(node)
            .fetch_optional(&mut *write)
            .await?;
        let Some(arming) = arming else { return Ok(Mint::NotArmed) };
        if let Some(reason) = lock_of(&mut *write, node).await? {
            return Ok(Mint::Locked(reason));
        }
        let present = sqlx::query(OF_NODE).bind(node).fetch_optional(&mut *write).await?;
        let id = parsed(&arming, "id")?;
        if let Some(attempt) = present.as_ref().map(Attempt::of).transpose()?
            && attempt.is_fresh()
        {
            if attempt.lasts() {
                return Ok(Mint::Attempt(attempt));
            }
            let attempt = new_attempt(&mut write, id, attempt.number, keys).await?;
            write.commit().await?;
            return Ok(Mint::Attempt(attempt));
        }
        let tries: u32 = arming.try_get("tries")?;
        // The last one may be done, and only its report lost: the next boot finds out.
        let spare = u32::from(tries >= cap && was_committing(&mut write, id).await?);
        if tries >= cap + spare {
            end_arming(&mut write, node).await?;
            let detail = format!("{tries} of {cap} attempts used up");
            transition(&mut write, node, Cause::Exhausted, "server", &detail).await?;
            write.commit().await?;
            return Ok(Mint::Parked);
        }
        let attempt = new_attempt(&mut write, id, tries + 1, keys).await?;
        write.commit().await?;
        Ok(Mint::Attempt(attempt))
    }

    /// The last attempt of a node's present arming.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn last_attempt(&self, node: i64) -> Result<Option<Attempt>> {
        let row = sqlx::query(OF_NODE).bind(node).fetch_optional(&self.pool).await?;
        row.as_ref().map(Attempt::of).transpose()
    }

    /// All attempts of a node at all its armings, the last first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn attempts(&self, node: i64) -> Result<Vec<Attempt>> {
        let rows = sqlx::query(
            "SELECT attempts.* FROM attempts JOIN armings ON armings.id = attempts.arming WHERE armings.node = ?
             ORDER BY attempts.minted_at DESC, attempts.rowid DESC",
        )
        .bind(node)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(Attempt::of).collect()
    }

    /// How far every node is: its present arming, and the last attempt at it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn progress(&self) -> Result<Vec<Progress>> {
        self.list(
            "SELECT json_group_array(json_object('node', nodes.name, 'arming', armings.id, 'tries', armings.tries,
                 'attempt', attempts.id, 'report', json(coalesce(attempts.report, '{}'))))
             FROM nodes JOIN armings ON armings.node = nodes.id AND armings.ended_at IS NULL
             LEFT JOIN attempts ON attempts.rowid =
                 (SELECT max(latest.rowid) FROM attempts AS latest WHERE latest.arming = armings.id)",
        )
        .await
    }

    /// The node whose attempt this is, while the attempt's token may be given out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn node_to_get_token(&self, attempt: Uuid) -> Result<Option<Node>> {
        let row = sqlx::query(
            "SELECT attempts.*, nodes.name AS node_name FROM attempts
             JOIN armings ON armings.id = attempts.arming JOIN nodes ON nodes.id = armings.node
             WHERE attempts.id = ? AND attempts.ended_at IS NULL",
        )
        .bind(attempt.to_string())
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        if !Attempt::of(&row)?.is_fresh() {
            return Ok(None);
        }
        self.node(row.try_get("node_name")?).await.map(Some)
    }

    /// Whether the key of an attempt's session may be wrapped for this TPM: for the first that asks, and for no other.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn wraps_for(&self, attempt: Uuid, tpm: Name) -> Result<bool> {
        let bound = sqlx::query("UPDATE attempts SET tpm = ?1 WHERE id = ?2 AND coalesce(tpm, ?1) = ?1")
            .bind(tpm.to_string())
            .bind(attempt.to_string())
            .execute(&self.pool)
            .await?;
        Ok(bound.rows_affected() == 1)
    }

    /// An attempt's NII, which says an install of this kind, is released.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn release(&self, attempt: Uuid, kind: InstallType) -> Result<()> {
        let kind = serde_json::to_value(kind)?;
        sqlx::query("UPDATE attempts SET kind = ? WHERE id = ?")
            .bind(kind.as_str())
            .bind(attempt.to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The open session with this key.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn session(&self, secret: &str) -> Result<Option<Session>> {
        // Found by its hash: how long the search takes says nothing about the secret.
        let row = sqlx::query(
            "SELECT attempts.*, nodes.name AS node_name FROM attempts
             JOIN armings ON armings.id = attempts.arming JOIN nodes ON nodes.id = armings.node
             WHERE attempts.session = ? AND attempts.ended_at IS NULL",
        )
        .bind(keys::hash(secret).as_bytes().to_vec())
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let node = self.node(row.try_get("node_name")?).await?;
        let boot_id = parsed_option(&row, "boot_id")?.context("a session has a boot")?;
        let (arming, attempt) = (parsed(&row, "arming")?, parsed(&row, "id")?);
        let (kind, tpm) = (kind(&row)?, parsed_option(&row, "tpm")?);
        Ok(Some(Session { node, arming, attempt, boot_id, kind, tpm }))
    }
}

/// See [`Session::kind`].
pub(super) fn kind(row: &SqliteRow) -> Result<Option<InstallType>> {
    let kind: Option<String> = row.try_get("kind")?;
    let read = |kind: String| serde_json::from_value(kind.into());
    kind.map(read).transpose().context("reading column kind of the store")
}

/// Whether the last attempt that began came to its commit, and did not report success.
async fn was_committing(write: &mut Write, arming: Uuid) -> Result<bool> {
    let row = sqlx::query(
        "SELECT report FROM attempts WHERE arming = ? AND begun_at IS NOT NULL ORDER BY rowid DESC LIMIT 1",
    )
    .bind(arming.to_string())
    .fetch_optional(&mut **write)
    .await?;
    let Some(row) = row else { return Ok(false) };
    let report: Report =
        serde_json::from_str(row.try_get("report")?).context("reading column report of the store")?;
    Ok(report.committing)
}

async fn new_attempt(write: &mut Write, arming: Uuid, number: u32, keys: &Keys) -> Result<Attempt> {
    let now = clock::now_ms();
    let id = Uuid::new_v4();
    sqlx::query("UPDATE attempts SET ended_at = ? WHERE arming = ? AND ended_at IS NULL")
        .bind(now)
        .bind(arming.to_string())
        .execute(&mut **write)
        .await?;
    sqlx::query("INSERT INTO attempts (id, arming, number, token, minted_at) VALUES (?, ?, ?, ?, ?)")
        .bind(id.to_string())
        .bind(arming.to_string())
        .bind(number)
        .bind(keys::hash(&token(keys, id)).as_bytes().to_vec())
        .bind(now)
        .execute(&mut **write)
        .await?;
    sqlx::query("UPDATE armings SET tries = ? WHERE id = ?")
        .bind(number)
        .bind(arming.to_string())
        .execute(&mut **write)
        .await?;
    Ok(Attempt { id, arming, number, minted_at: now, begun_at: None })
}

/// Whether a node in this state may be given an attempt. A failed one only if its NII says that it is to try again.
pub fn may_try(state: State, retry_failed: bool) -> bool {
    match state {
        State::Armed | State::Installing | State::DisklessRunning => true,
        State::Failed => retry_failed,
        State::Unknown
        | State::Discovered
        | State::Installed
        | State::Parked
        | State::Local
        | State::Rescue => false,
    }
}
