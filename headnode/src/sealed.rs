//! The form of a backup: an archive (newc) behind a passphrase. Argon2id (RFC 9106) makes a key of it, ChaCha20-Poly1305
//! (RFC 8439) seals the archive with that, in one piece:
//!
//! | bytes | |
//! | --- | --- |
//! | 17 | `camphor backup 1`, a line feed; sealed with the rest against changes |
//! | 16 | salt |
//! | 12 | nonce |
//! | … | the archive, sealed |
//! | 16 | tag |

use anyhow::{Context as _, Result, anyhow};
use argon2::{Algorithm, Argon2, Params, Version};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

const MAGIC: &[u8; 17] = b"camphor backup 1\n";
const SALT: usize = 16;
/// 64 MiB, three passes, one lane: the second choice of RFC 9106 (4.), with less to hold in memory at once.
const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 3;

/// Seals `plain`.
///
/// # Errors
/// When the system has no random numbers.
pub fn seal(passphrase: &str, plain: Zeroizing<Vec<u8>>) -> Result<Vec<u8>> {
    let (mut salt, mut nonce) = ([0; SALT], [0; NONCE_LEN]);
    getrandom::fill(&mut salt).context("reading random numbers")?;
    getrandom::fill(&mut nonce).context("reading random numbers")?;
    let mut text = plain;
    let tag = key(passphrase, &salt)?
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(MAGIC), &mut text)
        .ok()
        .context("sealing the backup")?;
    Ok([&MAGIC[..], &salt, &nonce, &text, tag.as_ref()].concat())
}

/// Opens what [`seal`] made.
///
/// # Errors
/// When it is no backup, was changed, or the passphrase is another.
pub fn open(passphrase: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let rest = sealed.strip_prefix(MAGIC).context("this is no backup of a head node")?;
    let (salt, rest) = rest.split_first_chunk::<SALT>().context("the backup is cut off")?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().context("the backup is cut off")?;
    let mut text = Zeroizing::new(rest.to_vec());
    let length = key(passphrase, salt)?
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(MAGIC), &mut text)
        .ok()
        .context("the passphrase is another, or the backup was changed or cut off")?
        .len();
    text.truncate(length);
    Ok(text)
}

fn key(passphrase: &str, salt: &[u8; SALT]) -> Result<LessSafeKey> {
    let wrong = |error| anyhow!("making a key of the passphrase: {error}");
    let params = Params::new(MEMORY_KIB, PASSES, 1, Some(32)).map_err(wrong)?;
    let mut bytes = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, &mut *bytes)
        .map_err(wrong)?;
    let key = UnboundKey::new(&CHACHA20_POLY1305, &*bytes).ok().context("taking the key")?;
    Ok(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_passphrase_opens_it_and_only_whole() {
        let plain = || Zeroizing::new(b"keys and hashes".to_vec());
        let sealed = seal("correct horse", plain()).unwrap();
        assert_eq!(open("correct horse", &sealed).unwrap(), plain());
        assert!(!sealed.windows(4).any(|window| window == b"keys"));
        assert_ne!(seal("correct horse", plain()).unwrap(), sealed, "another salt and nonce each time");
        let refused = |passphrase: &str, bytes: &[u8]| format!("{:#}", open(passphrase, bytes).unwrap_err());
        assert!(refused("correct horsf", &sealed).contains("the passphrase is another"));
        assert!(refused("correct horse", &sealed[..20]).contains("cut off"));
        assert!(refused("correct horse", b"PK").contains("no backup"));
        for at in [20, 40, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(refused("correct horse", &changed).contains("was changed"), "{at}");
        }
    }
}
