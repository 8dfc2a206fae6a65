//! Admins who are elsewhere.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::admin::Scope;

/// `api-key …`
#[derive(Debug, Subcommand)]
pub enum ApiKey {
    /// Makes one and prints its secret, which is kept nowhere
    Add {
        /// Whose it is
        name: String,
        /// What it may do
        #[arg(long, value_enum)]
        scope: Scope,
        /// It ends after so many days
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        expires: Option<u32>,
    },
    /// Lists them
    List,
    /// Ends one, at once
    Revoke {
        /// The key
        name: String,
    },
}

/// `remote`
#[derive(Debug, Args)]
pub struct Remote {
    /// The head node: an address that it serves, and the port of TLS (8443)
    #[arg(long, value_name = "HOST[:PORT]", env = "CAMPHOR_REMOTE", required_unless_present = "socket")]
    pub to: Option<String>,
    /// The file with the secret that `api-key add` printed; nobody else may read it
    #[arg(long, value_name = "FILE", env = "CAMPHOR_KEY_FILE", required_unless_present = "socket")]
    pub key_file: Option<PathBuf>,
    /// What `headnode trust` printed there
    #[arg(long, value_name = "FILE", env = "CAMPHOR_TRUST", required_unless_present = "socket")]
    pub trust: Option<PathBuf>,
    /// The socket of a `serve` on this machine instead
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// The command and its arguments; a file `-` is this command's stdin
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub args: Vec<String>,
}
