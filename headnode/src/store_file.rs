//! The file that `export` writes and `import` reads: rows of the store's tables, as YAML.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::addresses::{Mac, machine_id};

/// Of the format.
const VERSION: u32 = 1;
/// A script's text, which the store has in a file.
const TEXT: &str = "text";

/// A row: column names and values.
pub type Line = Map<String, Value>;
/// Rows by table.
pub type Tables = BTreeMap<String, Vec<Line>>;

#[derive(Deserialize, Serialize)]
struct File {
    camphor: u32,
    #[serde(flatten)]
    tables: Tables,
}

/// A script's text, and what its row says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The script's name.
    pub name: String,
    /// Digest of the text, as the row has it.
    pub digest: String,
    /// The text.
    pub text: String,
}

/// Puts a script's text into its row.
pub fn add_text(line: &mut Line, text: String) {
    line.insert(TEXT.into(), text.into());
}

/// Writes a file.
///
/// # Errors
/// Never with rows of the store.
pub fn write(tables: Tables) -> Result<String> {
    Ok(serde_yaml_ng::to_string(&File { camphor: VERSION, tables })?)
}

/// Reads one: the rows, addresses and ids in the store's form, without the scripts' texts, and those.
///
/// # Errors
/// When it is no such file, of another version, or something in it has the wrong form.
pub fn read(text: &str) -> Result<(Tables, Vec<Text>)> {
    let File { camphor, mut tables } = serde_yaml_ng::from_str(text)?;
    ensure!(camphor == VERSION, "it is of version {camphor}, and this release reads {VERSION}");
    let mut texts = Vec::new();
    for line in tables.get_mut("scripts").into_iter().flatten() {
        let Some(text) = line.remove(TEXT) else { continue };
        let word = |column: &str| line.get(column).and_then(Value::as_str).unwrap_or_default().to_owned();
        let text = text.as_str().context("a script's text is no text")?.to_owned();
        texts.push(Text { name: word("name"), digest: word("digest"), text });
    }
    for line in tables.values_mut().flatten() {
        if let Some(mac) = line.get_mut("mac") {
            *mac = mac.as_str().unwrap_or_default().parse::<Mac>()?.as_str().into();
        }
        if let Some(uuid) = line.get_mut("uuid").filter(|uuid| !uuid.is_null()) {
            let text = uuid.as_str().unwrap_or_default();
            let id = text.parse().ok().and_then(machine_id);
            *uuid = id.with_context(|| format!("`{text}` is no machine's id"))?.to_string().into();
        }
    }
    Ok((tables, texts))
}
