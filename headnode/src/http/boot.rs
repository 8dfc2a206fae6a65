//! Boot scripts and tokens.

use std::net::SocketAddr;

use anyhow::Result;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use nii::secret::Secret;
use nii::session::{ErrorCode, TokenAnswer, TokenRequest};
use serde::Deserialize;
use uuid::Uuid;

use super::answers::Refused;
use super::{App, admit, mac_of, machine, peer_text};
use crate::addresses::{Mac, machine_id};
use crate::cpio;
use crate::dhcp::client::NOBODY;
use crate::recipe::Recipe;
use crate::script::{self, Platform};
use crate::state::{Settled, State as NodeState};
use crate::store::attempts::{self, Mint};
use crate::store::nodes::Node;

/// What iPXE says of itself.
#[derive(Deserialize)]
pub struct Who {
    mac: Option<String>,
    uuid: Option<String>,
    platform: Option<String>,
}

/// `GET /boot/script`. Always a script: firmware that gets an error falls through to its next boot device.
pub async fn script(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Query(who): Query<Who>,
) -> impl IntoResponse {
    let Some(mac) = who.mac.as_deref().and_then(mac_of) else { return text(script::who_are_you()) };
    if admit(&app.asks, peer).is_err() {
        return text(script::wait(&mac, "too many calls came from this address"));
    }
    let platform = if who.platform.as_deref() == Some("efi") { Platform::Efi } else { Platform::Pcbios };
    let uuid = who.uuid.as_deref().and_then(|uuid| uuid.parse().ok()).and_then(machine_id);
    text(script_for(&app, &mac, uuid, platform, peer).await.unwrap_or_else(|error| {
        crate::log::line(format_args!("boot script of {mac}: {error:#}"));
        script::wait(&mac, "the head node failed at this, its log says more")
    }))
}

fn text(script: String) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain"), (header::CACHE_CONTROL, "no-store")], script)
}

async fn script_for(
    app: &App,
    mac: &Mac,
    uuid: Option<Uuid>,
    platform: Platform,
    peer: SocketAddr,
) -> Result<String> {
    let peer_name = peer_text(peer);
    let Some(node) = app.store.node_by_mac(mac).await? else {
        // The self-test's machine is none that addhost could find.
        if *mac != Mac::from_bytes(NOBODY) {
            app.store.see_stranger(mac, uuid, &peer_name).await?;
        }
        return Ok(script::wait(mac, "this machine is no node yet (headnode addhost)"));
    };
    app.store.see_node(node.id, &peer_name).await?;
    let locked = app.store.lock_of(node.id).await?;
    if let Some(script) = settled(&node, locked.as_deref(), platform, app.local_boot) {
        return Ok(script);
    }
    let recipe = Recipe::of(&app.store, node).await?;
    let node = &recipe.node;
    if !attempts::may_try(node.state, recipe.retries_failed()) {
        return Ok(idle(&recipe, platform));
    }
    // A new attempt ends the one before and counts: nobody else may make the node lose either.
    if app.is_foreign(node, peer, "foreign-script-request", "wanted an install").await? {
        return Ok(script::wait(mac, &foreign(&node.name, &peer_name)));
    }
    // Firmware that does not say its id has the session's request to say it.
    if uuid.is_some()
        && let Some(why) = machine::refusal(app, node, uuid, &peer_name).await?
    {
        return Ok(script::wait(mac, &why));
    }
    // It could be armed, but the group or the netboot changed since.
    let netboot = match recipe.netboot() {
        Ok(netboot) => netboot,
        Err(error) => return Ok(script::wait(mac, &error.to_string())),
    };
    let cap = recipe.document.attempts;
    Ok(match app.store.mint(node.id, cap, &app.keys.now()).await? {
        Mint::Attempt(attempt) => {
            let banner = script::banner(&node.name, attempt.number, cap);
            crate::log::line(format_args!("{}: {banner}", node.mac));
            script::install(&recipe, netboot, &attempt.id.to_string(), platform, &banner)
        }
        Mint::Parked => {
            crate::log::line(format_args!("{}: parked: its {cap} attempts are used up", node.name));
            script::wait(mac, &parked(&node.name))
        }
        Mint::NotArmed => script::wait(mac, &not_armed(&node.name)),
        // Since it was looked at.
        Mint::Locked(reason) => script::wait(mac, &script::words(&is_locked(&node.name, &reason))),
    })
}

/// The script of a node whose document does not matter now: a broken one keeps nobody from booting its disk.
pub fn settled(node: &Node, locked: Option<&str>, platform: Platform, local_boot: bool) -> Option<String> {
    let Node { name, mac, state, .. } = node;
    let why = locked.filter(|_| state.settled(false).is_none());
    let why = why.map(|reason| script::words(&is_locked(name, reason)));
    Some(match (state.settled(locked.is_some())?, why) {
        (Settled::LocalDisk, None) => script::local(name, platform, local_boot),
        (Settled::LocalDisk, Some(why)) => script::local(&format!("{why}: it"), platform, local_boot),
        (Settled::Wait, Some(why)) => script::wait(mac, &why),
        (Settled::Wait, None) if *state == NodeState::Parked => script::wait(mac, &parked(name)),
        (Settled::Wait, None) => script::wait(mac, &not_armed(name)),
    })
}

/// The script of a node that is not to be installed now, by its document.
pub fn idle(recipe: &Recipe, platform: Platform) -> String {
    let (name, mac) = (&recipe.node.name, &recipe.node.mac);
    match recipe.node.state {
        NodeState::Rescue => match recipe.rescue() {
            Ok((netboot, arguments)) => script::rescue(recipe, netboot, arguments, platform),
            Err(error) => script::wait(mac, &error.to_string()),
        },
        NodeState::Failed => script::wait(mac, &format!("{name} failed, see headnode events {name}")),
        _ => script::wait(mac, &not_armed(name)),
    }
}

fn parked(name: &str) -> String {
    format!("{name} is parked, its attempts are used up (headnode boot install {name})")
}

fn is_locked(name: &str, reason: &str) -> String {
    format!("{name} is locked ({reason}, headnode unlock {name})")
}

fn foreign(name: &str, peer: &str) -> String {
    format!("{peer} is not the address of {name}, by lease or ARP (headnode events {name})")
}

fn not_armed(name: &str) -> String {
    format!("{name} is not armed (headnode boot install {name})")
}

/// `GET /boot/token/<attempt>`: to the node's own machine only.
pub async fn token(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(attempt): Path<String>,
) -> Result<Response, Refused> {
    let attempt: Uuid =
        attempt.parse().map_err(|_| Refused::new(ErrorCode::NotFound, "this is no attempt's id"))?;
    let Some(node) = app.store.node_to_get_token(attempt).await? else {
        return Err(Refused::new(ErrorCode::NotFound, "there is no such attempt, or it has begun or ended"));
    };
    let wish = format!("asked for the token of attempt {attempt}");
    if app.is_foreign(&node, peer, "foreign-token-request", &wish).await? {
        return Err(Refused::new(ErrorCode::Unauthorized, "this address is not the node's, by lease or ARP"));
    }
    Ok(archive(&app, attempt))
}

/// `GET /boot/token/of/<mac>`: what [`script`] is to iPXE, for firmware that has its kernel and arguments from a plugin's
/// file (PXELINUX, GRUB) and needs no more than the token. It begins an attempt by the same rules.
pub async fn token_of(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(mac): Path<String>,
) -> Result<Response, Refused> {
    let attempt = attempt_of(&app, peer, (&mac, None), "by its boot menu").await?;
    Ok(archive(&app, attempt))
}

/// `POST /api/v1/token`: the same over TLS, for a node that asks for itself.
pub async fn token_asked_for(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Result<Json<TokenRequest>, JsonRejection>,
) -> Result<Json<TokenAnswer>, Refused> {
    let Json(request) = request.map_err(|error| Refused::new(ErrorCode::BadRequest, error.body_text()))?;
    let who = (request.mac.as_str(), request.uuid.and_then(machine_id));
    let attempt = attempt_of(&app, peer, who, "as it asks for its token").await?;
    Ok(Json(TokenAnswer { token: Secret::new(attempts::token(&app.keys.now(), attempt).as_str()) }))
}

/// The attempt of the machine with this MAC: a new one, unless its last has not begun. `how` it comes is for the log.
async fn attempt_of(
    app: &App,
    peer: SocketAddr,
    (mac, id): (&str, Option<Uuid>),
    how: &str,
) -> Result<Uuid, Refused> {
    let mac = mac_of(mac).ok_or_else(|| Refused::new(ErrorCode::NotFound, "this is no MAC address"))?;
    let Some(node) = app.store.node_by_mac(&mac).await? else {
        app.store.see_stranger(&mac, None, &peer_text(peer)).await?;
        return Err(Refused::new(ErrorCode::NotFound, "this machine is no node yet (headnode addhost)"));
    };
    app.store.see_node(node.id, &peer_text(peer)).await?;
    let recipe = Recipe::of(&app.store, node).await?;
    let name = &recipe.node.name;
    if !attempts::may_try(recipe.node.state, recipe.retries_failed()) || recipe.netboot().is_err() {
        return Err(Refused::new(ErrorCode::NotArmed, not_armed(name)));
    }
    if app.is_foreign(&recipe.node, peer, "foreign-token-request", "asked for its token").await? {
        return Err(Refused::new(ErrorCode::Unauthorized, foreign(name, &peer_text(peer))));
    }
    if id.is_some()
        && let Some(why) = machine::refusal(app, &recipe.node, id, &peer_text(peer)).await?
    {
        return Err(Refused::new(ErrorCode::Unauthorized, why));
    }
    let cap = recipe.document.attempts;
    match app.store.mint(recipe.node.id, cap, &app.keys.now()).await? {
        Mint::Attempt(attempt) => {
            let banner = script::banner(name, attempt.number, cap);
            crate::log::line(format_args!("{mac}: {banner}, {how}"));
            Ok(attempt.id)
        }
        Mint::Parked => {
            crate::log::line(format_args!("{name}: parked: its {cap} attempts are used up"));
            Err(Refused::new(ErrorCode::NotArmed, parked(name)))
        }
        Mint::NotArmed => Err(Refused::new(ErrorCode::NotArmed, not_armed(name))),
        Mint::Locked(reason) => Err(Refused::new(ErrorCode::NotArmed, is_locked(name, &reason))),
    }
}

fn archive(app: &App, attempt: Uuid) -> Response {
    let archive = cpio::token(&attempts::token(&app.keys.now(), attempt));
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, archive).into_response()
}
