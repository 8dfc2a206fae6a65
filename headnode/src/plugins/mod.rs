//! Plugins: what a site has beside the store is told of its changes (docs/plugins.md).
//!
//! * [`folder`]: the executables of `plugins.d`, their order and policy.
//! * [`input`]: what they are told, as JSON: the contract with sites.
//! * [`process`]: one call, which can hang, crash or shout without harm to anything else.
//! * [`shipped`]: plugins and templates that come with the head node.
//! * [`render`], [`target`]: from a template to a file.
//! * [`follow`]: what `serve` tells them.
//!
//! Callers change the store first and call [`run`] then: a plugin cannot undo what is so. Its shape is for all plugins:
//! nothing here knows what any of them does.

pub mod folder;
pub mod follow;
pub mod input;
mod process;
pub mod render;
pub mod shipped;
pub mod target;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{FlockOperation, flock};
use tempfile::NamedTempFile;

use self::folder::Plugin;
use crate::data_dir::DataDir;
use crate::log;
use crate::store::Store;
use crate::store::nodes::Node;
use crate::store::plugins::Call;

/// Tells a command that a plugin called it. Its changes are not told to plugins again: they would wait for each other.
const INSIDE: &str = "CAMPHOR_PLUGIN";

/// What happened to nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// They are new.
    Added,
    /// They are gone: they are no more among all nodes.
    Removed,
    /// They are other machines now, under the same names.
    Replaced,
    /// Something about them changed; or nothing, where a call before may have been lost.
    Updated,
    /// A command is through with these nodes: what is worth doing once is done now.
    Finished,
}

impl Verb {
    /// As a plugin gets it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Replaced => "replaced",
            Self::Updated => "updated",
            Self::Finished => "finished",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What came of calling all plugins.
#[derive(Clone, Debug, Default)]
#[must_use = "a required plugin may have failed"]
pub struct Report {
    /// Names of required plugins that failed.
    failed: Vec<String>,
}

impl Report {
    /// Adds what came of other calls.
    fn and(mut self, other: Self) -> Self {
        self.failed.extend(other.failed);
        self.failed.sort();
        self.failed.dedup();
        self
    }

    /// Refuses to call it done when a required plugin failed.
    ///
    /// # Errors
    /// Which ones, and what to do.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.failed.is_empty(),
            "the store is changed, but the required plugin {} failed: see `headnode events`, then \
             `headnode plugin run`",
            self.failed.join(", ")
        );
        Ok(())
    }
}

/// Calls all plugins with what happened to `changed`: the nodes as they are now, or as they were if they are removed; none
/// if it is about hosts that are no nodes.
/// Whoever fails is logged, and kept in the events; the others are called all the same.
///
/// # Errors
/// When the store or the plugins' folder cannot be read or written.
pub async fn run(dir: &DataDir, store: &Store, verb: Verb, changed: &[Node]) -> Result<Report> {
    let plugins = folder::list(&dir.plugins())?;
    if plugins.is_empty() {
        return Ok(Report::default());
    }
    if std::env::var_os(INSIDE).is_some() {
        log::line(format_args!("called by a plugin: plugins are not told ({verb})"));
        return Ok(Report::default());
    }
    // From here to the end: whoever comes later also knows more, and must write last.
    let _lock = lock(dir).await?;
    let input = input::of(store, verb, changed).await?;
    let file = written(dir, &input)?;
    let calls = tokio::task::spawn_blocking(move || call_all(&plugins, verb, &file)).await?;
    let names: Vec<&str> = changed.iter().map(|node| node.name.as_str()).collect();
    let failed = calls.iter().filter(|(plugin, call)| plugin.required && call.failure.is_some());
    let report = Report { failed: failed.map(|(plugin, _)| plugin.name.clone()).collect() };
    let calls: Vec<Call> = calls.into_iter().map(|(_, call)| call).collect();
    store.keep_plugin_calls(verb.name(), &names, &calls).await?;
    Ok(report)
}

/// For a command that does one thing: [`run`], then `finished`.
///
/// # Errors
/// Those of [`run`]; and when a required plugin failed.
pub async fn tell(dir: &DataDir, store: &Store, verb: Verb, changed: &[Node]) -> Result<()> {
    let report = run(dir, store, verb, changed).await?;
    report.and(run(dir, store, Verb::Finished, changed).await?).check()
}

/// Waits until no other process calls plugins.
async fn lock(dir: &DataDir) -> Result<File> {
    let path = dir.run("plugins.lock");
    let locked = tokio::task::spawn_blocking(move || -> Result<File> {
        let open = || OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = open().with_context(|| format!("opening {}", path.display()))?;
        flock(&file, FlockOperation::LockExclusive).with_context(|| format!("locking {}", path.display()))?;
        Ok(file)
    });
    locked.await?
}

/// A file, not a pipe: a plugin need not read it, and all read the same.
fn written(dir: &DataDir, input: &input::Input) -> Result<NamedTempFile> {
    let write = || -> Result<NamedTempFile> {
        let mut file = NamedTempFile::new_in(dir.run(""))?;
        serde_json::to_writer(std::io::BufWriter::new(&mut file), input)?;
        Ok(file)
    };
    write().context("writing what plugins are told")
}

fn call_all(plugins: &[Plugin], verb: Verb, input: &NamedTempFile) -> Vec<(Plugin, Call)> {
    let call = |plugin: &Plugin| {
        let outcome = match (&plugin.broken, File::open(input.path())) {
            (Some(why), _) => process::Outcome::failed(why.clone()),
            (None, Err(error)) => process::Outcome::failed(format!("opening its input: {error}")),
            (None, Ok(stdin)) => process::call(plugin, verb, stdin),
        };
        let process::Outcome { failure, output } = outcome;
        if let Some(failure) = &failure {
            let last = output.trim_end().rsplit('\n').next().unwrap_or_default();
            let colon = if last.is_empty() { "" } else { ": " };
            log::line(format_args!("plugin {} ({verb}): {failure}{colon}{last}", plugin.name));
        }
        (plugin.clone(), Call { plugin: plugin.name.clone(), failure, output })
    };
    plugins.iter().map(call).collect()
}
