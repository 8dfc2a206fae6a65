//! What keeps nodes from booting: small checks, each with what it found and what to do. They look, and change nothing.
//!
//! To add one: a function in the module of its field, and a line in [`CHECKS`].
//!
//! * [`host`]: interfaces, ports, disk space, clock; [`sockets`]: who holds a port.
//! * [`programs`]: dnsmasq, iPXE, GRUB.
//! * [`firewall`]: whether packets come through.
//! * [`keys`]: keys and certificates.
//! * [`files`]: the store, and the files that it names.
//! * [`others`]: DHCP servers that are not ours.
//! * [`pxe`]: a machine boots from a copy of what `serve` drives.

mod files;
mod firewall;
mod host;
mod keys;
mod others;
mod programs;
mod pxe;
mod sockets;

use anyhow::Result;
use serde::Serialize;

use crate::cli;
use crate::data_dir::DataDir;
use crate::recipe::{Catalog, HTTP_PORT, HTTPS_PORT};
use crate::store::Store;
use crate::store::inventory::{Dhcp, Network};
use crate::store::nodes::Node;

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth a look, or not to be told.
    Warning,
    /// Nodes will not boot, or not for long.
    Problem,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// The check's name.
    pub check: &'static str,
    /// The interface, port, file or node that it is about.
    pub about: String,
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub todo: Option<String>,
}

impl Finding {
    fn new(level: Level, about: impl Into<String>, what: impl Into<String>, todo: Option<String>) -> Self {
        Self { level, check: "", about: about.into(), what: what.into(), todo }
    }

    fn ok(about: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Level::Ok, about, what, None)
    }

    fn warning(about: impl Into<String>, what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self::new(Level::Warning, about, what, Some(todo.into()))
    }

    fn problem(about: impl Into<String>, what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self::new(Level::Problem, about, what, Some(todo.into()))
    }

    /// What no check could find out is worth a look.
    fn untold(about: impl Into<String>, why: &str) -> Self {
        Self::new(Level::Warning, about, format!("could not tell: {why}"), None)
    }
}

/// What is looked at.
pub struct Examined {
    dir: DataDir,
    programs: cli::Programs,
    probe: bool,
    http: u16,
    https: u16,
    networks: Vec<Network>,
    /// What the store says, or why it says nothing.
    stored: Result<Stored, String>,
}

/// What the store says.
struct Stored {
    /// What SQLite finds wrong with the file.
    damage: Vec<String>,
    catalog: Catalog,
    nodes: Vec<Node>,
}

type Check = fn(&Examined) -> Result<Vec<Finding>>;

const CHECKS: &[(&str, Check)] = &[
    ("store", files::store),
    ("disk", host::disk),
    ("clock", host::clock),
    ("keys", keys::modes),
    ("certificate", keys::certificates),
    ("trust", keys::initrds),
    ("files", files::named),
    ("interface", host::interfaces),
    ("port", host::ports),
    ("firewall", firewall::check),
    ("dnsmasq", programs::dnsmasq),
    ("ipxe", programs::ipxe),
    ("grub", programs::grub),
    ("dhcp", others::check),
    ("self-test", pxe::check),
];

impl Examined {
    /// Reads what the checks need. A store that cannot be read is their finding, not an error.
    pub async fn read(dir: DataDir, options: &cli::Doctor) -> Self {
        let store = Store::open(&dir.database()).await;
        let mut examined = Self {
            dir,
            programs: options.programs.clone(),
            probe: options.probe,
            http: HTTP_PORT,
            https: HTTPS_PORT,
            networks: Vec::new(),
            stored: Err(String::new()),
        };
        let read = async {
            let store = store?;
            examined.http = store.port("http-port", HTTP_PORT).await?;
            examined.https = store.port("https-port", HTTPS_PORT).await?;
            examined.networks = store.networks().await?;
            let (damage, catalog) = (store.damage().await?, Catalog::load(&store).await?);
            Ok::<_, anyhow::Error>(Stored { damage, catalog, nodes: store.nodes().await? })
        };
        examined.stored = read.await.map_err(|error| format!("{error:#}"));
        examined
    }

    /// All checks, in their order. Blocks.
    pub fn findings(&self) -> Vec<Finding> {
        let run = |&(name, check): &(&'static str, Check)| {
            let found = check(self).unwrap_or_else(|error| vec![Finding::untold("-", &format!("{error:#}"))]);
            found.into_iter().map(move |finding| Finding { check: name, ..finding })
        };
        CHECKS.iter().flat_map(run).collect()
    }

    fn managed(&self) -> impl Iterator<Item = &Network> {
        self.networks.iter().filter(|network| network.dhcp == Dhcp::Managed)
    }
}
