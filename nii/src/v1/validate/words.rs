//! Which characters a value may have, by where it goes.

use std::net::IpAddr;

/// Names of nodes, groups, disks, scripts: they become file names and URL parts.
pub(super) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && !name.starts_with(['.', '-'])
}

/// `name` starts with a letter or digit and goes on with those or characters of `more`.
pub(super) fn is_made_of(name: &str, more: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= 255
        && name.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
}

/// One word that neither a kickstart line nor a shell word in quotes loses: no blank, no quote, no comment sign, nothing that
/// expands.
pub(super) fn is_word(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_graphic() && !"\"'`$\\#".contains(c))
}

/// RFC 1123, section 2.1.
pub(super) fn is_host_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// A host name with or without its domain, or an address.
pub(super) fn is_host(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok() || (host.len() <= 253 && host.split('.').all(is_host_label))
}

pub(super) fn is_mac(mac: &str) -> bool {
    let byte =
        |part: &str| part.len() == 2 && part.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    mac.split(':').count() == 6 && mac.split(':').all(byte)
}

/// IFNAMSIZ is 16 with the final NUL. `dev_valid_name` of the kernel takes more, but such names come to shells and
/// kickstarts.
pub(super) fn is_interface_name(name: &str) -> bool {
    (1..16).contains(&name.len())
        && ![".", ".."].contains(&name)
        && !name.starts_with('-')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@+".contains(c))
}

/// An absolute path in its shortest form, without blanks.
pub(super) fn is_path(path: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part != "." && part != ".." && is_word(part);
    path == "/" || path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(part))
}

/// A program: an absolute path, or a name that is looked up; no arguments.
pub(super) fn is_program(program: &str) -> bool {
    let right = |c: char| c.is_ascii_alphanumeric() || "-_./+".contains(c);
    program.chars().all(right) && (is_path(program) || (!program.contains('/') && is_name(program)))
}

/// `useradd` of shadow takes no others everywhere.
pub(super) fn is_account(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// What is wrong with a URL of one of these schemes, if anything.
pub(super) fn url_fault(url: &str, schemes: &[&str]) -> Option<String> {
    let rest = schemes.iter().find_map(|scheme| url.strip_prefix(scheme)?.strip_prefix("://"));
    let Some(rest) = rest else {
        return Some(format!("`{url}` is no {} URL", schemes.join(" or ")));
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        return Some("has a user name in it: URLs are logged, and stay in the installed system".into());
    }
    let right = |c: char| c.is_ascii_alphanumeric() || "-._~:/?@+,=%&[]".contains(c);
    let fits =
        !rest.is_empty() && (!authority.is_empty() || url.starts_with("file:")) && rest.chars().all(right);
    (!fits).then(|| format!("`{}` is no URL: write other characters as %XX", url))
}

/// A crypt(5) hash.
pub(super) fn is_crypt(hash: &str) -> bool {
    hash.starts_with('$') && hash.chars().all(|c| c.is_ascii_alphanumeric() || "$./=,_+-".contains(c))
}

/// What is wrong with a line of authorized_keys, if anything.
pub(super) fn key_fault(key: &str) -> Option<&'static str> {
    if key.contains(char::is_control) {
        Some("must be one line")
    } else if key.contains("PRIVATE KEY") {
        Some("is a private key; put the public one here")
    } else if key.split_whitespace().count() < 2 {
        Some("is no authorized_keys line: `TYPE BASE64 [COMMENT]`")
    } else {
        None
    }
}
