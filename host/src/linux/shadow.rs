//! Editing shadow(5), as a text.

use anyhow::{Context, ensure};

/// What password authentication is refused by, while keys still let in: unlike `!` it does not count as a locked
/// account for sshd.
const NO_PASSWORD: &str = "*";

/// The text with the password field of `user` replaced; `None` for no password. All other bytes stay.
///
/// # Errors
/// When the account has no line, or the hash cannot stand in one.
pub fn set_password(text: &str, user: &str, hash: Option<&str>) -> anyhow::Result<String> {
    let hash = hash.unwrap_or(NO_PASSWORD);
    ensure!(!hash.contains([':', '\n']), "the password hash has a colon or a line break");
    let mut found = false;
    let edit = |line: &str| match line.split_once(':') {
        Some((name, rest)) if name == user => {
            found = true;
            // A line that ends after the password is short, but some tools write it.
            let aging = rest.find([':', '\n']).map_or("", |end| &rest[end..]);
            format!("{user}:{hash}{aging}")
        }
        _ => line.to_owned(),
    };
    let edited: String = text.split_inclusive('\n').map(edit).collect();
    found.then_some(edited).with_context(|| format!("the account {user} has no line in etc/shadow"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "daemon:*:19000:0:99999:7:::\nroot:!old:19000:0:99999:7:::\nrooty::1::::::\n";

    #[test]
    fn only_the_one_field_changes() {
        let set = set_password(TEXT, "root", Some("$6$salt$hash")).unwrap();
        assert_eq!(set, TEXT.replace("!old", "$6$salt$hash"));
        assert_eq!(set_password(TEXT, "root", None).unwrap(), TEXT.replace("!old", "*"));
        assert_eq!(set_password("root:x", "root", Some("h")).unwrap(), "root:h");
    }

    #[test]
    fn strange_accounts_and_hashes_are_refused() {
        assert!(set_password(TEXT, "nobody", None).is_err());
        assert!(set_password(TEXT, "root", Some("a:b")).is_err());
        assert!(set_password(TEXT, "root", Some("a\nroot2::")).is_err());
    }
}
