//! The command line (docs/headnode.md says what each command does).

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::addresses::{Mac, Range, Subnet};
use crate::script::Platform;
use crate::store::inventory::{Dhcp, MacProof};

/// The head node: boot scripts, DHCP/TFTP, NIIs, images, reports.
#[derive(Debug, Parser)]
#[command(name = "headnode", version)]
pub struct Cli {
    /// The folder that holds all that the head node knows.
    #[arg(long, global = true, default_value = "/var/lib/camphor")]
    pub data_dir: PathBuf,
    /// For people or for programs.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub output: Output,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How lists are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Columns.
    #[default]
    Table,
    /// JSON.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes keys, certificates and the store
    Init(Init),
    /// Runs: HTTP, TLS, DHCP, TFTP
    Serve(Serve),
    /// Prints or writes the public trust.json, for initrd-builder
    Trust {
        /// Write it there instead
        #[arg(long)]
        write: Option<PathBuf>,
    },
    /// Provisioning networks
    #[command(subcommand)]
    Network(Network),
    /// Images
    #[command(subcommand)]
    Image(Image),
    /// Kernels and initrds that nodes boot
    #[command(subcommand)]
    Netboot(Netboot),
    /// Scripts and kickstart templates for package installs
    #[command(subcommand)]
    Script(Script),
    /// Groups and their documents
    #[command(subcommand)]
    Group(Group),
    /// Nodes
    #[command(subcommand)]
    Node(Node),
    /// What nodes boot next
    #[command(subcommand)]
    Boot(Boot),
    /// Prints a node's NII, without secrets
    Nii {
        /// The node
        node: String,
    },
    /// How far each node is
    Status {
        /// Only these
        nodes: Vec<String>,
    },
    /// What nodes reported, changes of state, security notices
    Events {
        /// Only this node
        node: Option<String>,
        /// How many, from the end
        #[arg(long, default_value_t = 200)]
        limit: u32,
    },
    /// Lists the logs that a node sent, or prints one
    Logs {
        /// The node
        node: String,
        /// The log to print
        log: Option<String>,
        /// Only of this attempt: its number in its arming (the last one that has it), or its id
        #[arg(long)]
        attempt: Option<String>,
    },
    /// Reads a password from stdin, prints its crypt hash
    HashPassword,
}

/// `init`
#[derive(Debug, Args)]
pub struct Init {
    /// Port of plain HTTP (8080)
    #[arg(long)]
    pub http_port: Option<u16>,
    /// Port of TLS (8443)
    #[arg(long)]
    pub https_port: Option<u16>,
}

/// `serve`
#[derive(Debug, Args)]
pub struct Serve {
    /// Listen there, not on the addresses of all networks
    #[arg(long)]
    pub listen: Vec<Ipv4Addr>,
    /// Where the distribution has iPXE's boot files
    #[arg(long)]
    pub ipxe_dir: Option<PathBuf>,
    /// The dnsmasq to run
    #[arg(long, default_value = "dnsmasq")]
    pub dnsmasq: PathBuf,
}

/// `network …`
#[derive(Debug, Subcommand)]
pub enum Network {
    /// Adds a network
    Add(NetworkAdd),
    /// Lists them
    List,
    /// Shows one, and what an external DHCP server must say
    Show {
        /// The network
        name: String,
    },
    /// Removes one
    Rm {
        /// The network
        name: String,
    },
}

/// `network add`
#[derive(Debug, Args)]
pub struct NetworkAdd {
    /// Its name
    pub name: String,
    /// The head node's interface on it
    #[arg(long)]
    pub interface: String,
    /// Its addresses, as 10.1.0.0/24
    #[arg(long)]
    pub subnet: Subnet,
    /// The head node's own address
    #[arg(long)]
    pub address: Ipv4Addr,
    /// Leases for machines without a reservation, as 10.1.0.100-10.1.0.200
    #[arg(long)]
    pub range: Option<Range>,
    /// Default gateway of its nodes
    #[arg(long)]
    pub gateway: Option<Ipv4Addr>,
    /// Name server of its nodes
    #[arg(long)]
    pub dns: Vec<IpAddr>,
    /// Domain of its nodes
    #[arg(long)]
    pub domain: Option<String>,
    /// Who serves DHCP
    #[arg(long, value_enum, default_value = "managed")]
    pub dhcp: Dhcp,
    /// How a node's MAC address is proved
    #[arg(long, value_enum, default_value = "link")]
    pub mac_proof: MacProof,
}

/// `image …`
#[derive(Debug, Subcommand)]
pub enum Image {
    /// Packs, signs and stores a directory or a tarball
    Import {
        /// What to call it
        name: String,
        /// A directory, or a tarball (plain, gz, bz2, xz, zst)
        source: PathBuf,
    },
    /// Lists them
    List,
    /// Shows one's manifest
    Show {
        /// The image
        name: String,
    },
    /// Forgets one
    Rm {
        /// The image
        name: String,
    },
}

/// `netboot …`
#[derive(Debug, Subcommand)]
pub enum Netboot {
    /// Adds or replaces a kernel and its initrd
    Add {
        /// What to call it
        name: String,
        /// The kernel
        #[arg(long)]
        kernel: PathBuf,
        /// The initrd
        #[arg(long)]
        initrd: PathBuf,
        /// Camphor's segment, if they are a distribution's installer (initrd-builder append makes it)
        #[arg(long)]
        segment: Option<PathBuf>,
    },
    /// Lists them
    List,
    /// Forgets one
    Rm {
        /// The netboot
        name: String,
    },
}

/// `script …`
#[derive(Debug, Subcommand)]
pub enum Script {
    /// Adds a script or a template, or a new version of it
    Add {
        /// What to call it
        name: String,
        /// Its file, at most 1 MiB
        file: PathBuf,
    },
    /// Lists them
    List,
    /// Prints one
    Show {
        /// The script
        name: String,
    },
    /// Forgets one with all its versions
    Rm {
        /// The script
        name: String,
    },
}

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
    /// Lists them
    List,
    /// Prints its document
    Show {
        /// The group
        name: String,
        /// With the password hashes
        #[arg(long)]
        secrets: bool,
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
    /// Changes a node
    Set {
        /// The node
        name: String,
        /// What to change
        #[command(flatten)]
        set: NodeSet,
        /// Overrides to drop
        #[arg(long, value_name = "KEY")]
        unset: Vec<String>,
    },
    /// Lists them
    List,
    /// Shows one
    Show {
        /// The node
        name: String,
    },
    /// Removes some
    Rm {
        /// The nodes
        #[arg(required = true)]
        names: Vec<String>,
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
    /// Its network, if there are several
    #[arg(long)]
    pub network: Option<String>,
    /// Overrides of its group's document
    #[arg(value_name = "KEY=VALUE")]
    pub keys: Vec<Assignment>,
}

/// `boot …`
#[derive(Debug, Subcommand)]
pub enum Boot {
    /// Arms: a new install from the next network boot on
    Install {
        /// The nodes
        #[arg(required = true)]
        nodes: Vec<String>,
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn clap_finds_no_contradiction() {
        super::Cli::command().debug_assert();
    }
}
