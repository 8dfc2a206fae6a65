//! Shell patterns as fnmatch(3) reads them without flags: what `modules.alias` and firmware names use.

/// Whether `pattern` (`*`, `?`, `[a-z]`, `[!a-z]`) matches the whole of `text`.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
        } else if let Some(width) = one(&pattern[p..], text[t]) {
            p += width;
            t += 1;
        } else if let Some((after, from)) = star {
            star = Some((after, from + 1));
            (p, t) = (after, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&b| b == b'*')
}

/// The width of the pattern's first element if it matches `byte`.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => class(pattern, byte),
        literal => (literal == byte).then_some(1),
    }
}

/// A bracket expression; an unclosed one matches nothing.
fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let first = 1 + usize::from(negated);
    // A `]` that comes first is a member of the set.
    let end = first + 1 + pattern.get(first + 1..)?.iter().position(|&b| b == b']')?;
    let mut set = &pattern[first..end];
    let mut found = false;
    while let Some((&low, rest)) = set.split_first() {
        match rest {
            [b'-', high, after @ ..] => {
                found |= (low..=*high).contains(&byte);
                set = after;
            }
            _ => {
                found |= low == byte;
                set = rest;
            }
        }
    }
    (found != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn shell_patterns() {
        let yes = [
            ("crypto-crc32c", "crypto-crc32c"),
            ("pci:v00008086d0000100E*", "pci:v00008086d0000100Esv00001AF4"),
            ("*a*b", "xxaxxab"),
            ("usb:v[0-9a-f]x", "usb:vbx"),
            ("[!x]y", "ay"),
            ("[]]", "]"),
            ("a?c", "abc"),
            ("*", ""),
        ];
        for (pattern, text) in yes {
            assert!(matches(pattern, text), "{pattern} should match {text}");
        }
        for (pattern, text) in [("a", "ab"), ("a?", "a"), ("[!a]", "a"), ("[a", "a"), ("*x", "xy"), ("", "a")]
        {
            assert!(!matches(pattern, text), "{pattern} should not match {text}");
        }
    }
}
