//! New keys in the place of old ones (docs/security.md, *Keys are replaced*).
//!
//! Authority and image key: [`announce`] makes the next one, which `trust.json` names beside the one that is used, so that
//! initrds built from then on believe both. [`replace_authority`] and [`replace_image_key`] then use it, and the old one is
//! gone. The online key needs no new initrds, for a root key vouches for it: [`replace_online_key`].
//!
//! Each step may be cut off, and done again.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use ed25519_dalek::SigningKey;
use nii::envelope::{Certificate, CertificatePayload, PublicKey, Purpose};
use nii::manifest::{MANIFEST_FILE, SIGNATURE_FILE};
use nii::trust::Trust;
use time::OffsetDateTime;

use super::pair::{AUTHORITY, IMAGE, NII, Pair};
use super::{
    ROOT_KEY, SLACK, authority, certify, make_signing_key, read_secret, read_seed, read_trust, seed_text,
    write_trust,
};
use crate::clock;
use crate::data_dir::{DataDir, write_private};

/// What comes in two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// The cluster's certificate authority.
    Authority,
    /// What images are signed with.
    Image,
}

impl Announced {
    fn pair(self) -> &'static Pair {
        match self {
            Self::Authority => &AUTHORITY,
            Self::Image => &IMAGE,
        }
    }

    /// Whether the next one was announced.
    pub fn is_pending(self, dir: &DataDir) -> bool {
        self.pair().has_next(dir)
    }

    fn make(self) -> Result<(zeroize::Zeroizing<String>, String)> {
        match self {
            Self::Authority => authority::make(OffsetDateTime::now_utc().replace_nanosecond(0)? - SLACK),
            Self::Image => {
                let key = image::sign::SecretKey::generate().context("making the image key")?;
                Ok((key.save_text(), key.public().to_string()))
            }
        }
    }
}

/// Makes the next key, and has `trust.json` name it. Whether it was announced before.
///
/// # Errors
/// When the folder cannot be written.
pub fn announce(dir: &DataDir, what: Announced) -> Result<bool> {
    let was_there = what.is_pending(dir);
    if !was_there {
        let (secret, public) = what.make()?;
        what.pair().keep_next(dir, secret.as_bytes(), public.as_bytes())?;
    }
    refresh(dir, |_| ())?;
    Ok(was_there)
}

/// The next authority is the one.
///
/// # Errors
/// When none was announced, or the folder cannot be written.
pub fn replace_authority(dir: &DataDir) -> Result<()> {
    ensure_announced(dir, Announced::Authority, "ca")?;
    AUTHORITY.promote(dir)?;
    refresh(dir, |_| ())
}

/// Signs all images with the next key, which then is the one. How many images.
///
/// # Errors
/// When none was announced, an image is not signed by us, or the folder cannot be written.
pub fn replace_image_key(dir: &DataDir) -> Result<usize> {
    ensure_announced(dir, Announced::Image, "image")?;
    let path = dir.key(IMAGE.next_secret);
    let next: image::sign::SecretKey =
        read_secret(&path)?.parse().with_context(|| format!("reading {}", path.display()))?;
    let ours = [read_image_key(dir, IMAGE.public)?, next.public()];
    let mut signed = 0;
    for folder in fs::read_dir(dir.images())? {
        let folder = folder?.path();
        if folder.join(MANIFEST_FILE).exists() {
            sign_again(&folder, &ours, &next).with_context(|| format!("signing {}", folder.display()))?;
            signed += 1;
        }
    }
    IMAGE.promote(dir)?;
    refresh(dir, |_| ())?;
    Ok(signed)
}

/// What we did not sign before is not signed now.
fn sign_again(folder: &Path, ours: &[image::sign::PublicKey], next: &image::sign::SecretKey) -> Result<()> {
    let manifest = fs::read(folder.join(MANIFEST_FILE))?;
    let signature = fs::read_to_string(folder.join(SIGNATURE_FILE))?;
    let comment = image::sign::verify(ours, &manifest, &signature)?;
    write_private(&folder.join(SIGNATURE_FILE), next.sign(&manifest, &comment).as_bytes())
}

fn ensure_announced(dir: &DataDir, what: Announced, name: &str) -> Result<()> {
    ensure!(
        what.is_pending(dir),
        "there is no next key yet: `headnode keys rotate {name}` makes it, then build the initrds anew"
    );
    Ok(())
}

/// Where a root key's word for a new online key comes from.
#[derive(Clone, Copy, Debug)]
pub enum Voucher<'a> {
    /// The root key in the data folder, if it is there.
    Here,
    /// The root key of this file.
    Root(&'a Path),
    /// The certificate in this file.
    Certificate(&'a Path),
}

/// A new online key takes the place of the old one; or, while nobody vouches for it, what a root key is to certify.
///
/// # Errors
/// When the root key or the certificate is not the right one, or the folder cannot be written.
pub fn replace_online_key(dir: &DataDir, voucher: Voucher<'_>) -> Result<Option<PublicKey>> {
    let path = dir.key(NII.next_secret);
    if !path.exists() {
        write_private(&path, seed_text(&make_signing_key()?).as_bytes())?;
    }
    let key = PublicKey::from(&SigningKey::from_bytes(&*read_seed(&path)?));
    let root = dir.key(ROOT_KEY);
    let certificate = match voucher {
        Voucher::Here if !root.exists() => return Ok(Some(key)),
        Voucher::Here => vouched(&root, key)?,
        Voucher::Root(file) => vouched(file, key)?,
        Voucher::Certificate(file) => {
            let text = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
            serde_json::from_slice(&text).with_context(|| format!("reading {}", file.display()))?
        }
    };
    check(&certificate, key, &read_trust(dir)?)?;
    write_private(&dir.key(NII.next_public), &serde_json::to_vec(&certificate)?)?;
    NII.promote(dir)?;
    refresh(dir, |_| ())?;
    Ok(None)
}

/// The certificate of `key` by the root key in `file`.
///
/// # Errors
/// When that is no root key.
pub fn vouched(file: &Path, key: PublicKey) -> Result<Certificate> {
    certify(key, &SigningKey::from_bytes(&*read_seed(file)?))
}

fn check(certificate: &Certificate, key: PublicKey, trust: &Trust) -> Result<()> {
    let Certificate { payload, signature } = certificate;
    ensure!(
        trust.root_keys.iter().any(|root| Purpose::Certificate.verify(&payload.0, signature, root)),
        "the certificate is by another root key than the one that initrds believe (trust.json, root_keys)"
    );
    let said: CertificatePayload = serde_json::from_slice(&payload.0).context("reading the certificate")?;
    ensure!(said.key == key, "the certificate is for the key {}, not for {key}", said.key);
    let now = clock::now_s();
    if said.not_after <= now || said.issued_at < trust.certified_since {
        bail!("the certificate has ended, or is older than what initrds believe: make a new one");
    }
    Ok(())
}

/// Initrds built from now on believe no online key that was certified before the one that is used.
///
/// # Errors
/// When the folder cannot be written.
pub fn shut_out_old_online_keys(dir: &DataDir) -> Result<()> {
    let since = online_certificate(dir)?.issued_at;
    refresh(dir, |trust| trust.certified_since = since)
}

/// What the certificate of the online key says.
///
/// # Errors
/// When it cannot be read.
pub fn online_certificate(dir: &DataDir) -> Result<CertificatePayload> {
    let path = dir.key(NII.public);
    let read = || -> Result<CertificatePayload> {
        let certificate: Certificate = serde_json::from_slice(&fs::read(&path)?)?;
        Ok(serde_json::from_slice(&certificate.payload.0)?)
    };
    read().with_context(|| format!("reading {}", path.display()))
}

/// The public keys of images: the one that is used, and the next one if there is one.
///
/// # Errors
/// When one cannot be read.
pub fn image_keys(dir: &DataDir) -> Result<Vec<image::sign::PublicKey>> {
    publics(dir, &IMAGE).map(|name| read_image_key(dir, name)).collect()
}

/// The certificates of authorities, in the same order.
///
/// # Errors
/// When one cannot be read.
pub fn authorities(dir: &DataDir) -> Result<Vec<authority::Validity>> {
    authority::certificates(authorities_pem(dir)?.as_bytes())
}

fn authorities_pem(dir: &DataDir) -> Result<String> {
    let read = |name| {
        let path = dir.key(name);
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    };
    publics(dir, &AUTHORITY).map(read).collect()
}

fn publics(dir: &DataDir, pair: &'static Pair) -> impl Iterator<Item = &'static str> {
    let next = pair.has_next(dir).then_some(pair.next_public);
    [pair.public].into_iter().chain(next)
}

fn read_image_key(dir: &DataDir, name: &str) -> Result<image::sign::PublicKey> {
    let path = dir.key(name);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    text.parse().with_context(|| format!("reading {}", path.display()))
}

/// Ends what was cut off while keys took each other's place.
///
/// # Errors
/// When the folder cannot be written.
pub fn finish(dir: &DataDir) -> Result<()> {
    let mut cut = false;
    for pair in [&AUTHORITY, &IMAGE, &NII] {
        cut |= pair.finish(dir)?;
    }
    if cut { refresh(dir, |_| ()) } else { Ok(()) }
}

/// Writes `trust.json` anew from the keys that are there. Always: a running `serve` reads its keys again when that file is new.
fn refresh(dir: &DataDir, change: impl FnOnce(&mut Trust)) -> Result<()> {
    let mut trust = read_trust(dir)?;
    trust.image_keys = image_keys(dir)?.iter().map(image::sign::PublicKey::line).collect();
    trust.ca_pem = authorities_pem(dir)?;
    trust.time_floor = authority::certificates(trust.ca_pem.as_bytes())?[0].begin;
    change(&mut trust);
    write_trust(dir, &trust)
}
