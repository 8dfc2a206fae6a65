//! Anaconda's logs, without the node's secrets, for the head node.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use host::FetchError;
use host::net::errands;
use nii::v1::Secrets;

use crate::context::Ctx;

/// Where anaconda writes them.
pub const FOLDER: &str = "/tmp";
/// The log that says where it stands.
const MAIN: &str = "anaconda.log";
/// What is put in the place of a secret.
const HIDDEN: &str = "(secret)";
/// Shorter lines of a key are not its secret.
const LINE: usize = 20;

/// Uploads every log of `folder`. One that cannot be uploaded is a line on the console: the failure itself matters more. A head
/// node that does not answer is not asked for the next.
pub fn upload(ctx: &mut Ctx, folder: &Path) {
    let Some(session) = ctx.session.clone() else { return };
    let secrets = secrets(ctx);
    for path in logs(folder) {
        let sent = read(&path, &secrets)
            .and_then(|text| errands::log(&session, &name(&path), text.as_bytes(), &mut *ctx.machine));
        let Err(error) = sent else { continue };
        ctx.tracker.warn(&format!("{error:#}"));
        if matches!(error.downcast_ref(), Some(FetchError::Transport { .. })) {
            return;
        }
    }
}

/// The last lines of anaconda's own log.
pub fn tail(ctx: &Ctx, folder: &Path, lines: usize) -> Vec<String> {
    let text = read(&folder.join(MAIN), &secrets(ctx)).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect()
}

/// `*.log`, and the tracebacks (`anaconda-tb-…`).
fn logs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_log = |path: &PathBuf| {
        let name = name(path);
        path.is_file() && (name.ends_with(".log") || name.starts_with("anaconda-tb-"))
    };
    let mut logs: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_log).collect();
    logs.sort();
    logs
}

/// The name, as the head node takes it.
fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
}

/// The end of a log without secrets: whole lines, since half a secret would not be known for one.
fn read(path: &Path, secrets: &[String]) -> Result<String> {
    let bytes = end(path).with_context(|| format!("reading {}", path.display()))?;
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    for secret in secrets {
        text = text.replace(secret, HIDDEN);
    }
    Ok(text)
}

/// The last lines of a file, as many as a log may have bytes; logs are in RAM, and a second whole copy may not fit.
fn end(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = fs::File::open(path)?;
    let from = file.metadata()?.len().saturating_sub(errands::LOG_MAX as u64);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(errands::LOG_MAX as u64).read_to_end(&mut bytes)?;
    if from > 0 {
        let partial = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        bytes.drain(..partial);
    }
    Ok(bytes)
}

/// Every text that must not leave the node, the longest first: keys as a whole, and line by line.
fn secrets(ctx: &Ctx) -> Vec<String> {
    let mut found: Vec<String> = ctx.session.iter().map(|session| session.key.expose().to_owned()).collect();
    if let Some(secrets) = ctx.nii.as_ref().and_then(|nii| nii.secrets.as_ref()) {
        let Secrets { root_password_hash, user_password_hashes, ssh_host_keys, luks_keys } = secrets;
        let texts = root_password_hash.iter().chain(user_password_hashes.values()).chain(luks_keys.values());
        found.extend(texts.map(|hash| hash.expose().to_owned()));
        for key in ssh_host_keys {
            let private = key.private.expose();
            found.push(private.to_owned());
            let lines = private.lines().filter(|line| line.len() >= LINE && !line.starts_with("-----"));
            found.extend(lines.map(str::to_owned));
        }
    }
    found.retain(|secret| !secret.is_empty());
    found.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    found
}
