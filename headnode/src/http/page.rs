//! The web page: a login with an API key, and how far each node is. Rendered here, without scripts.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::Result;
use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Form, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::admin::Denied;
use super::{App, peer_text};
use crate::admin::sessions::{LIFETIME, form_token};
use crate::commands::status;
use crate::keys;
use crate::log;
use crate::store::api_keys::ApiKey;

/// Of a form.
const FORM_MAX: usize = 4 << 10;
/// `__Host-`: browsers take it over TLS only, for this host only, and from no one else.
const COOKIE: &str = "__Host-camphor";
const STYLE: &str = "body{font:15px sans-serif;margin:2em}table{border-collapse:collapse}th,td{text-align:left;padding:.2em 1em \
                     .2em 0;border-bottom:1px solid #ccc}form{margin:1em 0}.said{color:#a00}";

/// On every answer. No HSTS: it is of names, for all their ports, and nodes need plain HTTP.
const GUARDS: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    // Not `no-referrer`: browsers would then say `Origin: null` with a form.
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Its routes.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/", get(show))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/style.css", get(style))
        .layer(DefaultBodyLimit::max(FORM_MAX))
}

/// What the login form sends.
#[derive(Deserialize)]
struct Login {
    key: String,
}

/// What every other form sends.
#[derive(Deserialize)]
struct Token {
    token: String,
}

/// Who is logged in, and by which session.
struct Visitor {
    key: ApiKey,
    session: String,
}

async fn show(State(app): State<App>, headers: HeaderMap) -> Result<Response, Denied> {
    let Some(visitor) = visitor(&app, &headers).await? else { return Ok(login_page(StatusCode::OK, "")) };
    let (columns, rows) = status::of_all(&app.store).await?.into_columns();
    let mut body = format!(
        "<form method=post action=/logout>{} ({}) <input type=hidden name=token value={}><button>Log out</button></form>\n\
         <table><tr>",
        escaped(&visitor.key.name),
        visitor.key.scope.name(),
        form_token(&visitor.session).to_hex()
    );
    for column in columns {
        let _ = write!(body, "<th>{}", escaped(column));
    }
    for row in rows {
        body.push_str("\n<tr>");
        for cell in row {
            let _ = write!(body, "<td>{}", escaped(&cell));
        }
    }
    body.push_str("\n</table>\n");
    Ok(page(StatusCode::OK, &body))
}

async fn login(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    form: Result<Form<Login>, FormRejection>,
) -> Result<Response, Denied> {
    let form = form.ok().filter(|_| is_own(&headers));
    let Some(Form(Login { key: secret })) = form else { return Err(foreign()) };
    let secret = zeroize::Zeroizing::new(secret);
    let key = match app.key_of(secret.trim(), peer.ip()).await {
        Ok(key) => key,
        Err(denied) => {
            let mut response = login_page(denied.status, &denied.message);
            if let Some(pause) = denied.retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, pause.as_secs().into());
            }
            return Ok(response);
        }
    };
    let session = app.desk.sessions.open(keys::hash(secret.trim()))?;
    log::line(format_args!("API key {} (from {}): logged in at the page", key.name, peer_text(peer)));
    Ok(go_home(&session, LIFETIME.as_secs()))
}

async fn logout(
    State(app): State<App>,
    headers: HeaderMap,
    form: Result<Form<Token>, FormRejection>,
) -> Result<Response, Denied> {
    let form = form.ok().filter(|_| is_own(&headers));
    let (Some(Form(Token { token })), Some(session)) = (form, cookie(&headers)) else {
        return Err(foreign());
    };
    // blake3's comparison takes the same time wherever the hashes differ.
    if !blake3::Hash::from_hex(token).is_ok_and(|token| token == form_token(session)) {
        return Err(foreign());
    }
    app.desk.sessions.close(session);
    Ok(go_home("", 0))
}

async fn style() -> Response {
    (AppendHeaders(GUARDS), [(header::CONTENT_TYPE, "text/css")], STYLE).into_response()
}

/// Who is logged in: the session is open, and its key has not ended meanwhile.
async fn visitor(app: &App, headers: &HeaderMap) -> Result<Option<Visitor>> {
    let Some(session) = cookie(headers) else { return Ok(None) };
    let Some(key) = app.desk.sessions.key_of(session) else { return Ok(None) };
    let key = app.store.api_key(key).await?;
    Ok(key.map(|key| Visitor { key, session: session.to_owned() }))
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// Whether a form comes from a page of ours: browsers say so with every form.
fn is_own(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = text(header::ORIGIN).and_then(|origin| origin.strip_prefix("https://"));
    origin.is_some() && origin == text(header::HOST)
}

fn foreign() -> Denied {
    Denied::new(StatusCode::FORBIDDEN, "this form is not of this page as it is now: load it again")
}

fn go_home(session: &str, seconds: u64) -> Response {
    let cookie = format!("{COOKIE}={session}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={seconds}");
    let to = [(header::LOCATION, "/".to_owned()), (header::SET_COOKIE, cookie)];
    (StatusCode::SEE_OTHER, AppendHeaders(GUARDS), AppendHeaders(to)).into_response()
}

fn login_page(status: StatusCode, said: &str) -> Response {
    let body = format!(
        "<form method=post action=/login><label>API key <input type=password name=key autocomplete=off autofocus></label> \
         <button>Log in</button></form>\n<p class=said>{}</p>\n",
        escaped(said)
    );
    page(status, &body)
}

fn page(status: StatusCode, body: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=en><meta charset=utf-8><title>Camphor</title><link rel=stylesheet href=/style.css>\n\
         <h1>Camphor</h1>\n{body}</html>\n"
    );
    let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    (status, AppendHeaders(GUARDS), kind, html).into_response()
}

/// Text of nodes and people within HTML, and within its attributes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
