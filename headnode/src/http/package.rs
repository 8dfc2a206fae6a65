//! What package installs need beside: the site's scripts, escrow, logs, and the kickstart that stops an installer which
//! is not ours.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::body::{Bytes, to_bytes};
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use nii::digest::Digest;
use nii::session::{ErrorCode, Escrow};
use nii::v1::SshHostKey;
use serde::Deserialize;

use super::answers::Refused;
use super::session::installing;
use super::{App, peer_text};
use crate::escrow;
use crate::logs::{self, LOG_MAX, LOGS_MAX};
use crate::names::{self, is_name};
use crate::recipe::Recipe;
use crate::store::attempts::Session;

/// How long a node waits until others have sent their logs.
const LOG_WAIT: Duration = Duration::from_secs(10);

/// `GET /boot/refuse.ks`
pub async fn refusal() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain")], include_str!("refuse.ks"))
}

/// `GET /api/v1/file/<digest>`
pub async fn file(
    State(app): State<App>,
    _: Session,
    Path(digest): Path<String>,
) -> Result<Response, Refused> {
    let missing = || Refused::new(ErrorCode::NotFound, "there is no such file");
    let digest: Digest = digest.parse().map_err(|_| missing())?;
    match tokio::fs::read(app.dir.script(&digest)).await {
        Ok(bytes) => Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(missing()),
        Err(error) => Err(anyhow::Error::from(error).context(format!("reading the script {digest}")).into()),
    }
}

/// `POST /api/v1/escrow`
pub async fn keep_escrow(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    session: Session,
    request: Result<Json<Escrow>, JsonRejection>,
) -> Result<StatusCode, Refused> {
    // Not axum's words: they may quote what was sent.
    let Json(Escrow { ssh_host_keys: keys }) =
        request.map_err(|_| Refused::new(ErrorCode::BadRequest, "the body is no JSON of an escrow"))?;
    installing(&session)?;
    if keys.is_empty() {
        // A second attempt finds an empty disk: what the first one saved stays.
        return Ok(StatusCode::NO_CONTENT);
    }
    let sealed = escrow::seal(&app.keys.now(), &session.node.name, &keys)?;
    let detail = format!("keeps its SSH host keys until it is installed: {}", kinds(&keys));
    let recipe = Recipe::of(&app.store, session.node.clone()).await?;
    if let Some(finding) = recipe.refusal_of(keys.clone()) {
        return Err(Refused::new(ErrorCode::BadRequest, format!("{}: {}", finding.path, finding.message)));
    }
    let (store, node, peer) = (&app.store, &session.node, peer_text(peer));
    let Some(there) = store.keep_escrow(&session, &sealed, &peer, &detail).await? else {
        return Ok(StatusCode::NO_CONTENT);
    };
    let same = |there| sorted(there) == sorted(keys);
    match escrow::open(&app.keys.now(), &node.name, &there).map(same) {
        Ok(true) => {}
        Ok(false) => return Err(other_keys(&app, &node.name, &peer).await?),
        Err(error) => {
            // Nobody can have it back.
            crate::log::line(format_args!("{error:#}: what {} has now takes its place", node.name));
            store.drop_escrow(node, &peer, "it could not be opened, and others take its place").await?;
            store.keep_escrow(&session, &sealed, &peer, &detail).await?;
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The refusal of host keys in the place of others.
async fn other_keys(app: &App, node: &str, peer: &str) -> Result<Refused, Refused> {
    let detail = "has SSH host keys in escrow already, and sent others";
    app.store.misuse(node, peer, "refused-escrow", detail).await?;
    crate::log::line(format_args!("{node}: {detail} (from {peer}): refused"));
    let message = format!(
        "the head node keeps other SSH host keys for {node}, from an earlier attempt: if those on its disks are the right \
         ones, `headnode escrow drop {node}` there"
    );
    Ok(Refused::new(ErrorCode::Conflict, message))
}

fn sorted(mut keys: Vec<SshHostKey>) -> Vec<SshHostKey> {
    keys.sort_by(|a, b| a.kind.cmp(&b.kind));
    keys
}

fn kinds(keys: &[SshHostKey]) -> String {
    keys.iter().map(|key| key.kind.as_str()).collect::<Vec<_>>().join(", ")
}

/// What a log is called.
#[derive(Deserialize)]
pub struct LogName {
    name: Option<String>,
}

/// `POST /api/v1/log?name=NAME`
pub async fn keep_log(
    State(app): State<App>,
    session: Session,
    Query(LogName { name }): Query<LogName>,
    request: Request,
) -> Result<StatusCode, Refused> {
    let bad = |message: String| Refused::new(ErrorCode::BadRequest, message);
    let name = name
        .filter(|name| is_name(name))
        .ok_or_else(|| bad(format!("`name` must be a log's name: {}", names::RULE)))?;
    let room = tokio::time::timeout(LOG_WAIT, app.log_bodies.acquire()).await;
    let Ok(Ok(_room)) = room else {
        return Err(Refused::new(ErrorCode::Busy, "too many logs at once").after(LOG_WAIT));
    };
    let bytes: Bytes = to_bytes(request.into_body(), LOG_MAX)
        .await
        .map_err(|_| bad(format!("a log has at most {} MiB, and ends", LOG_MAX >> 20)))?;
    let _turn = app.logs.lock().await;
    let (dir, node, attempt) = (app.dir.clone(), session.node.name, session.attempt);
    let kept = tokio::task::spawn_blocking(move || logs::keep(&dir, &node, attempt, &name, &bytes)).await;
    match kept.map_err(anyhow::Error::from)?? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(bad(format!("this attempt has {LOGS_MAX} logs already"))),
    }
}
