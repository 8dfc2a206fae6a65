//! Commands about what nodes are made of: networks, images, netboots, distributions, scripts.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::addresses::{Range, Subnet};
use crate::dhcp::foreign::Server;
use crate::store::inventory::{Dhcp, MacProof};

/// `network …`
#[derive(Debug, Subcommand)]
pub enum Network {
    /// Adds a network
    Add {
        /// Its name
        name: String,
        /// What it is
        #[command(flatten)]
        set: NetworkSet,
    },
    /// Changes one
    Set {
        /// The network
        name: String,
        /// What it is to be
        #[command(flatten)]
        set: NetworkSet,
    },
    /// Drops what a network may do without
    Unset {
        /// The network
        name: String,
        /// What goes
        #[arg(required = true, value_enum)]
        keys: Vec<NetworkKey>,
    },
    /// Opens one in an editor
    Edit {
        /// The network
        name: String,
    },
    /// Lists them
    List,
    /// Shows one
    Show {
        /// The network
        name: String,
    },
    /// Prints what a DHCP server of the site's own must say
    Snippet {
        /// The network
        name: String,
        /// The server
        #[arg(value_enum)]
        server: Server,
        /// The site's TFTP server, which has iPXE's undionly.kpxe and snponly.efi
        #[arg(long)]
        tftp: Ipv4Addr,
    },
    /// Removes one
    Rm {
        /// The network
        name: String,
    },
}

/// What a network is.
#[derive(Debug, Args)]
pub struct NetworkSet {
    /// The head node's interface on it, or on the way to it
    #[arg(long)]
    pub interface: Option<String>,
    /// Its addresses, as 10.1.0.0/24
    #[arg(long)]
    pub subnet: Option<Subnet>,
    /// The head node's own address; one that is not in the subnet if a relay is in between
    #[arg(long)]
    pub address: Option<Ipv4Addr>,
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
    /// Who serves DHCP (managed)
    #[arg(long, value_enum)]
    pub dhcp: Option<Dhcp>,
    /// How a node's MAC address is proved (link)
    #[arg(long, value_enum)]
    pub mac_proof: Option<MacProof>,
}

/// What a network may do without.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum NetworkKey {
    /// Leases for machines without a reservation
    Range,
    /// Default gateway
    Gateway,
    /// Name servers
    Dns,
    /// Domain
    Domain,
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
        /// A file with a secret that all nodes may have (several times)
        #[arg(long, value_name = "PATH")]
        allow_secret: Vec<String>,
        /// Leave all other secrets out; password hashes are made such that no password fits
        #[arg(long)]
        strip: bool,
    },
    /// Lists them
    List,
    /// Shows one's manifest, its privileged files, and what import did with secrets
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

/// `os …`
#[derive(Debug, Subcommand)]
pub enum Os {
    /// Takes over a DVD's or a mirror's tree: copies it, serves it, and makes a netboot of its kernel and initrd
    Import {
        /// What to call it
        name: String,
        /// An ISO, or the folder of a tree
        source: PathBuf,
        /// Camphor's segment (initrd-builder append makes it); by default that of the netboot of this name
        #[arg(long)]
        segment: Option<PathBuf>,
        /// Serve the folder where it is, without a copy
        #[arg(long)]
        link: bool,
    },
    /// Lists them
    List,
    /// Shows one, its repositories and their URLs
    Show {
        /// The os
        name: String,
    },
    /// Forgets one, with its tree and its netboot
    Rm {
        /// The os
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
