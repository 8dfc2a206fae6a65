//! `headnode hash-password`, and how secrets are typed.

use std::io::{self, BufRead as _, IsTerminal as _};

use anyhow::{Context as _, Result, ensure};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use sha_crypt::{PasswordHasher as _, ShaCrypt};
use zeroize::Zeroizing;

use crate::output;

/// crypt(5): a SHA-crypt salt has at most 16 characters, and crypt(3) cuts longer ones. sha-crypt's own default makes
/// 22, and such a hash never matches; 12 bytes make 16.
const SALT_BYTES: usize = 12;

/// Reads a line from stdin, prints its SHA-512 crypt hash.
pub(super) fn hash() -> Result<()> {
    let password = once("Password: ")?;
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).context("reading random numbers")?;
    output::text(&format!("{}\n", crypt(&password, &salt)?))
}

/// A line of stdin, which is not empty. On a terminal it is asked for, and not shown.
pub(super) fn once(prompt: &str) -> Result<Zeroizing<String>> {
    let mut line = if io::stdin().is_terminal() { ask(prompt)? } else { read_line()? };
    if line.ends_with('\n') {
        line.pop();
    }
    ensure!(!line.is_empty(), "what was typed is empty");
    Ok(line)
}

/// The same, asked for a second time on a terminal: a slip would be found out when it is too late.
pub(super) fn twice(prompt: &str) -> Result<Zeroizing<String>> {
    let line = once(prompt)?;
    ensure!(!io::stdin().is_terminal() || *once("Again: ")? == *line, "what was typed differs");
    Ok(line)
}

fn read_line() -> Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::new());
    io::stdin().lock().read_line(&mut line).context("reading a line from stdin")?;
    Ok(line)
}

/// Asks for it on the terminal, which does not show it.
fn ask(prompt: &str) -> Result<Zeroizing<String>> {
    let terminal = io::stdin();
    let shown = tcgetattr(&terminal).context("asking the terminal for its mode")?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    eprint!("{prompt}");
    tcsetattr(&terminal, OptionalActions::Flush, &hidden).context("hiding what is typed")?;
    let line = read_line();
    tcsetattr(&terminal, OptionalActions::Flush, &shown).context("restoring the terminal")?;
    eprintln!();
    line
}

fn crypt(password: &str, salt: &[u8; SALT_BYTES]) -> Result<String> {
    let hash = ShaCrypt::default()
        .hash_password_with_salt(password.as_bytes(), salt)
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    /// Perl's crypt is the C library's.
    #[test]
    fn the_c_library_agrees() {
        for password in ["camphor", "pässwörd with blanks", &"long".repeat(30)] {
            let hash = super::crypt(password, b"0123456789ab").unwrap();
            assert!(hash.starts_with("$6$"), "{hash}");
            let perl = Command::new("perl")
                .args(["-e", "print crypt($ARGV[0], $ARGV[1])", password, &hash])
                .output();
            assert_eq!(String::from_utf8(perl.unwrap().stdout).unwrap(), hash, "{password}");
        }
    }
}
