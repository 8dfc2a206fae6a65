//! The commands. Each opens the store, does one thing, and prints what it did.

mod addhost;
mod api_key;
mod attribute;
mod backup;
mod boot;
mod change;
mod doctor;
mod effective;
mod escrow;
mod group;
mod image;
mod import_site;
mod keys;
mod logs;
mod manual;
mod netboot;
mod network;
mod node;
mod os;
mod password;
mod plan;
mod plugin;
mod power;
mod rollout;
mod script;
mod select;
pub mod status;
mod tpm;
mod users;
mod whole;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::admin::{self, client};
use crate::cli::{self, Cli, Command, Init, Output};
use crate::data_dir::DataDir;
use crate::recipe::{Form, HTTP_PORT, HTTPS_PORT, Recipe};
use crate::store::Store;
use crate::{log, names, output, ranges, serve};

/// What every command works with.
pub struct Context {
    dir: DataDir,
    store: Store,
    output: Output,
    /// Whether nobody is to be asked.
    yes: bool,
}

impl Context {
    async fn open(path: &Path, output: Output, yes: bool) -> Result<Self> {
        let dir = DataDir::open(path)?;
        let store = Store::open(&dir.database()).await?;
        Ok(Self { dir, store, output, yes })
    }
}

/// Runs the command.
///
/// # Errors
/// Those of the command, to be shown whole.
pub async fn run(cli: Cli) -> Result<ExitCode> {
    if let Command::Remote(options) = &cli.command {
        return client::run(options).await;
    }
    here(cli).await.map(|()| ExitCode::SUCCESS)
}

async fn here(cli: Cli) -> Result<()> {
    let Cli { data_dir, output, yes, command } = cli;
    match &command {
        Command::HashPassword => return password::hash(),
        Command::Completion { shell } => return manual::completion(*shell),
        Command::Man { folder } => return manual::write(folder),
        Command::Plugin(cli::Plugin::Render(options)) => return plugin::render(options),
        Command::Init(options) => return init(&data_dir, options).await,
        Command::Serve(options) => {
            init(&data_dir, &Init { http_port: None, https_port: None }).await?;
            let Context { dir, store, .. } = Context::open(&data_dir, output, yes).await?;
            return serve::run(&dir, store, options).await;
        }
        Command::Keys(cli::Keys::Certify { key, root_key }) => return keys::certify(key, root_key),
        Command::Restore { file } => return whole::restore(&data_dir, file).await,
        Command::Doctor(options) => return doctor::run(&data_dir, output, options).await,
        _ => {}
    }
    let context = Context::open(&data_dir, output, yes).await?;
    match command {
        Command::Init(_) | Command::Serve(_) | Command::Doctor(_) | Command::HashPassword => Ok(()),
        Command::Remote(_) => Ok(()),
        Command::Completion { .. } | Command::Man { .. } | Command::Restore { .. } => Ok(()),
        Command::Trust { write } => trust(&context, write.as_deref()),
        Command::Keys(command) => keys::run(&context, command).await,
        Command::ApiKey(command) => api_key::run(&context, command).await,
        Command::Network(command) => network::run(&context, command).await,
        Command::Image(command) => image::run(&context, command).await,
        Command::Netboot(command) => netboot::run(&context, command).await,
        Command::Os(command) => os::run(&context, command).await,
        Command::Script(command) => script::run(&context, command).await,
        Command::Escrow(command) => escrow::run(&context, command).await,
        Command::Tpm(command) => tpm::run(&context, command).await,
        Command::Logs { node, log, attempt } => {
            logs::run(&context, &node, log.as_deref(), attempt.as_deref()).await
        }
        Command::Group(command) => group::run(&context, command).await,
        Command::Node(command) => node::run(&context, command).await,
        Command::Attribute(command) => attribute::run(&context, command).await,
        Command::Addhost(options) => addhost::run(&context, &options).await,
        Command::Host(command) => addhost::host(&context, command).await,
        Command::Boot(command) => boot::run(&context, command).await,
        Command::ImportSite(options) => import_site::run(&context, options).await,
        Command::Plugin(command) => plugin::run(&context, command).await,
        Command::Power { action, nodes } => power::run(&context, action, &nodes).await,
        Command::Lock { nodes, reason } => {
            ensure!(!reason.trim().is_empty(), "a lock needs a reason: --reason TEXT");
            let nodes = context.nodes_to_change(&nodes).await?;
            let late = context.store.lock(&nodes, reason.trim(), &actor()).await?;
            if !late.is_empty() {
                let names = ranges::fold(late.iter().map(String::as_str));
                log::line(format_args!("{names}: being installed: for this attempt the lock comes too late"));
            }
            Ok(())
        }
        Command::Unlock { nodes } => context.store.unlock(&context.nodes_to_change(&nodes).await?).await,
        Command::Nii { node } => nii(&context, &node).await,
        Command::Plan { node } => plan::plan(&context, &node).await,
        Command::Backup { file } => whole::backup(&context, &file).await,
        Command::Export { secrets } => backup::export(&context, secrets).await,
        Command::Import { file, armings } => backup::import(&context, &file, armings).await,
        Command::Status { nodes } => status::status(&context, &nodes).await,
        Command::Events { nodes, limit } => status::events(&context, &nodes, limit).await,
    }
}

async fn init(path: &Path, options: &Init) -> Result<()> {
    let dir = DataDir::create(path)?;
    let store = Store::open(&dir.database()).await?;
    crate::keys::ensure(&dir)?;
    for (key, port, default) in
        [("http-port", options.http_port, HTTP_PORT), ("https-port", options.https_port, HTTPS_PORT)]
    {
        let port = port.unwrap_or(store.port(key, default).await?);
        store.set_port(key, port).await?;
    }
    Ok(())
}

fn trust(context: &Context, write: Option<&Path>) -> Result<()> {
    let trust = crate::keys::trust(&context.dir)?;
    match write {
        Some(path) => std::fs::write(path, trust).with_context(|| format!("writing {}", path.display())),
        None => output::text(&trust),
    }
}

async fn nii(context: &Context, node: &str) -> Result<()> {
    let node = context.node(node).await?;
    let nii = Recipe::of(&context.store, node).await?.nii(Form::Public)?;
    output::data(context.output, &serde_json::from_str(&nii)?)
}

/// Names become parts of paths and URLs.
fn check_name(kind: &str, name: &str) -> Result<()> {
    ensure!(names::is_name(name), "`{name}` is no name for a {kind}: {}", names::RULE);
    Ok(())
}

/// Who types, for the audit log. A `serve` that was told to run a command says who told it: like `SUDO_USER` that is to
/// be believed as far as whoever may start commands here is.
fn actor() -> String {
    if let Ok(caller) = std::env::var(admin::ACTOR) {
        return caller;
    }
    let uid = crate::owner::typed_by();
    match std::env::var("SUDO_USER") {
        Ok(user) => format!("{user} (uid {uid})"),
        Err(_) => format!("uid {uid}"),
    }
}

/// Tells what is worth a look.
fn warn(recipe: &Recipe) {
    for finding in recipe.warnings() {
        log::line(format_args!("{finding}"));
    }
}

/// A digest as tables show it.
fn short(digest: &nii::digest::Digest) -> String {
    digest.to_string()[..12].to_owned()
}

/// The JSON of a name and a digest.
fn named(name: &str, digest: &nii::digest::Digest) -> serde_json::Value {
    json!({"name": name, "digest": digest})
}
