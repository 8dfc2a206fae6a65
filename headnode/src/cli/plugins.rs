//! Plugins.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `plugin …`
#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// Lists those of this head node, and those that are shipped
    List,
    /// Puts shipped ones into the folder of plugins
    Install {
        /// Their names
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Calls all with `updated`, as if these nodes had changed
    Run {
        /// The nodes; all if none is named
        nodes: Vec<String>,
    },
    /// Prints what plugins are told
    Input {
        /// The nodes that changed; all if none is named
        nodes: Vec<String>,
    },
    /// Prints a shipped template
    Template {
        /// Its name
        name: String,
    },
    /// Fills a template with what a plugin is told on stdin
    Render(Render),
}

/// `plugin render`
#[derive(Debug, Args)]
pub struct Render {
    /// A shipped template, or the path of one's own
    pub template: String,
    /// Make it this file's content; say so if it was another
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Make it the content of a block in this file; say so if it was another
    #[arg(long, value_name = "FILE", conflicts_with = "write")]
    pub block: Option<PathBuf>,
    /// Make a file of each node in this folder; say so if any changed
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["write", "block"])]
    pub each: Option<PathBuf>,
    /// What the names of each node's file begin with, before its MAC address (with dashes)
    #[arg(long, default_value = "01-", requires = "each")]
    pub prefix: String,
}
