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

    /// Prints it.
    ///
    /// # Errors
    /// When stdout is gone.
    pub fn print(self, output: Output) -> Result<()> {
        match output {
            Output::Json | Output::Yaml => data(output, &Value::Array(self.json)),
            Output::Table => text(&table(self.columns, &self.rows)),
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
fn visible(text: &str) -> String {
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

fn table(columns: &[&str], rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = columns.iter().map(|column| column.to_uppercase()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heading)
        .chain(rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect()))
        .collect();
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

fn one_line(cell: &str) -> String {
    log::printable(cell).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_line_up() {
        let rows =
            [vec!["n1".to_owned(), "10.1.0.1".to_owned()], vec!["node-2".to_owned(), "-\x1b[0m".to_owned()]];
        assert_eq!(
            super::table(&["name", "ip"], &rows),
            "NAME    IP\nn1      10.1.0.1\nnode-2  -\\u{1b}[0m\n"
        );
    }

    #[test]
    fn files_do_not_command_terminals() {
        assert_eq!(super::visible("a\tb\n\x1b[2J\r\n"), "a\tb\n\\u{1b}[2J\\r\n");
    }
}
