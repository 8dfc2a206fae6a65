//! Words and lines of a kickstart. pykickstart splits lines with Python's `shlex.split(line, comments=True)`, so every
//! value goes through [`quote`], and a value that could end its line is refused before anything is rendered.

use std::fmt::Display;

use minijinja::value::ValueKind;
use nii::Finding;

/// The value as one word for `shlex` and for a POSIX shell.
pub(super) fn quote(value: &str) -> String {
    // `#` would begin a comment even inside of a word; `~`, `%` and `=` mean nothing to either inside of one.
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r#"'"'"'"#))
}

/// A command of a kickstart, made word by word.
#[derive(Clone, Debug)]
pub(super) struct Line(String);

impl Line {
    pub fn new(command: &str) -> Self {
        Self(command.to_owned())
    }

    /// A word.
    pub fn word(mut self, value: &str) -> Self {
        self.0.push(' ');
        self.0.push_str(&quote(value));
        self
    }

    /// `--name`.
    pub fn flag(mut self, name: &str) -> Self {
        self.0.push_str(" --");
        self.0.push_str(name);
        self
    }

    /// `--name` if so.
    pub fn flag_if(self, name: &str, so: bool) -> Self {
        if so { self.flag(name) } else { self }
    }

    /// `--name=value`.
    pub fn option(self, name: &str, value: impl Display) -> Self {
        let mut line = self.flag(name);
        line.0.push('=');
        line.0.push_str(&quote(&value.to_string()));
        line
    }

    /// `--name=value` if there is a value.
    pub fn maybe(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.option(name, value),
            None => self,
        }
    }

    /// `--name=a,b` if there is an item. No item has a comma: validation sees to it.
    pub fn list<T: Display>(self, name: &str, items: &[T]) -> Self {
        if items.is_empty() {
            return self;
        }
        let items: Vec<String> = items.iter().map(ToString::to_string).collect();
        self.option(name, items.join(","))
    }

    pub fn text(self) -> String {
        self.0
    }
}

/// Lines of text, each with its end.
pub(super) fn lines(lines: impl IntoIterator<Item = Line>) -> String {
    lines.into_iter().map(|line| line.text() + "\n").collect()
}

/// Whether the character ends a line for Python's `str.splitlines`, or is no text at all.
fn breaks(c: char) -> bool {
    c.is_control() || c == '\u{2028}' || c == '\u{2029}'
}

/// Every text below `value` that no quoting can keep on its line. `package.extra` is text of many lines by itself.
pub(super) fn unquotable(path: &str, value: &minijinja::Value, out: &mut Vec<Finding>) {
    if path == "package.extra" {
        return;
    }
    match value.kind() {
        ValueKind::Map => {
            for key in value.try_iter().into_iter().flatten() {
                let name = key.to_string();
                let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                if name.contains(breaks) {
                    out.push(Finding::error(&below, "its name has a line break or a control character"));
                }
                unquotable(&below, &value.get_item(&key).unwrap_or_default(), out);
            }
        }
        ValueKind::Seq => {
            for (i, item) in value.try_iter().into_iter().flatten().enumerate() {
                unquotable(&format!("{path}[{i}]"), &item, out);
            }
        }
        _ if value.as_str().is_some_and(|text| text.contains(breaks)) => {
            out.push(Finding::error(path, "has a line break or a control character"));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting() {
        for (value, word) in [
            ("/dev/sda1", "/dev/sda1"),
            ("", "''"),
            ("a b", "'a b'"),
            ("a#b", "'a#b'"),
            ("it's", r#"'it'"'"'s'"#),
            ("$(reboot)", "'$(reboot)'"),
            ("grün", "'grün'"),
            (r"\", r"'\'"),
        ] {
            assert_eq!(quote(value), word);
        }
    }

    #[test]
    fn lines_are_made_of_words() {
        let line = Line::new("part").word("/srv/a b").option("fstype", "ext4").flag_if("grow", false);
        let line = line.maybe("size", Some(3)).maybe("label", None::<&str>).list("x", &["a", "b"]);
        assert_eq!(line.text(), "part '/srv/a b' --fstype=ext4 --size=3 --x=a,b");
    }

    #[test]
    fn what_cannot_be_quoted_is_found() {
        let value = minijinja::Value::from_serialize([("a", "b\u{2028}c"), ("ok", "x y")]);
        let mut out = Vec::new();
        unquotable("p", &value, &mut out);
        assert_eq!(out.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["p[0][1]"]);
    }
}
