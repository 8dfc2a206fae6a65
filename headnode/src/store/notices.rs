//! Lines of the audit log that are no change of state: security notices.

use anyhow::Result;

use super::{Store, Write};
use crate::clock;

/// See [`refusal`] and [`misuse`].
const REFUSALS: u32 = 20;
const ALL_REFUSALS: u32 = 240;

/// A line of the audit log that is no change of state.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'a> {
    /// The node's name, or what was claimed to be one.
    pub node: &'a str,
    /// Who did it.
    pub actor: &'a str,
    /// What it was, for programs: `replay`, `wrong-token`.
    pub cause: &'a str,
    /// The same for people.
    pub detail: &'a str,
}

/// Writes a security notice to the audit log.
///
/// # Errors
/// When the database cannot be written.
pub async fn notice(write: &mut Write, notice: Notice<'_>) -> Result<()> {
    sqlx::query(
        "INSERT INTO audit (at, kind, node, actor, cause, detail) VALUES (?, 'security', ?, ?, ?, ?)",
    )
    .bind(clock::now_ms())
    .bind(notice.node)
    .bind(notice.actor)
    .bind(notice.cause)
    .bind(notice.detail)
    .execute(&mut **write)
    .await?;
    Ok(())
}

/// Writes a security notice that anybody may cause, and so not each time: in a minute [`REFUSALS`] of one cause from one
/// actor, and [`ALL_REFUSALS`] of that cause. Whoever wants to fill the store, or to hide among others, gets no further.
///
/// # Errors
/// When the database cannot be written.
pub async fn refusal(write: &mut Write, notice: Notice<'_>) -> Result<()> {
    limited(write, notice, false).await
}

/// Writes a security notice about who showed a node's right token or session: in a minute [`REFUSALS`] of one cause for a
/// node. What is told of other nodes, or by who has neither, takes nothing from that.
///
/// # Errors
/// When the database cannot be written.
pub async fn misuse(write: &mut Write, notice: Notice<'_>) -> Result<()> {
    limited(write, notice, true).await
}

async fn limited(write: &mut Write, notice: Notice<'_>, by_node: bool) -> Result<()> {
    sqlx::query(
        "INSERT INTO audit (at, kind, node, actor, cause, detail)
         SELECT ?1, 'security', ?2, ?3, ?4, ?5 FROM (
             SELECT count(*) AS everybodys, coalesce(sum(iif(?8, node = ?2, actor = ?3)), 0) AS own FROM audit
             WHERE id > (SELECT coalesce(max(id), 0) FROM audit) - 4000 AND kind = 'security' AND at > ?1 - 60000
                 AND cause = ?4
         ) WHERE own < ?6 AND (?8 OR everybodys < ?7)",
    )
    .bind(clock::now_ms())
    .bind(notice.node)
    .bind(notice.actor)
    .bind(notice.cause)
    .bind(notice.detail)
    .bind(REFUSALS)
    .bind(ALL_REFUSALS)
    .bind(by_node)
    .execute(&mut **write)
    .await?;
    Ok(())
}

impl Store {
    /// Writes a [`refusal`] to the audit log.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn refusal(&self, node: &str, actor: &str, cause: &str, detail: &str) -> Result<()> {
        let mut write = self.write().await?;
        refusal(&mut write, Notice { node, actor, cause, detail }).await?;
        Ok(write.commit().await?)
    }

    /// Writes a [`misuse`] to the audit log.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn misuse(&self, node: &str, actor: &str, cause: &str, detail: &str) -> Result<()> {
        let mut write = self.write().await?;
        misuse(&mut write, Notice { node, actor, cause, detail }).await?;
        Ok(write.commit().await?)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use super::*;

    #[tokio::test]
    async fn trust_refusals_do_not_fill_the_store() {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(&scratch.path().join("camphor.db")).await.unwrap();
        let mut write = store.write().await.unwrap();
        let mut refuse = async |actor: &str, cause: &str| {
            refusal(&mut write, Notice { node: "-", actor, cause, detail: "" }).await.unwrap();
            let row =
                sqlx::query("SELECT count(*) AS lines FROM audit").fetch_one(&mut *write).await.unwrap();
            row.get::<u32, _>("lines")
        };
        let mut lines = 0;
        for _ in 0..30 {
            lines = refuse("10.0.0.1", "refused-token").await;
        }
        assert_eq!(lines, REFUSALS);
        for number in 0..300 {
            lines = refuse(&format!("10.0.1.{number}"), "refused-token").await;
        }
        assert_eq!(lines, ALL_REFUSALS);
        assert_eq!(refuse("10.0.0.1", "refused-key").await, ALL_REFUSALS + 1, "another cause");
        sqlx::query("UPDATE audit SET at = at - 60001").execute(&mut *write).await.unwrap();
        refusal(&mut write, Notice { node: "-", actor: "10.0.0.1", cause: "refused-token", detail: "" })
            .await
            .unwrap();
        let row = sqlx::query("SELECT count(*) AS lines FROM audit").fetch_one(&mut *write).await.unwrap();
        assert_eq!(row.get::<u32, _>("lines"), ALL_REFUSALS + 2, "a minute later");
    }

    #[tokio::test]
    async fn trust_a_thief_does_not_hide_among_refusals() {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(&scratch.path().join("camphor.db")).await.unwrap();
        let count = async || {
            let row =
                sqlx::query("SELECT count(*) AS lines FROM audit WHERE cause = 'replay' AND node = 'n1'")
                    .fetch_one(&store.pool)
                    .await
                    .unwrap();
            row.get::<u32, _>("lines")
        };
        for number in 0..300 {
            let actor = format!("10.0.1.{number}");
            store.refusal("n1", &actor, "refused-token", "").await.unwrap();
            store.misuse(&format!("m{number}"), "10.0.0.1", "replay", "").await.unwrap();
        }
        store.misuse("n1", "10.0.0.1", "replay", "").await.unwrap();
        assert_eq!(count().await, 1, "neither other causes nor other nodes take its line");
        for number in 0..30 {
            store.misuse("n1", &format!("10.0.2.{number}"), "replay", "").await.unwrap();
        }
        assert_eq!(count().await, REFUSALS);
    }
}
