//! How the programs' subcommands show what they know.

use anyhow::{Result, bail};

/// For whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// People.
    Text,
    /// Programs.
    Json,
}

impl Output {
    /// Reads the value of `--output`; without one it is for people.
    ///
    /// # Errors
    /// When it is another word.
    pub fn read(word: Option<&str>) -> Result<Self> {
        match word {
            None | Some("text") => Ok(Self::Text),
            Some("json") => Ok(Self::Json),
            Some(other) => bail!("--output is text or json, not {other}"),
        }
    }
}
