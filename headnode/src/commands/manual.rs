//! Completions and manual pages, made from the command line's own definition.

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::output;

pub(super) fn completion(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "headnode", &mut script);
    output::bytes(&script)
}

/// One page a command: `headnode.1`, `headnode-node.1`, `headnode-node-set.1`, ….
pub(super) fn write(folder: &Path) -> Result<()> {
    let written =
        std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    written.with_context(|| format!("writing manual pages to {}", folder.display()))
}
