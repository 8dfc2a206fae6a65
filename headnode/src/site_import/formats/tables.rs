//! Tables of a database: CSV files with a heading (RFC 4180; the file's name is the table's), or an SQL dump as
//! mysqldump and `pg_dump --inserts` write it: `CREATE TABLE` for the columns, `INSERT INTO … VALUES` for the rows.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::File;

/// A row: column and value; what is NULL is not there.
pub type Row = BTreeMap<String, String>;
/// Tables by name, without their schema.
pub type Tables = BTreeMap<String, Vec<Row>>;

/// Reads one file into `tables`.
///
/// # Errors
/// When it is neither, with the place.
pub fn read(file: &File, tables: &mut Tables) -> Result<()> {
    let path = Path::new(&file.name);
    if path.extension().is_some_and(|ext| ext.eq_ignore_ascii_case("csv")) {
        let name = path.file_stem().and_then(|stem| stem.to_str()).context("the file has no name")?;
        tables.entry(name.to_lowercase()).or_default().extend(csv(&file.text)?);
        return Ok(());
    }
    sql(&file.text, tables)
}

fn csv(text: &str) -> Result<Vec<Row>> {
    let mut records = records(text)?.into_iter();
    let heading: Vec<String> = records
        .next()
        .context("has no heading")?
        .into_iter()
        .map(|name| name.trim().to_lowercase())
        .collect();
    let row = |(number, values): (usize, Vec<String>)| {
        if values.len() != heading.len() {
            bail!("record {number} has {} values, and the heading {}", values.len(), heading.len());
        }
        let pairs = heading.iter().cloned().zip(values);
        Ok(pairs.filter(|(_, value)| !["", "NULL", "\\N"].contains(&value.as_str())).collect())
    };
    (2..).zip(records).map(row).collect()
}

fn records(text: &str) -> Result<Vec<Vec<String>>> {
    let (mut records, mut record, mut value) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => value.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut value)),
            '\r' if !quoted && chars.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                record.push(std::mem::take(&mut value));
                if record.iter().any(|value| !value.is_empty()) {
                    records.push(std::mem::take(&mut record));
                }
                record.clear();
            }
            c => value.push(c),
        }
    }
    if quoted {
        bail!("a quoted value has no end");
    }
    if !value.is_empty() || !record.is_empty() {
        record.push(value);
        records.push(record);
    }
    Ok(records)
}

/// A word of SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A name, a keyword or a number.
    Word(String),
    /// A string.
    Text(String),
    /// Anything else.
    Sign(char),
}

impl Token {
    fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }
}

fn sql(text: &str, tables: &mut Tables) -> Result<()> {
    let tokens = tokens(text)?;
    let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut found = false;
    for statement in tokens.split(|token| *token == Token::Sign(';')) {
        match statement {
            [create, table, rest @ ..] if create.is("create") && table.is("table") => {
                found = true;
                let rest = rest.iter().position(|token| *token == Token::Sign('('));
                let rest = &statement[2 + rest.context("a CREATE TABLE has no columns")?..];
                columns.insert(table_name(&statement[2..]), defined(rest));
            }
            [insert, into, rest @ ..] if insert.is("insert") && into.is("into") => {
                found = true;
                let name = table_name(rest);
                let rows = inserted(rest, columns.get(&name))
                    .with_context(|| format!("reading the rows of {name}"))?;
                tables.entry(name).or_default().extend(rows);
            }
            _ => {}
        }
    }
    if !found {
        bail!("it is no NII, no .csv and no SQL dump (with INSERT, not COPY)");
    }
    Ok(())
}

/// `kusudb`.`nodes` and public.nodes are `nodes`.
fn table_name(tokens: &[Token]) -> String {
    let end = tokens.iter().position(|token| *token == Token::Sign('(') || token.is("values"));
    let name = tokens[..end.unwrap_or(tokens.len())].iter().rev().find_map(|token| match token {
        Token::Word(word) => Some(word.rsplit('.').next().unwrap_or_default().to_lowercase()),
        _ => None,
    });
    name.unwrap_or_default()
}

/// The names of columns: the first word of each definition that is no key.
fn defined(tokens: &[Token]) -> Vec<String> {
    const NO_COLUMN: [&str; 8] =
        ["primary", "key", "unique", "constraint", "index", "foreign", "check", "fulltext"];
    let (mut depth, mut first, mut columns) = (0, true, Vec::new());
    for token in tokens {
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth -= 1,
            Token::Sign(',') if depth == 1 => first = true,
            Token::Word(word) if first && depth == 1 => {
                first = false;
                if !NO_COLUMN.iter().any(|keyword| token.is(keyword)) {
                    columns.push(word.to_lowercase());
                }
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    columns
}

/// `[(columns)] VALUES (…), (…)`.
fn inserted(tokens: &[Token], columns: Option<&Vec<String>>) -> Result<Vec<Row>> {
    let values = tokens.iter().position(|token| token.is("values")).context("an INSERT has no VALUES")?;
    let named: Vec<String> = match tokens[..values].iter().position(|token| *token == Token::Sign('(')) {
        Some(open) => defined(&tokens[open..values]),
        None => columns.context("its columns are not known: the dump has no CREATE TABLE of it")?.clone(),
    };
    let mut rows = Vec::new();
    let (mut row, mut open): (Vec<Option<String>>, bool) = (Vec::new(), false);
    for token in &tokens[values + 1..] {
        match token {
            Token::Sign('(') => open = true,
            Token::Sign(')') => {
                if row.len() != named.len() {
                    bail!("a row has {} values, and the table {} columns", row.len(), named.len());
                }
                let pairs = named.iter().cloned().zip(row.drain(..));
                rows.push(pairs.filter_map(|(name, value)| Some((name, value?))).collect());
                open = false;
            }
            Token::Word(word) if open => row.push((!token.is("null")).then(|| word.clone())),
            Token::Text(text) if open => row.push(Some(text.clone())),
            _ => {}
        }
    }
    Ok(rows)
}

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' => tokens.push(Token::Text(quoted(&mut chars, '\'')?)),
            '`' | '"' => tokens.push(Token::Word(quoted(&mut chars, c)?)),
            '-' if chars.peek() == Some(&'-') => while chars.next_if(|c| *c != '\n').is_some() {},
            '/' if chars.peek() == Some(&'*') => {
                let mut last = ' ';
                for c in chars.by_ref() {
                    if (last, c) == ('*', '/') {
                        break;
                    }
                    last = c;
                }
            }
            c if is_word(c) => {
                let mut word = String::from(c);
                while let Some(c) = chars.next_if(|c| is_word(*c)) {
                    word.push(c);
                }
                tokens.push(Token::Word(word));
            }
            c if c.is_whitespace() => {}
            c => tokens.push(Token::Sign(c)),
        }
    }
    Ok(tokens)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "_.$-+".contains(c)
}

/// To the closing quote; a doubled one stands for itself, and so does what follows a backslash.
fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, end: char) -> Result<String> {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        match c {
            c if c == end => match chars.next_if_eq(&end) {
                Some(_) => text.push(end),
                None => return Ok(text),
            },
            '\\' if end == '\'' => text.extend(chars.next()),
            c => text.push(c),
        }
    }
    bail!("a quoted value has no end")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(name: &str, text: &str) -> Result<Tables> {
        let mut tables = Tables::new();
        read(&File { name: name.into(), text: text.into() }, &mut tables)?;
        Ok(tables)
    }

    fn row(pairs: &[(&str, &str)]) -> Row {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn csv_has_quotes_and_nulls() {
        let tables =
            tables("/x/Nodes.csv", "NID,name,note\r\n1,\"a,\"\"b\"\"\",NULL\r\n2,c,\"two\nlines\"\n")
                .unwrap();
        assert_eq!(
            tables["nodes"],
            [
                row(&[("nid", "1"), ("name", "a,\"b\"")]),
                row(&[("nid", "2"), ("name", "c"), ("note", "two\nlines")])
            ]
        );
        assert!(super::csv("a,b\n1\n").is_err() && super::csv("a\n\"1").is_err() && super::csv("").is_err());
    }

    #[test]
    fn dumps_of_both_databases() {
        let mysql = "-- a dump; of 1\n/*!40101 SET x=1 */;\nCREATE TABLE `nodes` (\n `nid` int(10) NOT NULL, `name` varchar(45) \
            DEFAULT NULL,\n PRIMARY KEY (`nid`), KEY `x` (`name`,`nid`)\n) ENGINE=InnoDB;\n\
            INSERT INTO `nodes` VALUES (1,'it\\'s; (so)'),(2,NULL);\n";
        let expected = [row(&[("nid", "1"), ("name", "it's; (so)")]), row(&[("nid", "2")])];
        assert_eq!(tables("dump.sql", mysql).unwrap()["nodes"], expected);
        let postgres = "INSERT INTO public.nodes (nid, name) VALUES (1, 'it''s; (so)');\nINSERT INTO \"nodes\" (nid, name) VALUES (2, NULL);";
        assert_eq!(tables("dump", postgres).unwrap()["nodes"], expected);
        assert!(tables("dump", "INSERT INTO x VALUES (1);").is_err(), "its columns are not known");
        assert!(tables("dump", "hello").is_err() && tables("dump", "INSERT INTO x (a) VALUES ('1").is_err());
    }
}
