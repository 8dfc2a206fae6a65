//! Kusu escapes nothing: a `&`, a `<` or a quote in a value makes its document ill-formed. No XML parser reads that, and
//! guessing belongs before it: this makes well-formed XML of such a document, with the help of its small
//! vocabulary. A `<` that begins no known element is text; a quote ends a value only where another attribute or the end of
//! the element follows.

/// The elements of the document. The contents of the last two are free text.
const ELEMENTS: [&str; 10] = [
    "nii",
    "nodeinfo",
    "nicinfo",
    "partition",
    "component",
    "optpackage",
    "optscript",
    "appglobals",
    DEBUG,
    CFM,
];
const DEBUG: &str = "debug";
const CFM: &str = "cfm";
/// These are empty elements, so that `">` in a value is not their end.
const EMPTY: [&str; 3] = ["nicinfo", "partition", APPGLOBALS];
/// Its value is free text, which may look like attributes; so only its own two end one.
const APPGLOBALS: &str = "appglobals";

/// Well-formed XML, as far as can be; without the XML declaration.
pub(super) fn mend(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut rest = declared(text);
    while let Some(at) = rest.find('<') {
        escape(&rest[..at], &mut out);
        rest = &rest[at..];
        let Some((element, length)) = tag(rest, &mut out) else {
            out.push_str("&lt;");
            rest = &rest[1..];
            continue;
        };
        rest = &rest[length..];
        let end = format!("</{element}>");
        if [DEBUG, CFM].contains(&element)
            && let Some(at) = rest.find(&end)
        {
            escape(&rest[..at], &mut out);
            out.push_str(&end);
            rest = &rest[at + end.len()..];
        }
    }
    escape(rest, &mut out);
    out
}

/// What follows the declaration, if there is one.
fn declared(text: &str) -> &str {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let declaration = text.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>"));
    declaration.map_or(text, |(_, rest)| rest)
}

/// A tag at the beginning of `text`: it is written to `out`, and its element's name and its length are the answer.
fn tag(text: &str, out: &mut String) -> Option<(&'static str, usize)> {
    let closing = text.starts_with("</");
    let start = if closing { 2 } else { 1 };
    let element = ELEMENTS.into_iter().find(|element| {
        let behind = text[start..].strip_prefix(element);
        behind.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_whitespace() || c == '>' || c == '/'))
    })?;
    let mut scan = Scan { text, at: start + element.len(), element, seen: Vec::new() };
    if closing {
        scan.blanks();
        scan.skip(">")?;
        out.push_str(&format!("</{element}>"));
        // Nobody looks for the end of an end.
        return Some(("nii", scan.at));
    }
    let mut mended = format!("<{element}");
    loop {
        scan.blanks();
        if scan.skip("/>").is_some() {
            mended.push_str("/>");
            break;
        }
        if scan.skip(">").is_some() {
            mended.push('>');
            break;
        }
        let (key, value) = scan.attribute()?;
        // Of an attribute that is there twice the first counts.
        if !scan.seen.contains(&key) {
            mended.push_str(&format!(" {key}=\""));
            escape(value, &mut mended);
            mended.push('"');
            scan.seen.push(key);
        }
    }
    out.push_str(&mended);
    Some((element, scan.at))
}

struct Scan<'t> {
    text: &'t str,
    at: usize,
    element: &'static str,
    /// Attributes so far.
    seen: Vec<&'t str>,
}

impl<'t> Scan<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn skip(&mut self, expected: &str) -> Option<()> {
        self.rest().strip_prefix(expected)?;
        self.at += expected.len();
        Some(())
    }

    fn attribute(&mut self) -> Option<(&'t str, &'t str)> {
        let (key, quote, length) = attribute_start(self.rest())?;
        self.at += length;
        let value = self.rest();
        let mut ends = value.match_indices(quote).map(|(at, _)| at);
        let end = ends.find(|at| self.ends(&value[at + 1..], key))?;
        self.at += end + 1;
        Some((key, &value[..end]))
    }

    /// Whether a quote with `rest` behind it ends the value of `key`.
    fn ends(&self, rest: &str, key: &str) -> bool {
        let trimmed = rest.trim_start();
        if trimmed.starts_with("/>") {
            return true;
        }
        if let Some(behind) = trimmed.strip_prefix('>') {
            return !EMPTY.contains(&self.element)
                || behind.trim_start().starts_with(&format!("</{}", self.element));
        }
        attribute_start(trimmed).is_some_and(|(next, ..)| {
            let known = self.element != APPGLOBALS || ["name", "value"].contains(&next);
            trimmed.len() < rest.len() && known && next != key && !self.seen.contains(&next)
        })
    }
}

/// `key="`: the key, the quote, and the length of it all.
fn attribute_start(text: &str) -> Option<(&str, char, usize)> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))?;
    let (key, rest) = text.split_at(end);
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|c| ['"', '\''].contains(c))?;
    let named = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    named.then_some((key, quote, text.len() - rest.len() + 1))
}

/// References that are right stay: a newer Kusu may have learnt to escape.
fn escape(text: &str, out: &mut String) {
    for (at, c) in text.char_indices() {
        match c {
            '&' if is_reference(&text[at + 1..]) => out.push('&'),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
}

fn is_reference(text: &str) -> bool {
    // The longest is `#x10FFFF;`.
    let Some(end) = text.bytes().take(10).position(|byte| byte == b';') else { return false };
    let name = &text[..end];
    let number = match (name.strip_prefix("#x"), name.strip_prefix('#')) {
        (Some(hex), _) => u32::from_str_radix(hex, 16).ok(),
        (None, Some(decimal)) => decimal.parse().ok(),
        (None, None) => return ["amp", "lt", "gt", "quot", "apos"].contains(&name),
    };
    number.and_then(char::from_u32).is_some_and(|c| c != '\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_well_formed_stays() {
        let text = "<nii><debug>a &amp; b</debug>\n<nodeinfo name=\"n\" repo=\"/repos/1\">\n<component>x</component>\n</nodeinfo></nii>";
        assert_eq!(mend(&format!("<?xml version=\"1.0\"?>\n{text}")).trim_start(), text);
    }

    #[test]
    fn lapses_are_mended() {
        for (text, mended) in [
            (
                "<debug>if a < b && c > d: <i></debug>",
                "<debug>if a &lt; b &amp;&amp; c &gt; d: &lt;i&gt;</debug>",
            ),
            ("<debug><nodeinfo name=\"x\"></debug>", "<debug>&lt;nodeinfo name=&quot;x&quot;&gt;</debug>"),
            ("<component>a<b&c;</component>", "<component>a&lt;b&amp;c;</component>"),
            (
                "<appglobals name=\"motd\" value=\"say \"hi\" & <go>\"/>",
                "<appglobals name=\"motd\" value=\"say &quot;hi&quot; &amp; &lt;go&gt;\"/>",
            ),
            (
                "<appglobals name=\"k\" value=\"a=\"1\" b=\"2\" > \"x\">\" />",
                "<appglobals name=\"k\" value=\"a=&quot;1&quot; b=&quot;2&quot; &gt; &quot;x&quot;&gt;\"/>",
            ),
            (
                "<nicinfo device='e\"th0' ip=\"\"></nicinfo>",
                "<nicinfo device=\"e&quot;th0\" ip=\"\"></nicinfo>",
            ),
            ("<nicinfo device=\"a\" new=\"b\"/>", "<nicinfo device=\"a\" new=\"b\"/>"),
            ("<nodeinfo name=\"a\">b\">", "<nodeinfo name=\"a\">b&quot;&gt;"),
            ("<nodeinfo name=\"a", "&lt;nodeinfo name=&quot;a"),
        ] {
            assert_eq!(mend(text), mended);
        }
    }
}
