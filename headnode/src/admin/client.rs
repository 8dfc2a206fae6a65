//! `headnode remote`: sends a command to a head node that is elsewhere, and prints what it printed there.

use std::fs;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use axum::http::uri::Authority;
use axum::http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use nii::trust::Trust;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::PATH;
use super::command::{Answer, CALL_MAX, Call, TIME_MAX};
use crate::cli::Remote;
use crate::keys::authority;
use crate::recipe::HTTPS_PORT;

/// What connecting may take.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// What is read of an answer: what both of a command's outputs may have, and what JSON adds.
const ANSWER_MAX: usize = 128 << 20;

/// Runs it; the exit status is that of the command.
///
/// # Errors
/// When the head node cannot be reached or refuses.
pub async fn run(options: &Remote) -> Result<ExitCode> {
    let call = Call { args: options.args.clone(), stdin: stdin(&options.args)? };
    let answer = tokio::time::timeout(TIME_MAX + CONNECT_TIME, ask(options, &call)).await;
    let Answer { status, stdout, stderr } = answer.context("waiting for the answer")??;
    // It was printed into a pipe there: what a node wrote into a log must not command this terminal.
    let clean = |text: String, terminal: bool| if terminal { crate::output::visible(&text) } else { text };
    let (stdout, stderr) =
        (clean(stdout, io::stdout().is_terminal()), clean(stderr, io::stderr().is_terminal()));
    io::stderr().write_all(stderr.as_bytes()).context("writing to stderr")?;
    crate::output::text(&stdout)?;
    Ok(ExitCode::from(status))
}

/// Read only if it is an argument: whoever calls from a script may have no stdin that ends.
fn stdin(args: &[String]) -> Result<String> {
    let mut text = String::new();
    if args.iter().any(|arg| arg == "-" || arg.ends_with("=-")) {
        io::stdin().lock().read_to_string(&mut text).context("reading stdin")?;
        ensure!(text.len() < CALL_MAX, "stdin has more than {} MiB", CALL_MAX >> 20);
    }
    Ok(text)
}

async fn ask(options: &Remote, call: &Call) -> Result<Answer> {
    if let Some(path) = &options.socket {
        let stream =
            UnixStream::connect(path).await.with_context(|| format!("connecting to {}", path.display()))?;
        return post(stream, "localhost", None, call).await;
    }
    let (Some(to), Some(file), Some(trust)) = (&options.to, &options.key_file, &options.trust) else {
        bail!("say --to, --key-file and --trust, or --socket");
    };
    let secret = read_secret(file)?;
    let to: Authority = to.parse().with_context(|| format!("`{to}` is not HOST or HOST:PORT"))?;
    let about = || format!("reading {}", trust.display());
    let trust: Trust = serde_json::from_slice(&fs::read(trust).with_context(about)?).with_context(about)?;
    let host = to.host().trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host.clone()).with_context(|| format!("`{host}` is no host"))?;
    let connect = async {
        let stream = TcpStream::connect((host, to.port_u16().unwrap_or(HTTPS_PORT))).await?;
        TlsConnector::from(authority::client(&trust)?)
            .connect(name, stream)
            .await
            .map_err(anyhow::Error::from)
    };
    let stream = tokio::time::timeout(CONNECT_TIME, connect)
        .await
        .map_err(anyhow::Error::from)
        .flatten()
        .with_context(|| format!("connecting to {to}"))?;
    post(stream, to.as_str(), Some(&secret), call).await
}

/// The secret of a file that is its owner's only.
fn read_secret(file: &Path) -> Result<Zeroizing<String>> {
    let read = || -> Result<Zeroizing<String>> {
        let mut opened = fs::File::open(file)?;
        let mode = opened.metadata()?.mode();
        ensure!(mode & 0o077 == 0, "others may read it: chmod 600, and revoke the key if somebody may have");
        let mut secret = Zeroizing::new(String::new());
        opened.read_to_string(&mut secret)?;
        Ok(Zeroizing::new(secret.trim().to_owned()))
    };
    read().with_context(|| format!("reading the key of {}", file.display()))
}

async fn post(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    host: &str,
    secret: Option<&str>,
    call: &Call,
) -> Result<Answer> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.context("talking to the head node")?;
    // Ends with the sender.
    tokio::spawn(connection);
    let mut request = Request::post(PATH)
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(serde_json::to_vec(call)?)))?;
    if let Some(secret) = secret {
        let value = Zeroizing::new(format!("Bearer {secret}"));
        let mut value = header::HeaderValue::from_str(&value).context("the key is none")?;
        value.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    let response = sender.send_request(request).await.context("sending the command")?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!(error)).context("reading the answer")?.to_bytes();
    if status == StatusCode::OK {
        return serde_json::from_slice(&body).context("reading the answer");
    }
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    bail!("refused: {}", said["message"].as_str().unwrap_or(status.as_str()))
}
