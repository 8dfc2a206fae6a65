//! The command line (docs/headnode.md says what each command does).
//!
//! * [`admin`]: admins who are elsewhere.
//! * [`addhost`]: machines that become nodes.
//! * [`doctor`]: whether all is well.
//! * [`inventory`]: what nodes are made of: networks, images, netboots, distributions, scripts.
//! * [`keys`]: whom nodes believe.
//! * [`nodes`]: groups, nodes, and what they boot.
//! * [`plugins`]: who is told of them.

mod addhost;
mod admin;
mod doctor;
mod inventory;
mod keys;
mod nodes;
mod plugins;
mod site;

use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use addhost::{Addhost, Host};
pub use admin::{ApiKey, Remote};
pub use doctor::{Doctor, Programs};
pub use inventory::{Image, Netboot, Network, NetworkKey, NetworkSet, Os, Script};
pub use keys::{Keys, Rotated};
pub use nodes::{Assignment, Attribute, Boot, Escrow, Group, Machine, Node, NodeSet, Pace, Tpm};
pub use plugins::{Plugin, Render};
pub use site::ImportSite;

use crate::site::Power;

/// Where a command's help has what is not its own.
const GLOBAL: &str = "With every command";

/// The head node: boot scripts, DHCP/TFTP, NIIs, images, reports.
#[derive(Debug, Parser)]
#[command(name = "headnode", version)]
pub struct Cli {
    /// The folder that holds all that the head node knows.
    #[arg(long, global = true, help_heading = GLOBAL, default_value = "/var/lib/camphor")]
    pub data_dir: PathBuf,
    /// For people or for programs.
    #[arg(long, global = true, help_heading = GLOBAL, value_enum, default_value_t)]
    pub output: Output,
    /// Do not ask, on a terminal, before something is changed
    #[arg(long, short, global = true, help_heading = GLOBAL)]
    pub yes: bool,
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
    /// YAML.
    Yaml,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes keys, certificates and the store
    Init(Init),
    /// Runs: HTTP, TLS, DHCP, TFTP
    Serve(Serve),
    /// Looks for what keeps nodes from booting, and says what to do
    Doctor(Doctor),
    /// Prints or writes the public trust.json, for initrd-builder
    Trust {
        /// Write it there instead
        #[arg(long)]
        write: Option<PathBuf>,
    },
    /// Keys that nodes believe, and new ones in their place
    #[command(subcommand)]
    Keys(Keys),
    /// Keys of people and programs that command this head node from elsewhere
    #[command(subcommand)]
    ApiKey(ApiKey),
    /// Runs a command on a head node that is elsewhere
    Remote(Remote),
    /// Provisioning networks
    #[command(subcommand)]
    Network(Network),
    /// Images
    #[command(subcommand)]
    Image(Image),
    /// Kernels and initrds that nodes boot
    #[command(subcommand)]
    Netboot(Netboot),
    /// Distributions that package installs come from
    #[command(subcommand)]
    Os(Os),
    /// Scripts and kickstart templates for package installs
    #[command(subcommand)]
    Script(Script),
    /// SSH host keys that nodes saved from their disks
    #[command(subcommand)]
    Escrow(Escrow),
    /// TPMs, of groups that say `tpm`: who may be a node
    #[command(subcommand)]
    Tpm(Tpm),
    /// Groups and their documents
    #[command(subcommand)]
    Group(Group),
    /// Nodes
    #[command(subcommand)]
    Node(Node),
    /// Makes machines that boot from the network nodes
    Addhost(Addhost),
    /// Machines that are not ours to boot: names and addresses only
    #[command(subcommand)]
    Host(Host),
    /// Free key/value pairs of groups and nodes
    #[command(subcommand)]
    Attribute(Attribute),
    /// What nodes boot next
    #[command(subcommand)]
    Boot(Boot),
    /// Adds the machines of another system: Kusu, Warewulf, xCAT
    ImportSite(ImportSite),
    /// Programs that are told when nodes come, go or change
    #[command(subcommand)]
    Plugin(Plugin),
    /// Switches nodes on and off, by the command of their group
    Power {
        /// What to do
        action: Power,
        /// The nodes
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Keeps nodes from being armed or removed
    Lock {
        /// The nodes
        #[arg(required = true)]
        nodes: Vec<String>,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Takes nodes' locks away
    Unlock {
        /// The nodes
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Prints a shell's completions
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Writes manual pages
    Man {
        /// The folder to write them to
        folder: PathBuf,
    },
    /// Prints a node's NII, without secrets
    Nii {
        /// The node
        node: String,
    },
    /// What an install would do to a node's disks, by the facts that it reported last
    Plan {
        /// The node
        node: String,
    },
    /// Writes keys, store, scripts and plugins into one file, behind a passphrase that it reads from stdin
    Backup {
        /// The file
        file: PathBuf,
    },
    /// Makes a data folder of such a file; reads its passphrase from stdin
    Restore {
        /// The file
        file: PathBuf,
    },
    /// Prints the whole store as YAML
    Export {
        /// With the secrets
        #[arg(long)]
        secrets: bool,
    },
    /// Adds what an exported file has, and changes what is there already; removes nothing
    Import {
        /// The file
        file: PathBuf,
        /// Arm new nodes that were armed when the file was made; without, they boot their own disks
        #[arg(long)]
        armings: bool,
    },
    /// How far each node is
    Status {
        /// Only these
        nodes: Vec<String>,
    },
    /// What nodes reported, changes of state, security notices
    Events {
        /// Only these nodes
        nodes: Vec<String>,
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
    /// The socket for commands of this machine's users (run/admin.sock in the data folder)
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Members of this group may operate through the socket, which needs a place that they can reach
    #[arg(long, value_name = "GROUP", requires = "socket")]
    pub operators: Option<String>,
    /// What of the distribution it uses
    #[command(flatten)]
    pub programs: Programs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn clap_finds_no_contradiction() {
        super::Cli::command().debug_assert();
    }
}
