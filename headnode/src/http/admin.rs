//! `POST /admin/command`: an admin who is elsewhere, with an API key over TLS, or a user of this machine at the socket.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{App, peer_text};
use crate::admin::command::{self, Answer, CALL_MAX, Call, Unfit};
use crate::admin::places::{Place, Places};
use crate::admin::socket::Peer;
use crate::admin::{Caller, Scope};
use crate::keys;
use crate::log;
use crate::store::api_keys::ApiKey;

/// What sending a command's arguments and stdin may take.
const BODY_TIME: Duration = Duration::from_secs(30);
/// When it is worth trying again where all commands run that may.
const BUSY: Duration = Duration::from_secs(1);

/// A call of an admin that is refused.
pub struct Denied {
    pub(super) status: StatusCode,
    pub(super) message: String,
    pub(super) retry_after: Option<Duration>,
}

impl Denied {
    /// With a sentence for people.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after: None }
    }

    /// Somebody who has tried too often.
    pub fn too_often(pause: Duration) -> Self {
        let message = format!("too many wrong keys came from this address: wait {} s", pause.as_secs());
        Self { retry_after: Some(pause), ..Self::new(StatusCode::TOO_MANY_REQUESTS, message) }
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({"message": self.message}))).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // What is left of the call is not read, so nobody sends another one behind it.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        if let Some(pause) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(pause.as_secs()));
        }
        response
    }
}

/// Whatever else goes wrong: who has a key may know what.
impl From<anyhow::Error> for Denied {
    fn from(error: anyhow::Error) -> Self {
        log::line(format_args!("{error:#}"));
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}"))
    }
}

impl App {
    /// The API key with this secret. Nobody guesses one of 256 bits, so a right one is let in whatever else came from its
    /// address; who shows wrong ones waits after some.
    ///
    /// # Errors
    /// When it is none.
    pub(super) async fn key_of(&self, secret: &str, peer: IpAddr) -> Result<ApiKey, Denied> {
        if let Some(key) = self.store.api_key(keys::hash(secret)).await? {
            return Ok(key);
        }
        if let Some(pause) = self.desk.wrong.pause(peer) {
            return Err(Denied::too_often(pause));
        }
        let (peer_name, times) = (peer.to_canonical().to_string(), self.desk.wrong.count(peer));
        self.store
            .refusal("-", &peer_name, "refused-key", "showed a wrong, ended or revoked API key")
            .await?;
        log::line(format_args!("{peer_name}: no API key ({times} in a minute): refused"));
        Err(Denied::new(StatusCode::UNAUTHORIZED, "this is no API key, or it has ended or was revoked"))
    }

    /// Runs a command for a caller.
    pub(super) async fn obey(&self, caller: Caller, body: Body) -> Result<Json<Answer>, Denied> {
        let receiving = place(&self.desk.bodies, &caller)?;
        let body = tokio::time::timeout(BODY_TIME, to_bytes(body, CALL_MAX)).await;
        let Ok(Ok(body)) = body else {
            let most = CALL_MAX >> 20;
            let message = format!("arguments and stdin have at most {most} MiB, and come within 30 s");
            return Err(Denied::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        };
        let call: Call = serde_json::from_slice(&body)
            .map_err(|error| Denied::new(StatusCode::BAD_REQUEST, format!("the call: {error}")))?;
        let name = match command::judge(&call.args, &caller) {
            Ok(name) => name,
            Err(Unfit::Said(answer)) => return Ok(Json(answer)),
            Err(Unfit::Denied(why)) => {
                self.store.refusal("-", &caller.name, "refused-command", &why).await?;
                return Err(Denied::new(StatusCode::FORBIDDEN, why));
            }
        };
        let room = place(&self.desk.room, &caller)?;
        drop(receiving);
        if caller.scope > Scope::Read {
            log::line(format_args!("{}: {name}", caller.name));
        }
        let app = self.clone();
        // To its end, even if nobody waits for it any more.
        let running = tokio::spawn(async move {
            let _room = room;
            command::run(&app.dir, &caller, call).await
        });
        Ok(Json(running.await.map_err(anyhow::Error::from)??))
    }
}

fn place(places: &Places, caller: &Caller) -> Result<Place, Denied> {
    places.take(&caller.whose, caller.scope).ok_or_else(|| {
        let busy = Denied::new(StatusCode::SERVICE_UNAVAILABLE, "other commands are running: try again");
        Denied { retry_after: Some(BUSY), ..busy }
    })
}

/// `POST /admin/command` at the socket.
pub async fn local(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Result<Json<Answer>, Denied> {
    let Some(caller) = peer.caller(app.desk.operators) else {
        app.store.refusal("-", &peer.name(), "refused-user", "may not command at the socket").await?;
        return Err(Denied::new(StatusCode::FORBIDDEN, format!("{} may not command here", peer.name())));
    };
    app.obey(caller, request.into_body()).await
}

/// `POST /admin/command`
pub async fn command(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<Answer>, Denied> {
    let bearer =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    // Any web page can have a browser call without one: that is no wrong key.
    let Some(secret) = bearer else {
        return Err(Denied::new(
            StatusCode::UNAUTHORIZED,
            "this wants an API key: `Authorization: Bearer KEY`",
        ));
    };
    let key = app.key_of(secret, peer.ip()).await?;
    let whose = format!("API key {}", key.name);
    let name = format!("{whose} (from {})", peer_text(peer));
    app.obey(Caller { name, whose, scope: key.scope }, request.into_body()).await
}
