//! Commands about what nodes are made of: networks, images, netboots, distributions, scripts.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::addresses::{Range, Subnet};
use crate::store::inventory::{Dhcp, MacProof};

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
