//! Keys that nodes believe.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

/// `keys …`
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Lists the keys that nodes believe, and which netboots' initrds do not believe one of them
    List,
    /// Makes a new key. A new authority or image key is used from --retire on: build the initrds anew before that
    Rotate {
        /// Which
        key: Rotated,
        /// Use the next authority or image key, and forget the old one; of online keys: new initrds believe no older ones
        #[arg(long)]
        retire: bool,
        /// Also when netboots' initrds were built before the next key was made: their nodes will refuse us
        #[arg(long, requires = "retire")]
        force: bool,
        /// The root key, where it is not in the data folder: it certifies the online key, and is not kept
        #[arg(long, value_name = "FILE", conflicts_with = "retire")]
        root_key: Option<PathBuf>,
        /// What `keys certify` printed where the root key is
        #[arg(long, value_name = "FILE", conflicts_with_all = ["retire", "root_key"])]
        certificate: Option<PathBuf>,
    },
    /// Certifies an online key with the root key, on a machine that may know nothing else
    Certify {
        /// The key that `keys rotate nii` printed
        key: String,
        /// The root key
        #[arg(long, value_name = "FILE")]
        root_key: PathBuf,
    },
}

/// A key that can be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rotated {
    /// The cluster's certificate authority
    Ca,
    /// What images are signed with
    Image,
    /// The online key: what NIIs and time are signed with
    Nii,
}
