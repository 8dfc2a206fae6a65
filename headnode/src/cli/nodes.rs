//! Commands about groups and nodes, and what nodes boot.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand};
use uuid::Uuid;

use crate::addresses::{Mac, machine_id};
use crate::script::Platform;
use crate::tpm::Name;

/// `group …`
#[derive(Debug, Subcommand)]
pub enum Group {
    /// Adds a group
    Add {
        /// Its name
        name: String,
        /// Its document
        #[arg(long)]
        file: PathBuf,
    },
    /// Replaces its document, or keys of it
    Set {
        /// The group
        name: String,
        /// A whole new document
        #[arg(long)]
        file: Option<PathBuf>,
        /// Keys to set
        #[arg(value_name = "KEY=VALUE")]
        keys: Vec<Assignment>,
    },
    /// Drops keys of its document
    Unset {
        /// The group
        name: String,
        /// Dotted paths
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
    },
    /// Opens its document in $EDITOR
    Edit {
        /// The group
        name: String,
    },
    /// Lists them
    List,
    /// Prints its document
    Show {
        /// The group
        name: String,
        /// With the secrets
        #[arg(long)]
        secrets: bool,
        /// Every value instead, and where it comes from
        #[arg(long, conflicts_with = "secrets")]
        effective: bool,
    },
    /// Removes one
    Rm {
        /// The group
        name: String,
    },
}

/// `node …`
#[derive(Debug, Subcommand)]
pub enum Node {
    /// Adds a node
    Add {
        /// Its name
        name: String,
        /// What it is and where
        #[command(flatten)]
        set: NodeSet,
    },
    /// Changes nodes
    Set {
        /// The nodes, as n[1-3],@group
        nodes: String,
        /// What to change
        #[command(flatten)]
        set: NodeSet,
        /// Overrides to drop
        #[arg(long, value_name = "KEY")]
        unset: Vec<String>,
    },
    /// Drops overrides
    Unset {
        /// The nodes
        nodes: String,
        /// Dotted paths
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
    },
    /// Opens a node's overrides in $EDITOR
    Edit {
        /// The node
        node: String,
    },
    /// Lists them
    List {
        /// Only these
        nodes: Vec<String>,
    },
    /// Shows one
    Show {
        /// The node
        node: String,
        /// Every value of its document instead, and where it comes from
        #[arg(long)]
        effective: bool,
    },
    /// Removes some
    Rm {
        /// The nodes
        #[arg(required = true)]
        nodes: Vec<String>,
    },
}

/// `attribute …`
#[derive(Debug, Subcommand)]
pub enum Attribute {
    /// Sets some
    Set {
        /// The nodes, or the group
        of: String,
        /// It is a group
        #[arg(long)]
        group: bool,
        /// What to set
        #[arg(value_name = "NAME=TEXT", required = true)]
        attributes: Vec<Assignment>,
    },
    /// Drops some
    Unset {
        /// The nodes, or the group
        of: String,
        /// It is a group
        #[arg(long)]
        group: bool,
        /// Their names
        #[arg(value_name = "NAME", required = true)]
        attributes: Vec<String>,
    },
    /// Lists them
    List {
        /// The nodes, or the group
        of: String,
        /// It is a group
        #[arg(long)]
        group: bool,
    },
}

/// What a node is and where.
#[derive(Debug, Args)]
pub struct NodeSet {
    /// Its group
    #[arg(long)]
    pub group: Option<String>,
    /// MAC address of its boot interface
    #[arg(long)]
    pub mac: Option<Mac>,
    /// Its address, to be reserved
    #[arg(long)]
    pub ip: Option<Ipv4Addr>,
    /// Its id in the site's own inventory
    #[arg(long)]
    pub uid: Option<String>,
    /// The id of its machine (SMBIOS UUID): no other is installed as this node; `any`: whichever has the MAC address
    #[arg(long, value_name = "UUID|any")]
    pub machine: Option<Machine>,
    /// Its network, if there are several
    #[arg(long)]
    pub network: Option<String>,
    /// Overrides of its group's document
    #[arg(value_name = "KEY=VALUE")]
    pub keys: Vec<Assignment>,
}

/// Which machine a node may be.
#[derive(Clone, Copy, Debug)]
pub struct Machine(pub Option<Uuid>);

impl FromStr for Machine {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "any" {
            return Ok(Self(None));
        }
        let id = text.parse().ok().and_then(machine_id);
        Ok(Self(Some(id.with_context(|| format!("`{text}` is no machine's id"))?)))
    }
}

/// `escrow …`
#[derive(Debug, Subcommand)]
pub enum Escrow {
    /// Lists the nodes that have some here, and since when
    List,
    /// Drops a node's: its next attempt keeps what it finds on the disks
    Drop {
        /// The node
        node: String,
    },
}

/// `tpm …`
#[derive(Debug, Subcommand)]
pub enum Tpm {
    /// Lists the nodes that have one, and since when
    List,
    /// Takes this TPM for the node's
    Accept {
        /// The node
        node: String,
        /// Name of its endorsement key (template L-2): events have it, and tpm2_readpublic prints it
        name: Name,
    },
    /// Forgets a node's: with `first-use`, its next install brings another
    Forget {
        /// The node
        node: String,
    },
}

/// `boot …`
#[derive(Debug, Subcommand)]
pub enum Boot {
    /// Arms: a new install from the next network boot on
    Install {
        /// The nodes
        #[arg(required = true)]
        nodes: Vec<String>,
        /// Some at a time
        #[command(flatten)]
        pace: Pace,
    },
    /// Arms, and cycles the nodes' power: a new install at once
    Reinstall {
        /// The nodes
        #[arg(required = true)]
        nodes: Vec<String>,
        /// Some at a time
        #[command(flatten)]
        pace: Pace,
    },
    /// Arms nodes that run from RAM, and no others
    Diskless {
        /// The nodes
        #[arg(required = true)]
        nodes: Vec<String>,
        /// Some at a time
        #[command(flatten)]
        pace: Pace,
    },
    /// The group's rescue system, until `boot local` or another install
    Rescue {
        /// The nodes
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Shows installs that go some nodes at a time, or ends one
    Rollout {
        /// Only this one, with its nodes
        id: Option<i64>,
        /// No more of its nodes begin
        #[arg(long, requires = "id")]
        abort: bool,
    },
    /// Disarms: boot from the local disk
    Local {
        /// The nodes
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Prints the script that the node would get now
    Show {
        /// The node
        node: String,
        /// Its firmware
        #[arg(long, value_enum, default_value_t)]
        platform: Platform,
    },
}

/// How many nodes at a time: with one of these `serve` arms them, the others wait.
#[derive(Clone, Copy, Debug, Args)]
pub struct Pace {
    /// So many nodes go first, and none of them may fail
    #[arg(long)]
    pub canary: Option<u32>,
    /// So many at once then (32)
    #[arg(long)]
    pub batch: Option<u32>,
    /// After so many failures no more begin (1)
    #[arg(long)]
    pub stop_after_failures: Option<u32>,
    /// So many minutes a node has from its turn on; then it counts as failed (120)
    #[arg(long, value_name = "MINUTES")]
    pub deadline: Option<u32>,
}

impl Pace {
    /// Whether anything was said of it.
    pub fn is_given(self) -> bool {
        [self.canary, self.batch, self.stop_after_failures, self.deadline].iter().any(Option::is_some)
    }
}

/// `KEY=VALUE`
#[derive(Clone, Debug)]
pub struct Assignment {
    /// A dotted path.
    pub key: String,
    /// TOML, or a string.
    pub value: String,
}

impl FromStr for Assignment {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (key, value) = text.split_once('=').with_context(|| format!("`{text}` is not KEY=VALUE"))?;
        ensure!(!key.is_empty(), "`{text}` is not KEY=VALUE");
        Ok(Self { key: key.trim().to_owned(), value: value.trim().to_owned() })
    }
}
