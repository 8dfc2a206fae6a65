//! The log: stderr, one line a thing. Tokens, sessions and hashes never come here.

use std::fmt;
use std::io::Write as _;

/// Writes a line. Control characters are shown, not obeyed: some texts come from the network.
pub fn line(text: fmt::Arguments<'_>) {
    let text = printable(&text.to_string());
    // Nobody is left to tell if stderr is gone.
    let _ = writeln!(std::io::stderr().lock(), "headnode: {text}");
}

/// `text` with its control characters escaped; newlines are kept, indented.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.trim_end().chars() {
        match c {
            '\n' => out.push_str("\n  "),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn terminals_are_not_commanded() {
        assert_eq!(super::printable("a\x1b[2Jb\nc\n"), "a\\u{1b}[2Jb\n  c");
    }
}
