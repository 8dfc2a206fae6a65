//! What nodes saved from the disks that they are about to overwrite: SSH host keys. A copy of the store shows nothing
//! of them: they are sealed by ChaCha20-Poly1305 (RFC 8439) with `keys/escrow.key`, for the node's name.

use anyhow::{Context as _, Result};
use nii::v1::SshHostKey;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::keys::Keys;

/// Seals `host_keys` for a node: nonce, ciphertext, tag.
///
/// # Errors
/// When the system has no random numbers.
pub fn seal(keys: &Keys, node: &str, host_keys: &[SshHostKey]) -> Result<Vec<u8>> {
    let mut nonce = [0; NONCE_LEN];
    // At random: a few seals for each node stay far below 2^32, where 96 bits would repeat.
    getrandom::fill(&mut nonce).context("reading random numbers")?;
    let mut text = Zeroizing::new(serde_json::to_vec(host_keys)?);
    let tag = cipher(keys)?
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(node), &mut text)
        .ok()
        .context("sealing host keys")?;
    Ok([&nonce[..], &text, tag.as_ref()].concat())
}

/// Opens what [`seal`] made for the same node.
///
/// # Errors
/// When it was sealed with another key or for another node.
pub fn open(keys: &Keys, node: &str, sealed: &[u8]) -> Result<Vec<SshHostKey>> {
    let refused = || {
        format!("opening the host keys kept for {node}: keys/escrow.key is not the one they were sealed with")
    };
    let (nonce, text) = sealed.split_first_chunk().with_context(refused)?;
    let mut text = Zeroizing::new(text.to_vec());
    let text = cipher(keys)?
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(node), &mut text)
        .ok()
        .with_context(refused)?;
    serde_json::from_slice(text).with_context(|| format!("reading the host keys kept for {node}"))
}

fn cipher(keys: &Keys) -> Result<LessSafeKey> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, keys.escrow()).ok().context("taking the escrow key")?;
    Ok(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    use nii::secret::Secret;

    use super::*;
    use crate::data_dir::DataDir;
    use crate::keys;

    #[test]
    fn only_the_own_key_and_node_open_it() {
        let scratch = tempfile::tempdir().unwrap();
        let load = |name: &str| {
            let dir = DataDir::create(&scratch.path().join(name)).unwrap();
            keys::ensure(&dir).unwrap();
            Keys::load(&dir).unwrap()
        };
        let (ours, others) = (load("a"), load("b"));
        let key = SshHostKey { kind: "rsa".into(), private: Secret::new("hidden"), public: "shown".into() };
        let sealed = seal(&ours, "n1", std::slice::from_ref(&key)).unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"hidden"));
        assert_ne!(sealed, seal(&ours, "n1", std::slice::from_ref(&key)).unwrap());
        assert_eq!(open(&ours, "n1", &sealed).unwrap(), [key]);
        assert!(open(&ours, "n2", &sealed).is_err() && open(&others, "n1", &sealed).is_err());
        for i in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[i] ^= 1;
            assert!(open(&ours, "n1", &changed).is_err(), "{i}");
        }
        assert!(open(&ours, "n1", b"short").is_err());
    }
}
