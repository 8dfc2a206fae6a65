//! `TPM2_MakeCredential` in software (*TPM 2.0 Library*, part 1, 24, and C.6.4 for elliptic curves): a secret that only the chip
//! with that endorsement key gives back, and only while it has the key of that name.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use anyhow::{Context as _, Result, ensure};
use nii::envelope::Bytes;
use nii::tpm::{COORDINATE, Credential};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::digest;
use ring::hmac::{self, HMAC_SHA256};
use ring::rand::SystemRandom;
use zeroize::Zeroizing;

use super::Chip;

/// What a credential may have: a digest by the endorsement key's algorithm.
const TEXT_MAX: usize = 32;
/// Of AES-128, in bytes.
const KEY: usize = 16;
/// Before a point that is not compressed (SEC 1, 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// A derived key.
type Derived = Zeroizing<[u8; 32]>;

pub(super) fn make(chip: &Chip, text: &[u8]) -> Result<Credential> {
    ensure!(text.len() <= TEXT_MAX, "a credential has up to {TEXT_MAX} bytes, not {}", text.len());
    let (point, seed) = exchange(chip)?;
    let name = chip.boot.bytes();
    let storage = kdfa(&seed, b"STORAGE", &name, 8 * KEY)?;
    let mut identity = Zeroizing::new(sized(text)?);
    cfb(&storage, &mut identity)?;
    let integrity = kdfa(&seed, b"INTEGRITY", &[], 256)?;
    let tag = hmac::sign(&hmac::Key::new(HMAC_SHA256, &*integrity), &[&identity[..], &name].concat());
    let object = [&sized(tag.as_ref())?[..], &identity].concat();
    Ok(Credential { object: Bytes(object), seed: Bytes(point) })
}

/// Our half of a Diffie-Hellman exchange, as `TPMS_ECC_POINT`, and the seed that both sides have of it (KDFe, part 1, C.6.1).
fn exchange(chip: &Chip) -> Result<(Vec<u8>, Derived)> {
    let random = SystemRandom::new();
    let ours = EphemeralPrivateKey::generate(&ECDH_P256, &random).ok().context("making a key")?;
    let public = ours.compute_public_key().ok().context("making a key")?;
    let (x, y) = public.as_ref()[1..].split_at(COORDINATE);
    let theirs = [&[UNCOMPRESSED][..], &padded(&chip.x), &padded(&chip.y)].concat();
    let seed = agree_ephemeral(ours, &UnparsedPublicKey::new(&ECDH_P256, theirs), |z| {
        let mut hash = digest::Context::new(&digest::SHA256);
        for part in [&1_u32.to_be_bytes()[..], z, b"IDENTITY\0", x, &chip.x] {
            hash.update(part);
        }
        derived(hash.finish().as_ref())
    });
    let seed = seed.ok().context("the point of its endorsement key is not on the curve")??;
    Ok(([sized(x)?, sized(y)?].concat(), seed))
}

/// The first `bits` of a key, by HMAC (KDFa, part 1, 11.4.10.2).
fn kdfa(seed: &Derived, label: &[u8], context: &[u8], bits: usize) -> Result<Derived> {
    let bits = u32::try_from(bits)?.to_be_bytes();
    let message = [&1_u32.to_be_bytes()[..], label, &[0], context, &bits].concat();
    derived(hmac::sign(&hmac::Key::new(HMAC_SHA256, &**seed), &message).as_ref())
}

fn derived(bytes: &[u8]) -> Result<Derived> {
    Ok(Zeroizing::new(bytes.try_into()?))
}

/// AES-128-CFB from zeroes (part 1, 24.4): each block is covered by the encryption of what became of the one before.
fn cfb(key: &Derived, data: &mut [u8]) -> Result<()> {
    let cipher = Aes128::new_from_slice(&key[..KEY]).ok().context("taking a key")?;
    let mut block = [0; KEY].into();
    for chunk in data.chunks_mut(KEY) {
        cipher.encrypt_block(&mut block);
        for (byte, cover) in chunk.iter_mut().zip(&mut block) {
            *byte ^= *cover;
            *cover = *byte;
        }
    }
    Ok(())
}

fn padded(coordinate: &[u8]) -> Vec<u8> {
    [&vec![0; COORDINATE.saturating_sub(coordinate.len())], coordinate].concat()
}

/// A `TPM2B`.
fn sized(bytes: &[u8]) -> Result<Vec<u8>> {
    Ok([&u16::try_from(bytes.len())?.to_be_bytes()[..], bytes].concat())
}
