//! Tokens are traded for sessions: who gets one, and who does not.

use anyhow::Result;
use nii::envelope::PublicKey;
use sqlx::Row as _;
use uuid::Uuid;

use super::attempts::{Attempt, OF_NODE, Session, TOKEN_MS, kind, session as session_key};
use super::events::forget_old;
use super::nodes::{Node, transition};
use super::notices::{Notice, misuse};
use super::rollouts::lock_of;
use super::{Store, Write};
use crate::addresses::Mac;
use crate::clock;
use crate::keys::{self, Keys};
use crate::report::Report;
use crate::state::Cause;

/// What a node gets for a token.
#[derive(Clone, Debug)]
pub enum Begin {
    /// A session.
    Session(Box<Session>),
    /// Nothing: the token is another key's already.
    Replay,
    /// Nothing: it is a token of the node's that nobody used, and its time or its attempt is over.
    Expired,
    /// Nothing: unknown, wrong or ended. Which of them goes to the audit log only.
    Refused,
}

/// What a node shows to get a session.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    /// The MAC that it says it has.
    pub mac: &'a Mac,
    /// The token's hash.
    pub token: blake3::Hash,
    /// Its ephemeral key.
    pub key: PublicKey,
    /// Its boot.
    pub boot_id: Uuid,
    /// Its IP address.
    pub peer: &'a str,
}

impl Store {
    /// Trades a token. The first trade begins the attempt and binds it to the key; the same key may ask again.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn begin(&self, claim: &Claim<'_>, keys: &Keys) -> Result<Begin> {
        let Some(node) = self.node_by_mac(claim.mac).await? else {
            self.refuse(claim, claim.mac.as_str(), "no node has this MAC address").await?;
            return Ok(Begin::Refused);
        };
        let mut write = self.write().await?;
        let row = sqlx::query(OF_NODE).bind(node.id).fetch_optional(&mut *write).await?;
        let Some(row) = row else {
            drop(write);
            return self.refuse_old(claim, &node, "the node has no attempt").await;
        };
        let attempt = Attempt::of(&row)?;
        let ended = row.try_get::<Option<i64>, _>("ended_at")?.is_some();
        // blake3's comparison takes the same time wherever the hashes differ.
        let right = keys::stored_hash(row.try_get("token")?).is_some_and(|token| token == claim.token);
        let bound: Option<Vec<u8>> = row.try_get("key")?;
        let key = keys::key_bytes(claim.key);
        let session = Session {
            arming: attempt.arming,
            attempt: attempt.id,
            boot_id: claim.boot_id,
            kind: kind(&row)?,
            tpm: None,
            node: node.clone(),
        };
        let why = match bound {
            _ if !right || ended => "the token is not the one of the node's present attempt",
            Some(bound) if bound == key => return Ok(Begin::Session(Box::new(session))),
            Some(_) => {
                let detail = format!("attempt {}: its token came again with another key", attempt.id);
                let replay = Notice { node: &node.name, actor: claim.peer, cause: "replay", detail: &detail };
                misuse(&mut write, replay).await?;
                write.commit().await?;
                return Ok(Begin::Replay);
            }
            None if lock_of(&mut *write, node.id).await?.is_some() => "the node is locked",
            None if !attempt.is_fresh() => {
                give_back(&mut write, &attempt).await?;
                "the token was not used in time"
            }
            None => {
                bind_key(&mut write, &session, &key, claim, keys).await?;
                forget_old(&mut write, node.id).await?;
                let detail = format!("attempt {} ({})", attempt.number, attempt.id);
                transition(&mut write, node.id, Cause::Begin, claim.peer, &detail).await?;
                write.commit().await?;
                return Ok(Begin::Session(Box::new(session)));
            }
        };
        write.commit().await?;
        self.refuse_old(claim, &node, why).await
    }

    /// Refuses a token that begins nothing; whoever shows one that was this node's and that nobody used learns so.
    async fn refuse_old(&self, claim: &Claim<'_>, node: &Node, why: &str) -> Result<Begin> {
        self.refuse(claim, &node.name, why).await?;
        // Found by its hash: how long the search takes says nothing about the token.
        let unused = sqlx::query(
            "SELECT 1 FROM attempts JOIN armings ON armings.id = attempts.arming
             WHERE armings.node = ? AND attempts.token = ? AND attempts.key IS NULL
                 AND (attempts.ended_at IS NOT NULL OR attempts.minted_at <= ?)",
        )
        .bind(node.id)
        .bind(claim.token.as_bytes().to_vec())
        .bind(clock::now_ms() - TOKEN_MS)
        .fetch_optional(&self.pool)
        .await?;
        Ok(if unused.is_some() { Begin::Expired } else { Begin::Refused })
    }

    async fn refuse(&self, claim: &Claim<'_>, node: &str, why: &str) -> Result<()> {
        self.refusal(node, claim.peer, "refused-token", why).await
    }
}

/// Ends an attempt whose node came too late for its token, and lets it not count: nothing went wrong with the node.
async fn give_back(write: &mut Write, attempt: &Attempt) -> Result<()> {
    let ended = sqlx::query("UPDATE attempts SET ended_at = ? WHERE id = ? AND ended_at IS NULL")
        .bind(clock::now_ms())
        .bind(attempt.id.to_string())
        .execute(&mut **write)
        .await?;
    if ended.rows_affected() == 1 {
        sqlx::query("UPDATE armings SET tries = tries - 1 WHERE id = ? AND tries > 0")
            .bind(attempt.arming.to_string())
            .execute(&mut **write)
            .await?;
    }
    Ok(())
}

async fn bind_key(
    write: &mut Write,
    session: &Session,
    key: &[u8],
    claim: &Claim<'_>,
    keys: &Keys,
) -> Result<()> {
    let now = clock::now_ms();
    let secret = session_key(keys, session.attempt, claim.key);
    sqlx::query(
        "UPDATE attempts SET begun_at = ?, key = ?, boot_id = ?, session = ?, report = ? WHERE id = ?",
    )
    .bind(now)
    .bind(key)
    .bind(claim.boot_id.to_string())
    .bind(keys::hash(&secret).as_bytes().to_vec())
    .bind(serde_json::to_string(&Report::begun(now))?)
    .bind(session.attempt.to_string())
    .execute(&mut **write)
    .await?;
    Ok(())
}
