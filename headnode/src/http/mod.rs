//! The two HTTP sides of docs/protocol.md: plain (what firmware and caches read) and TLS (what needs a credential).

mod admin;
mod answers;
mod boot;
mod files;
mod limits;
mod machine;
mod package;
mod page;
mod session;
mod tpm;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use tokio::sync::{Mutex, Semaphore};
use tower_http::timeout::TimeoutLayer;

pub use boot::{idle, settled};
pub use files::UEFI_LOADER;
pub use limits::{Connection, Gate};

use self::answers::Refused;
use crate::addresses::Mac;
use crate::admin::{self as desk, Desk};
use crate::data_dir::DataDir;
use crate::dhcp::leases::Link;
use crate::keys::live::Live;
use crate::meter::Meter;
use crate::os;
use crate::recipe::REFUSAL;
use crate::scripts;
use crate::store::Store;
use crate::store::inventory::MacProof;
use crate::store::nodes::Node;

/// A node's spool has a mebibyte; JSON and one more event may add a little.
const BODY_MAX: usize = 2 << 20;
/// Of the calls that anybody may make.
const CLAIM_MAX: usize = 16 << 10;
/// For the calls whose answer is small. Files take as long as they take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// What all calls share.
#[derive(Clone)]
pub struct App(Arc<Shared>);

/// See [`App`].
pub struct Shared {
    /// The store.
    pub store: Store,
    /// The keys.
    pub keys: Live,
    /// The data folder.
    pub dir: DataDir,
    /// Who is behind an address.
    pub link: Link,
    /// Whether there is a helper that starts UEFI nodes' local disks.
    pub local_boot: bool,
    /// Port of the TLS side.
    pub https_port: u16,
    /// Whose turn it is to keep a log.
    pub logs: Mutex<()>,
    /// How many logs may be in memory.
    pub log_bodies: Semaphore,
    /// Admins who are elsewhere.
    pub desk: Desk,
    /// How often addresses ask for tokens and sessions.
    pub calls: Meter,
    /// How often they ask for boot scripts and the time.
    pub asks: Meter,
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    /// Shares `shared`.
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// Whether the machine at `peer` is `node`'s, as far as its network wants that proved.
    async fn is_behind(&self, node: &Node, peer: IpAddr) -> Result<bool> {
        if self.store.network(&node.network).await?.mac_proof == MacProof::None {
            return Ok(true);
        }
        Ok(self.link.mac_of(peer.to_canonical())?.as_ref() == Some(&node.mac))
    }

    /// Whether the machine at `peer` is not `node`'s; then `cause` and `wish`, what it wanted, are a security notice.
    async fn is_foreign(&self, node: &Node, peer: SocketAddr, cause: &str, wish: &str) -> Result<bool> {
        if self.is_behind(node, peer.ip()).await? {
            return Ok(false);
        }
        let (peer, detail) = (peer_text(peer), format!("{wish} from an address that is not the node's"));
        self.store.refusal(&node.name, &peer, cause, &detail).await?;
        crate::log::line(format_args!("{}: refused to {peer}: {detail}", node.name));
        Ok(true)
    }
}

/// The plain side.
pub fn plain(app: App) -> Router {
    let calls = Router::new()
        .route("/boot/token/{attempt}", get(boot::token))
        .route("/boot/token/of/{mac}", get(boot::token_of))
        .route_layer(from_fn_with_state(app.clone(), count))
        .route("/boot/script", get(boot::script))
        .route(REFUSAL, get(package::refusal))
        .route("/api/v1/time", get(session::time))
        .route("/healthz", get(async || "ok\n"))
        .layer(timeout());
    let files = Router::new()
        .route("/boot/file/{digest}/{name}", get(files::boot))
        .route("/boot/loader/{name}", get(files::loader))
        .route("/images/{digest}/{name}", get(files::image))
        .route(&format!("{}/{{os}}/{{*path}}", os::PATH), get(files::os));
    calls.merge(files).fallback(answers::nothing_here).with_state(app)
}

/// The TLS side.
pub fn secure(app: App) -> Router {
    let nodes = Router::new()
        .route("/api/v1/session", post(session::open).layer(DefaultBodyLimit::max(CLAIM_MAX)))
        .route("/api/v1/token", post(boot::token_asked_for).layer(DefaultBodyLimit::max(CLAIM_MAX)))
        .route_layer(from_fn_with_state(app.clone(), count))
        .route("/api/v1/nii", get(session::nii))
        .route("/api/v1/events", post(session::events))
        .route(&format!("{}/{{digest}}", scripts::PATH), get(package::file))
        .route("/api/v1/escrow", post(package::keep_escrow))
        .route("/api/v1/log", post(package::keep_log))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(timeout());
    // Commands have limits of their own.
    let admins = Router::new().route(desk::PATH, post(admin::command));
    nodes.merge(admins).merge(page::routes().layer(timeout())).fallback(answers::nothing_here).with_state(app)
}

/// The socket.
pub fn local(app: App) -> Router {
    Router::new().route(desk::PATH, post(admin::local)).fallback(answers::nothing_here).with_state(app)
}

/// Lets an address ask so often, and then wait.
async fn count(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Result<Response, Refused> {
    admit(&app.calls, peer)?;
    Ok(next.run(request).await)
}

/// Counts a call of an address that may make it.
fn admit(meter: &Meter, peer: SocketAddr) -> Result<(), Refused> {
    if let Some(pause) = meter.pause(peer.ip()) {
        return Err(Refused::too_often(pause));
    }
    meter.count(peer.ip());
    Ok(())
}

fn timeout() -> TimeoutLayer {
    TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, CALL_TIMEOUT)
}

/// A peer for the audit log.
fn peer_text(peer: SocketAddr) -> String {
    peer.ip().to_canonical().to_string()
}

/// A MAC from a request.
fn mac_of(text: &str) -> Option<Mac> {
    text.parse().ok()
}
