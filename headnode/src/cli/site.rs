//! Taking over a site.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::site_import::formats::Format;

/// `import-site`
#[derive(Debug, Args)]
pub struct ImportSite {
    /// The other system
    #[arg(value_enum)]
    pub format: Format,
    /// Its files
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// The group of machines whose groups there are no groups here
    #[arg(long)]
    pub group: Option<String>,
    /// Which group here a group there is
    #[arg(long, value_name = "THEIRS=OURS")]
    pub map: Vec<Mapping>,
    /// Only show what would be added, and what not
    #[arg(long)]
    pub dry_run: bool,
}

/// `THEIRS=OURS`
#[derive(Clone, Debug)]
pub struct Mapping {
    /// A group there.
    pub theirs: String,
    /// A group here.
    pub ours: String,
}

impl FromStr for Mapping {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (theirs, ours) = text.split_once('=').with_context(|| format!("`{text}` is not THEIRS=OURS"))?;
        ensure!(!theirs.is_empty() && !ours.is_empty(), "`{text}` is not THEIRS=OURS");
        Ok(Self { theirs: theirs.to_owned(), ours: ours.to_owned() })
    }
}
