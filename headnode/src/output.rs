//! What commands print on stdout: columns for people, JSON or YAML for programs.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::cli::Output;
use crate::log;

/// A list: what its columns are, and each row as columns and as JSON.
pub struct List {
    columns: &'static [&'static str],
    rows: Vec<Vec<String>>,
    json: Vec<Value>,
}

impl List {
    /// An empty list.
    pub fn new(columns: &'static [&'static str]) -> Self {
        Self { columns, rows: Vec::new(), json: Vec::new() }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Vec<String>, json: Value) {
        self.rows.push(row);
        self.json.push(json);
    }

    /// Adds one of thousands of rows: only what [`List::print`] will need is made.
    pub fn push_for(
        &mut self,
        output: Output,
        row: impl FnOnce() -> Vec<String>,
        json: impl FnOnce() -> Value,
    ) {
        match output {
            Output::Table => self.rows.push(row()),
            Output::Json | Output::Yaml => self.json.push(json()),
        }
    }

    /// Its columns, and its rows as columns.
    pub fn into_columns(self) -> (&'static [&'static str], Vec<Vec<String>>) {
        (self.columns, self.rows)
    }

    /// Prints it.
    ///
    /// # Errors
    /// When stdout is gone.
    pub fn print(self, output: Output) -> Result<()> {
        match output {
            Output::Json | Output::Yaml => data(output, &Value::Array(self.json)),
            Output::Table => text(&table(self.columns, self.rows)),
        }
    }
}

/// Prints a value for programs: JSON, unless YAML is wanted.
///
/// # Errors
/// When stdout is gone.
pub fn data(output: Output, value: &Value) -> Result<()> {
    match output {
        Output::Yaml => text(&serde_yaml_ng::to_string(value)?),
        Output::Table | Output::Json => text(&format!("{value:#}\n")),
    }
}

/// Prints text as it is.
///
/// # Errors
/// When stdout is gone.
pub fn text(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("writing to stdout")
}

/// Prints a file: as it is, but a terminal is not commanded by it.
///
/// # Errors
/// When stdout is gone.
pub fn bytes(bytes: &[u8]) -> Result<()> {
    if io::stdout().is_terminal() {
        return text(&visible(&String::from_utf8_lossy(bytes)));
    }
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).context("writing to stdout")
}

/// The text with its control characters escaped, but for tabs and line ends.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// The text of an absent value.
pub fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn table(columns: &[&str], mut rows: Vec<Vec<String>>) -> String {
    rows.insert(0, columns.iter().map(|column| column.to_uppercase()).collect());
    let mut widths = vec![0; columns.len()];
    for row in &mut rows {
        for (cell, width) in row.iter_mut().zip(&mut widths) {
            if cell.ends_with(char::is_whitespace) || cell.contains(char::is_control) {
                *cell = log::printable(cell).replace('\n', " ");
            }
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = String::new();
    for row in &rows {
        let start = out.len();
        for (cell, width) in row.iter().zip(&widths) {
            out.push_str(cell);
            out.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
        }
        out.truncate(start + out[start..].trim_end().len());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_line_up() {
        let rows =
            [vec!["n1".to_owned(), "10.1.0.1".to_owned()], vec!["node-2".to_owned(), "-\x1b[0m".to_owned()]];
        assert_eq!(
            super::table(&["name", "ip"], rows.into()),
            "NAME    IP\nn1      10.1.0.1\nnode-2  -\\u{1b}[0m\n"
        );
    }

    #[test]
    fn files_do_not_command_terminals() {
        assert_eq!(super::visible("a\tb\n\x1b[2J\r\n"), "a\tb\n\\u{1b}[2J\\r\n");
    }
}
