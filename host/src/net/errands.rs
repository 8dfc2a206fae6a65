//! What a node asks of its head node with its session, beside NII and events: files that the NII names, escrow, logs.

use anyhow::{Context as _, Result, bail, ensure};
use nii::digest::Digest;
use nii::session::Escrow;
use nii::v1::SshHostKey;

use super::head::Session;
use super::retry::{Sleep, until_answered};
use crate::machine::{Machine, Request, Watch};

/// No script or template is longer (docs/protocol.md).
pub const FILE_MAX: usize = 1 << 20;
/// No log is longer; of one that is, the end is kept.
pub const LOG_MAX: usize = 8 << 20;

/// Fetches a file that the NII pins. A path is below the head node's TLS side; the session, if there is one, goes there and
/// nowhere else.
///
/// # Errors
/// A refusal, or bytes that are not those of the digest; with the file's URL.
pub fn file(
    session: Option<&Session>,
    url: &str,
    digest: Digest,
    sleep: Sleep,
    machine: &mut dyn Machine,
    watch: &mut dyn Watch,
) -> Result<Vec<u8>> {
    let url = match (url.starts_with('/'), session) {
        (true, Some(session)) => format!("{}{url}", session.https),
        (true, None) => bail!("{url} is a path of a head node, and there is no session with one"),
        (false, _) => url.to_owned(),
    };
    let own = session.filter(|session| url.starts_with(&format!("{}/", session.https)));
    let request = Request { url: url.clone(), bearer: own.map(|session| session.key.clone()), body: None };
    let bytes = until_answered(&url, sleep, watch, || machine.fetch(&request))?;
    ensure!(bytes.len() <= FILE_MAX, "{url} has {} bytes, and {FILE_MAX} are the limit", bytes.len());
    let found = Digest::of(&bytes);
    if found != digest {
        bail!(
            "{url} has the digest {found}, and the NII says {digest}: load the file again on the head node"
        );
    }
    Ok(bytes)
}

/// Leaves host keys with the head node.
///
/// # Errors
/// A refusal.
pub fn escrow(
    session: &Session,
    keys: &[SshHostKey],
    sleep: Sleep,
    machine: &mut dyn Machine,
    watch: &mut dyn Watch,
) -> Result<()> {
    let body = serde_json::to_vec(&Escrow { ssh_host_keys: keys.to_vec() })?;
    let url = format!("{}/api/v1/escrow", session.https);
    let request = Request { url, bearer: Some(session.key.clone()), body: Some(body) };
    let whom = format!("the head node at {}", session.https);
    until_answered(&whom, sleep, watch, || machine.fetch(&request))?;
    Ok(())
}

/// Leaves a log with the head node, once: a log is no reason to wait.
///
/// # Errors
/// A refusal, or no answer.
pub fn log(session: &Session, name: &str, text: &[u8], machine: &mut dyn Machine) -> Result<()> {
    let url = format!("{}/api/v1/log?name={name}", session.https);
    let end = text[text.len().saturating_sub(LOG_MAX)..].to_vec();
    let request = Request { url, bearer: Some(session.key.clone()), body: Some(end) };
    machine.fetch(&request).map(drop).with_context(|| format!("uploading the log {name}"))
}
