//! What files of other systems say, in one shape. Pure.
//!
//! * [`kusu`], [`warewulf`], [`xcat`]: the formats, each read as far as names, addresses and groups go.
//! * [`tables`]: a database's tables, as CSV or as an SQL dump.

mod kusu;
mod tables;
mod warewulf;
mod xcat;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

/// Whose files they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Its NIIs (XML), or its tables as CSV or SQL
    Kusu,
    /// Version 4: nodes.conf
    Warewulf,
    /// What `lsdef -z` prints
    Xcat,
}

/// A file of the other system.
#[derive(Clone, Debug)]
pub struct File {
    /// Its path.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// What files say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    /// Machines, as they come.
    pub machines: Vec<Machine>,
    /// What the files have beside, and is not carried over.
    pub left: Vec<String>,
}

/// A machine of the other system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Its groups there, the most telling first.
    pub groups: Vec<String>,
    /// Whether the other system does not boot it.
    pub unmanaged: bool,
    /// MAC address of its boot interface.
    pub mac: Option<String>,
    /// Address of its boot interface.
    pub address: Option<String>,
    /// Its id in the site's own inventory.
    pub uid: Option<String>,
    /// What has a place among the attributes.
    pub attributes: BTreeMap<String, String>,
    /// What of it is not carried over.
    pub left: Vec<String>,
}

/// Reads files of one system.
///
/// # Errors
/// Which file cannot be read as such, and why.
pub fn read(format: Format, files: &[File]) -> Result<Site> {
    match format {
        Format::Kusu => kusu::read(files),
        Format::Warewulf => each(files, warewulf::read),
        Format::Xcat => each(files, xcat::read),
    }
}

fn each(files: &[File], read: impl Fn(&str) -> Result<Site>) -> Result<Site> {
    let mut site = Site::default();
    for file in files {
        let more = read(&file.text).with_context(|| format!("reading {}", file.name))?;
        site.machines.extend(more.machines);
        site.left.extend(more.left);
    }
    Ok(site)
}

/// A text that says something.
fn said(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
