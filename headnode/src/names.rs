//! Names that people and nodes give to things. They become parts of paths and URLs.

/// What a name may be, for messages.
pub const RULE: &str = "1 to 64 letters, digits, `-`, `_` and `.`, the first of them no `-` or `.`";

/// Whether `name` is one: no path goes anywhere by it.
pub fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && !name.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_are_no_paths() {
        for name in ["n001", "anaconda.log", "ks-script-a_1.log", &"a".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".", "..", ".tmp1", "-x", "a/b", "../a", "a\\b", "a b", "a\n", "ä", &"a".repeat(65)]
        {
            assert!(!is_name(name), "{name}");
        }
    }
}
