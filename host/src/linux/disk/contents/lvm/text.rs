//! The language of LVM's metadata, as libdm's config parser (libdm/libdm-config.c) has it: sections, and fields of words, strings
//! and lists of those. Comments go to the end of the line.
//!
//! ```text
//! rhel {
//!     seqno = 4            # a comment
//!     status = ["RESIZEABLE", "READ"]
//!     physical_volumes { pv0 { pe_start = 2048 } }
//! }
//! ```

use anyhow::{Context as _, bail, ensure};

/// Sections within sections; LVM's go four deep.
const DEPTH_MAX: usize = 16;
/// Fields, sections and values in all: a group of thousands of volumes has less.
const ITEMS_MAX: usize = 500_000;
/// Bytes of a name or a number; LVM's names have 127 at most.
const WORD_MAX: usize = 255;

/// A section, or the whole text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Section<'a> {
    /// What is in it, in order.
    pub items: Vec<(&'a str, Item<'a>)>,
}

/// What is in a section.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A section.
    Section(Section<'a>),
    /// A field.
    Value(Value<'a>),
}

/// A value.
#[derive(Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number, as it is written.
    Word(&'a str),
    /// A string without its quotes; escapes are left as they are: no name or id has one.
    Text(&'a str),
    /// A list.
    List(Vec<Value<'a>>),
}

impl<'a> Section<'a> {
    /// The section of this name.
    pub fn section(&self, name: &str) -> Option<&Section<'a>> {
        match self.item(name)? {
            Item::Section(section) => Some(section),
            Item::Value(_) => None,
        }
    }

    /// All sections in it.
    pub fn sections(&self) -> impl Iterator<Item = (&'a str, &Section<'a>)> {
        self.items.iter().filter_map(|(name, item)| match item {
            Item::Section(section) => Some((*name, section)),
            Item::Value(_) => None,
        })
    }

    /// The field of this name, if it is a string.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.value(name)?.text()
    }

    /// The field of this name, if it is a number and not negative.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.value(name)?.number()
    }

    /// The field of this name, if it is a list.
    pub fn list(&self, name: &str) -> Option<&[Value<'a>]> {
        match self.value(name)? {
            Value::List(values) => Some(values),
            _ => None,
        }
    }

    fn value(&self, name: &str) -> Option<&Value<'a>> {
        match self.item(name)? {
            Item::Value(value) => Some(value),
            Item::Section(_) => None,
        }
    }

    fn item(&self, name: &str) -> Option<&Item<'a>> {
        self.items.iter().find(|(other, _)| *other == name).map(|(_, item)| item)
    }
}

impl<'a> Value<'a> {
    /// If it is a string.
    pub fn text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// If it is a number and not negative.
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Word(word) => word.parse().ok(),
            _ => None,
        }
    }
}

/// Parses a text; what follows a NUL does not count.
///
/// # Errors
/// What is wrong, and at which byte.
pub fn parse(text: &str) -> anyhow::Result<Section<'_>> {
    let text = text.split('\0').next().unwrap_or_default();
    let mut parser = Parser { text, at: 0, items: 0 };
    let section = parser.section(0);
    section.with_context(|| format!("at byte {} of LVM's text", parser.at))
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    items: usize,
}

impl<'a> Parser<'a> {
    /// Up to the brace that ends it, or at depth 0 to the end of the text.
    fn section(&mut self, depth: usize) -> anyhow::Result<Section<'a>> {
        ensure!(depth < DEPTH_MAX, "more than {DEPTH_MAX} sections within each other");
        let mut section = Section::default();
        loop {
            match self.peek() {
                None if depth == 0 => return Ok(section),
                Some(b'}') if depth > 0 => {
                    self.at += 1;
                    return Ok(section);
                }
                None => bail!("a section has no end"),
                Some(_) => {
                    let name = self.word()?;
                    let item = self.item(depth)?;
                    section.items.push((name, item));
                }
            }
        }
    }

    fn item(&mut self, depth: usize) -> anyhow::Result<Item<'a>> {
        self.count()?;
        match self.peek() {
            Some(b'{') => {
                self.at += 1;
                self.section(depth + 1).map(Item::Section)
            }
            Some(b'=') => {
                self.at += 1;
                self.value().map(Item::Value)
            }
            _ => bail!("neither a section nor a value"),
        }
    }

    fn value(&mut self) -> anyhow::Result<Value<'a>> {
        if self.peek() != Some(b'[') {
            return self.scalar();
        }
        self.at += 1;
        let mut values = Vec::new();
        loop {
            match self.peek() {
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::List(values));
                }
                Some(b',') => self.at += 1,
                _ => values.push(self.scalar()?),
            }
        }
    }

    fn scalar(&mut self) -> anyhow::Result<Value<'a>> {
        self.count()?;
        if self.peek() != Some(b'"') {
            return self.word().map(Value::Word);
        }
        self.at += 1;
        let start = self.at;
        loop {
            match self.text.as_bytes().get(self.at) {
                None => bail!("a string has no end"),
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
            }
        }
        let text = self.text.get(start..self.at).context("a string is cut")?;
        self.at += 1;
        Ok(Value::Text(text))
    }

    /// A name or a number.
    fn word(&mut self) -> anyhow::Result<&'a str> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+_.-/@".contains(byte);
        let length = rest.bytes().take_while(|byte| is_part(byte)).count();
        ensure!(length > 0, "a name or a value is missing");
        ensure!(length <= WORD_MAX, "a name has more than {WORD_MAX} bytes");
        self.at += length;
        Ok(&rest[..length])
    }

    /// The next byte that is neither a blank nor in a comment.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at)? {
                b'#' => self.at += bytes[self.at..].iter().take_while(|byte| **byte != b'\n').count(),
                byte if byte.is_ascii_whitespace() => self.at += 1,
                byte => return Some(*byte),
            }
        }
    }

    fn count(&mut self) -> anyhow::Result<()> {
        self.items += 1;
        ensure!(self.items <= ITEMS_MAX, "more than {ITEMS_MAX} fields");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sections_fields_and_comments() {
        let text = "# {\nvg {\n  seqno = 4 # }\n tags = [\"a\\\"b\", -1,\n 2]\n empty = []\n pv { s = \"x # y\" } }\nversion=1\n\0}}";
        let whole = parse(text).unwrap();
        let vg = whole.section("vg").unwrap();
        assert_eq!((vg.number("seqno"), whole.number("version")), (Some(4), Some(1)));
        let tags = [Value::Text("a\\\"b"), Value::Word("-1"), Value::Word("2")];
        assert_eq!(vg.list("tags").unwrap(), tags);
        assert_eq!((vg.list("empty"), tags[1].number()), (Some(&[][..]), None));
        assert_eq!(vg.section("pv").unwrap().text("s"), Some("x # y"));
        assert_eq!((vg.text("pv"), vg.number("tags"), vg.sections().count()), (None, None, 1));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |text: &str| format!("{:#}", parse(text).unwrap_err());
        assert_eq!(error("vg { seqno "), "at byte 11 of LVM's text: neither a section nor a value");
        assert!(error("vg {").contains("a section has no end"));
        assert!(error("a = \"b").contains("a string has no end"));
        assert!(error(&"a".repeat(WORD_MAX + 1)).contains("more than 255 bytes"));
        assert!(error("a = [1, ").contains("a value is missing"));
        assert!(error("}").contains("a name or a value is missing"));
        assert!(error(&"a{".repeat(100)).contains("sections within each other"));
        assert!(error(&"a=1 ".repeat(ITEMS_MAX)).contains("fields"));
    }

    proptest! {
        #[test]
        fn garbage(text in "[a{}=\\[\\]\"\\\\#,0-9ü\n ]{0,200}") {
            let _ = parse(&text);
        }
    }
}
