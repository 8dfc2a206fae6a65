//! `addhost` and `host`.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `addhost`
#[derive(Debug, Args)]
pub struct Addhost {
    /// The group of new nodes
    #[arg(long, required_unless_present = "replace")]
    pub group: Option<String>,
    /// Listen there for machines that boot from the network
    #[arg(long, required_unless_present = "file")]
    pub interface: Option<String>,
    /// The network, if there are several
    #[arg(long)]
    pub network: Option<String>,
    /// The rack of new nodes
    #[arg(long, default_value_t = 0)]
    pub rack: u32,
    /// The lowest rank that a new node may have
    #[arg(long, default_value_t = 0)]
    pub rank: u32,
    /// Ask nothing: every machine that boots from the network becomes a node (as --yes)
    #[arg(long)]
    pub batch: bool,
    /// Take machines, too, that do not show that they boot from the network
    #[arg(long, conflicts_with = "file")]
    pub any: bool,
    /// End after so many nodes
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
    /// Take machines from a file, a line each: MAC,[ip],[host],[uid]
    #[arg(long, conflicts_with_all = ["interface", "batch", "count", "replace"])]
    pub file: Option<PathBuf>,
    /// The next machine that is heard takes the place of this node
    #[arg(long, value_name = "NODE", conflicts_with_all = ["group", "rack", "rank", "count"])]
    pub replace: Option<String>,
    /// Do not arm them: new nodes wait for `boot install`, with --replace the machine boots its own disk
    #[arg(long)]
    pub no_install: bool,
}

/// `host …`
#[derive(Debug, Subcommand)]
pub enum Host {
    /// Adds a machine that is not ours to boot, or a file of them
    #[command(arg_required_else_help = true)]
    Add {
        /// Its name
        #[arg(requires = "ip", conflicts_with = "file")]
        name: Option<String>,
        /// Its address
        #[arg(long, requires = "name")]
        ip: Option<Ipv4Addr>,
        /// A file of them, a line each: host:ip
        #[arg(long)]
        file: Option<PathBuf>,
        /// Their network, if there are several
        #[arg(long)]
        network: Option<String>,
    },
    /// Lists them
    List,
    /// Removes some
    Rm {
        /// Their names
        #[arg(required = true)]
        names: Vec<String>,
    },
}
