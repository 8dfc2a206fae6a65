//! Time, session, NII, events: how a node gets what it is to become, and says how it went.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use nii::envelope::{Envelope, NiiPayload, Purpose};
use nii::event::{Body, EventAnswer, EventBatch};
use nii::secret::Secret;
use nii::session::{ErrorCode, PROTOCOL, SessionAnswer, SessionKey, SessionRequest, TimePayload};
use nii::v1::SshHostKey;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::answers::Refused;
use super::{App, admit, mac_of, machine, peer_text, tpm};
use crate::addresses::machine_id;
use crate::clock;
use crate::escrow;
use crate::keys::{self, seal_json};
use crate::recipe::{Form, Recipe};
use crate::state::State as NodeState;
use crate::store::attempts::{self, Session};
use crate::store::trade::{Begin, Claim};

const NONCE_MAX: usize = 128;

/// The node's own random text, by which it knows a fresh answer.
#[derive(Deserialize)]
pub struct Nonce {
    nonce: Option<String>,
}

impl Nonce {
    fn checked(self) -> Result<String, Refused> {
        let right = |nonce: &String| {
            (1..=NONCE_MAX).contains(&nonce.len()) && nonce.chars().all(|c| c.is_ascii_graphic())
        };
        let message = format!("`nonce` must be 1 to {NONCE_MAX} printable ASCII characters");
        self.nonce.filter(right).ok_or_else(|| Refused::new(ErrorCode::BadRequest, message))
    }
}

/// `GET /api/v1/time`
pub async fn time(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Query(nonce): Query<Nonce>,
) -> Result<Json<Envelope>, Refused> {
    admit(&app.asks, peer)?;
    let keys = app.keys.now();
    let payload = TimePayload {
        nonce: nonce.checked()?,
        time: clock::now_s(),
        protocol: PROTOCOL,
        release: env!("CARGO_PKG_VERSION").to_owned(),
        https: format!("https://{}:{}", address_asked(&app, &headers).await?, app.https_port),
        authority: Some(keys.authority()),
    };
    Ok(Json(seal_json(&keys, Purpose::Time, &payload)?))
}

/// Which of our addresses the node knows us by. Only our own are answered for: the answer is signed.
async fn address_asked(app: &App, headers: &HeaderMap) -> Result<std::net::Ipv4Addr, Refused> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let asked = host.split(':').next().unwrap_or_default().parse().ok();
    let networks = app.store.networks().await?;
    let ours = networks.iter().find(|network| Some(network.address) == asked).map(|network| network.address);
    ours.ok_or_else(|| {
        Refused::new(ErrorCode::BadRequest, format!("`{host}` is no address of a network of this head node"))
    })
}

/// `POST /api/v1/session`
pub async fn open(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Result<Json<SessionRequest>, JsonRejection>,
) -> Result<Json<SessionAnswer>, Refused> {
    let Json(request) = request.map_err(|error| Refused::new(ErrorCode::BadRequest, error.body_text()))?;
    check_versions(&request)?;
    if !request.proof_is_right() {
        return Err(Refused::new(
            ErrorCode::Unauthorized,
            "the proof does not fit token, MAC, boot id and key",
        ));
    }
    let mac =
        mac_of(&request.mac).ok_or_else(|| Refused::new(ErrorCode::BadRequest, "`mac` is no MAC address"))?;
    let peer_name = peer_text(peer);
    // Before the token is looked at: one that was stolen must not be used up by the thief.
    let chip = match app.store.node_by_mac(&mac).await? {
        Some(node) if app.is_foreign(&node, peer, "foreign-session-request", "wanted a session").await? => {
            let message = "this address is not the node's, by lease or ARP";
            return Err(Refused::new(ErrorCode::Unauthorized, message));
        }
        Some(node) => {
            let id = request.uuid.and_then(machine_id);
            if let Some(why) = machine::refusal(&app, &node, id, &peer_name).await? {
                return Err(Refused::new(ErrorCode::Unauthorized, why));
            }
            tpm::of(&app, &node, &request, &peer_name).await?
        }
        None => None,
    };
    let claim = Claim {
        mac: &mac,
        token: keys::hash(request.token.expose()),
        key: request.key,
        boot_id: request.boot_id,
        peer: &peer_name,
    };
    match app.store.begin(&claim, &app.keys.now()).await? {
        Begin::Session(session) => {
            let key = attempts::session(&app.keys.now(), session.attempt, claim.key);
            let key = match chip {
                Some(chip) => {
                    tpm::binds(&app, &session, &chip, &peer_name).await?;
                    SessionKey::Wrapped(chip.wrap(&key)?)
                }
                None => SessionKey::Plain(Secret::new(key.as_str())),
            };
            let Session { node, arming, attempt, .. } = *session;
            Ok(Json(SessionAnswer { session: key, node: node.name, arming, attempt }))
        }
        Begin::Replay => {
            crate::log::line(format_args!(
                "{mac}: a used token came again with another key, from {peer_name}: refused"
            ));
            Err(Refused::new(
                ErrorCode::Replay,
                "the token was used already, with another key: boot again for a new one",
            ))
        }
        Begin::Expired => {
            crate::log::line(format_args!("{mac}: token of {peer_name} refused: its time is over"));
            Err(Refused::new(
                ErrorCode::Expired,
                "the token's time, or its attempt, is over: boot again for a new one",
            ))
        }
        Begin::Refused => {
            crate::log::line(format_args!("{mac}: token refused to {peer_name} (headnode events says why)"));
            Err(Refused::new(ErrorCode::Unauthorized, "the token is not valid: boot again for a new one"))
        }
    }
}

fn check_versions(request: &SessionRequest) -> Result<(), Refused> {
    let SessionRequest { protocol, nii_version, release, .. } = request;
    if *protocol == PROTOCOL && *nii_version >= nii::v1::VERSION {
        return Ok(());
    }
    let message = format!(
        "this head node ({}) speaks protocol {PROTOCOL} and writes NII {}; the initrd ({release}) speaks {protocol} and \
         reads NII {nii_version}: rebuild the initrd from this release",
        env!("CARGO_PKG_VERSION"),
        nii::v1::VERSION
    );
    Err(Refused::new(ErrorCode::Version, message))
}

/// From the header alone: a call without a session is refused before its body is read.
impl FromRequestParts<App> for Session {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refused> {
        session_of(app, &parts.headers).await
    }
}

/// The session that a call shows.
async fn session_of(app: &App, headers: &HeaderMap) -> Result<Session, Refused> {
    let bearer =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let session = match bearer {
        Some(secret) => app.store.session(secret).await?,
        None => None,
    };
    session.ok_or_else(|| {
        Refused::new(ErrorCode::Unauthorized, "no open session: its attempt has ended, or there was none")
    })
}

/// What the node is given and gives in confidence is for the time of its install.
pub(super) fn installing(session: &Session) -> Result<(), Refused> {
    if session.node.state == NodeState::Installing {
        return Ok(());
    }
    let message = format!("{} is {}, not installing", session.node.name, session.node.state);
    Err(Refused::new(ErrorCode::NotArmed, message))
}

/// `GET /api/v1/nii`: the secrets go out while the attempt that the session belongs to is under way, not after.
pub async fn nii(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    session: Session,
    Query(nonce): Query<Nonce>,
) -> Result<Json<Envelope>, Refused> {
    let nonce = nonce.checked()?;
    installing(&session)?;
    if let Some(tpm) = session.tpm {
        // Not before: who only had the token may have named another machine's.
        app.store.accept_tpm(&session.node, tpm, &peer_text(peer)).await?;
    }
    let escrow = in_escrow(&app, &session).await?;
    let recipe = Recipe::of(&app.store, session.node).await?;
    let json = recipe.nii(Form::WithSecrets(escrow))?;
    app.store.release(session.attempt, recipe.document.install.kind).await?;
    let payload = NiiPayload {
        node: recipe.node.name,
        mac: recipe.node.mac.to_string(),
        arming: session.arming,
        attempt: session.attempt,
        nonce,
        issued_at: clock::now_s(),
        nii: RawValue::from_string(json).map_err(anyhow::Error::from)?,
    };
    Ok(Json(seal_json(&app.keys.now(), Purpose::Nii, &payload)?))
}

/// What an earlier attempt saved from the disks. If it cannot be opened the install goes on without: it is a last resort.
async fn in_escrow(app: &App, session: &Session) -> Result<Vec<SshHostKey>, Refused> {
    let Some(sealed) = app.store.escrow(session.node.id).await? else { return Ok(Vec::new()) };
    Ok(escrow::open(&app.keys.now(), &session.node.name, &sealed).unwrap_or_else(|error| {
        crate::log::line(format_args!("{error:#}: {} gets its NII without them", session.node.name));
        Vec::new()
    }))
}

/// `POST /api/v1/events`
pub async fn events(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    session: Session,
    batch: Result<Json<EventBatch>, JsonRejection>,
) -> Result<Json<EventAnswer>, Refused> {
    let Json(EventBatch { events }) =
        batch.map_err(|error| Refused::new(ErrorCode::BadRequest, error.body_text()))?;
    if events.iter().any(|event| event.boot_id != session.boot_id) {
        return Err(Refused::new(ErrorCode::BadRequest, "an event's boot_id is not the session's"));
    }
    let Some(through) = app.store.absorb(&session, &events).await? else {
        let why = "the events of this boot fill their room: no more are kept";
        app.store.misuse(&session.node.name, &peer_text(peer), "too-many-events", why).await?;
        return Err(Refused::new(ErrorCode::Conflict, why));
    };
    for event in &events {
        tell(&session.node.name, &event.body);
    }
    Ok(Json(EventAnswer { through }))
}

/// What an admin wants to see at once.
fn tell(node: &str, body: &Body) {
    match body {
        Body::Failed(failure) => {
            crate::log::line(format_args!("{node}: {} failed: {}", failure.step, failure.cause.join(": ")));
        }
        Body::Installed { .. } => crate::log::line(format_args!("{node}: installed")),
        Body::Warning { message } => crate::log::line(format_args!("{node}: warning: {message}")),
        _ => {}
    }
}
