//! Editing /etc/shadow, shadow(5): text in, text out.

use thiserror::Error;

/// Why a password cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AccountError {
    /// The file has no such account.
    #[error("/etc/shadow has no account `{0}`")]
    Unknown(String),
    /// The hash would break the file.
    #[error("the password hash has a `:` or a line break")]
    Hash,
}

/// The text of /etc/shadow with the password of `user` set to the crypt(5) `hash`, or locked without one: `*` rather
/// than `!`, which sshd without PAM takes for a locked account, so that keys still work. `today` is the day since the
/// epoch for the date of the last change; 0 would force a change at the first login, so it is written as 1.
///
/// # Errors
/// No such account, or a hash that is none.
pub fn set_password(
    shadow: &str,
    user: &str,
    hash: Option<&str>,
    today: u64,
) -> Result<String, AccountError> {
    let hash = hash.unwrap_or("*");
    if hash.contains([':', '\n', '\r', '\0']) {
        return Err(AccountError::Hash);
    }
    let mut found = false;
    let mut text = String::with_capacity(shadow.len() + hash.len());
    for line in shadow.lines() {
        let mut fields: Vec<&str> = line.split(':').collect();
        let date = today.max(1).to_string();
        if fields.first() == Some(&user) && fields.len() > 2 {
            found = true;
            fields[1] = hash;
            fields[2] = &date;
            text.push_str(&fields.join(":"));
        } else {
            text.push_str(line);
        }
        text.push('\n');
    }
    if found { Ok(text) } else { Err(AccountError::Unknown(user.into())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHADOW: &str = "root:!unprovisioned:19000:0:99999:7:::\nrooty:*:1::::::\nsshd:!:1::::::\n";

    #[test]
    fn only_the_one_account_changes() {
        let text = set_password(SHADOW, "root", Some("$6$salt$hash"), 20_000).unwrap();
        assert_eq!(text, "root:$6$salt$hash:20000:0:99999:7:::\nrooty:*:1::::::\nsshd:!:1::::::\n");
        let text = set_password(SHADOW, "root", None, 0).unwrap();
        assert!(text.starts_with("root:*:1:0:99999:7:::\nrooty:*:1:"), "{text}");
    }

    #[test]
    fn a_last_line_without_its_end_and_lines_of_others_stay() {
        let text = set_password("+nis\nroot:x:1::::::", "root", Some("$y$a"), 2).unwrap();
        assert_eq!(text, "+nis\nroot:$y$a:2::::::\n");
    }

    #[test]
    fn refusals() {
        assert_eq!(set_password(SHADOW, "admin", None, 1), Err(AccountError::Unknown("admin".into())));
        assert_eq!(set_password(SHADOW, "root", Some("$6$a:b"), 1), Err(AccountError::Hash));
        assert_eq!(set_password(SHADOW, "root", Some("$6$a\n"), 1), Err(AccountError::Hash));
    }
}
