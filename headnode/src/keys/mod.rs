//! The keys of a head node: made once, private ones 0600, public ones in `trust.json` for initrds.
//!
//! * [`pair`]: a key's two files, and those of the next one.
//! * [`authority`]: the cluster's certificate authority, and the server's certificate by it.
//! * [`rotation`]: new keys in the place of old ones.
//! * [`live`]: what `serve` has of them at the moment.

pub mod authority;
pub mod live;
mod pair;
pub mod rotation;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use ed25519_dalek::SigningKey;
use nii::digest::Digest;
use nii::envelope::{Bytes, Certificate, CertificatePayload, Envelope, PublicKey, Purpose};
use nii::trust::Trust;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use self::pair::{AUTHORITY, IMAGE, NII};
use crate::clock;
use crate::data_dir::{DataDir, write_private};

const ROOT_KEY: &str = "root.key";
const TOKEN_KEY: &str = "token.key";
const ESCROW_KEY: &str = "escrow.key";
/// Written last: it says that all others are there.
const TRUST: &str = "trust.json";

/// Certificates begin a day before they are made: a clock that is set back a little must not end them.
const SLACK: Duration = Duration::DAY;
const LIFETIME: Duration = Duration::days(20 * 365);

/// What `serve` works with.
pub struct Keys {
    nii: SigningKey,
    certificate: Certificate,
    token: Zeroizing<[u8; 32]>,
    escrow: Zeroizing<[u8; 32]>,
    authority: Digest,
}

/// Makes all keys, unless they are there already.
///
/// # Errors
/// When the folder cannot be written or the system has no random numbers.
pub fn ensure(dir: &DataDir) -> Result<()> {
    // By itself: data folders of before the package flow have all others.
    if !dir.key(ESCROW_KEY).exists() {
        write_private(&dir.key(ESCROW_KEY), Base64::encode_string(&*random()?).as_bytes())?;
    }
    if dir.key(TRUST).exists() {
        return rotation::finish(dir);
    }
    let start = OffsetDateTime::now_utc().replace_nanosecond(0)? - SLACK;
    let (ca_key, ca_pem) = authority::make(start)?;
    AUTHORITY.keep(dir, ca_key.as_bytes(), ca_pem.as_bytes())?;
    let root = make_signing_key()?;
    write_private(&dir.key(ROOT_KEY), seed_text(&root).as_bytes())?;
    let online = make_signing_key()?;
    let certificate = serde_json::to_vec(&certify(PublicKey::from(&online), &root)?)?;
    NII.keep(dir, seed_text(&online).as_bytes(), &certificate)?;
    let image = image::sign::SecretKey::generate().context("making the image key")?;
    IMAGE.keep(dir, image.save_text().as_bytes(), image.public().to_string().as_bytes())?;
    write_private(&dir.key(TOKEN_KEY), Base64::encode_string(&*random()?).as_bytes())?;
    let trust = Trust {
        root_keys: vec![PublicKey::from(&root)],
        image_keys: vec![image.public().line()],
        ca_pem,
        time_floor: u64::try_from(start.unix_timestamp())?,
        certified_since: 0,
        allow_kusu: Vec::new(),
    };
    write_trust(dir, &trust)
}

fn write_trust(dir: &DataDir, trust: &Trust) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(trust)?;
    text.push(b'\n');
    write_private(&dir.key(TRUST), &text)
}

/// A root key's word for an online key, from now on.
fn certify(key: PublicKey, root: &SigningKey) -> Result<Certificate> {
    let issued_at = clock::now_s();
    let lifetime = u64::try_from(LIFETIME.whole_seconds())?;
    Ok(Certificate::issue(&CertificatePayload { key, issued_at, not_after: issued_at + lifetime }, root)?)
}

/// The text of `trust.json`; nothing in it is secret.
///
/// # Errors
/// When `init` did not run.
pub fn trust(dir: &DataDir) -> Result<String> {
    let path = dir.key(TRUST);
    fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}

/// What nodes believe.
///
/// # Errors
/// When `init` did not run, or the file is broken.
pub fn read_trust(dir: &DataDir) -> Result<Trust> {
    serde_json::from_str(&trust(dir)?).with_context(|| format!("reading {}", dir.key(TRUST).display()))
}

/// The key that images are signed with.
///
/// # Errors
/// When it cannot be read.
pub fn image_key(dir: &DataDir) -> Result<image::sign::SecretKey> {
    let path = dir.key(IMAGE.secret);
    read_secret(&path)?.parse().with_context(|| format!("reading {}", path.display()))
}

impl Keys {
    /// Reads what `serve` needs; the root key may be elsewhere.
    ///
    /// # Errors
    /// When a key is missing or broken.
    pub fn load(dir: &DataDir) -> Result<Self> {
        let path = dir.key(NII.public);
        let certificate = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(Self {
            nii: SigningKey::from_bytes(&*read_seed(&dir.key(NII.secret))?),
            certificate: serde_json::from_slice(&certificate)
                .with_context(|| format!("reading {}", path.display()))?,
            token: read_seed(&dir.key(TOKEN_KEY))?,
            escrow: read_seed(&dir.key(ESCROW_KEY))?,
            authority: authority::name(dir)?,
        })
    }

    /// Signs a payload for `purpose`.
    pub fn seal(&self, purpose: Purpose, payload: Vec<u8>) -> Envelope {
        Envelope::seal(purpose, payload, &self.nii, self.certificate.clone())
    }

    /// Whose certificate the TLS side has.
    pub fn authority(&self) -> Digest {
        self.authority
    }

    /// What [`crate::escrow`] seals with.
    pub fn escrow(&self) -> &[u8; 32] {
        &self.escrow
    }

    /// A secret of 128 bits in hexadecimal that only this key and `parts` make. Derived, not stored: a token can be
    /// handed out again while the store has its hash only.
    pub fn derive(&self, context: &str, parts: &[&[u8]]) -> Zeroizing<String> {
        let mut hasher = blake3::Hasher::new_keyed(&self.token);
        for part in [context.as_bytes()].iter().chain(parts) {
            // With its length, so that no two lists of parts run together to the same bytes.
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        Zeroizing::new(hasher.finalize().to_hex()[..32].to_owned())
    }
}

fn make_signing_key() -> Result<SigningKey> {
    Ok(SigningKey::from_bytes(&*random()?))
}

fn seed_text(key: &SigningKey) -> Zeroizing<String> {
    Zeroizing::new(Base64::encode_string(&*Zeroizing::new(key.to_bytes())))
}

fn random() -> Result<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes).context("reading random numbers")?;
    Ok(bytes)
}

fn read_secret(path: &Path) -> Result<Zeroizing<String>> {
    fs::read_to_string(path).map(Zeroizing::new).with_context(|| format!("reading {}", path.display()))
}

fn read_seed(path: &Path) -> Result<Zeroizing<[u8; 32]>> {
    let mut seed = Zeroizing::new([0; 32]);
    Base64::decode(read_secret(path)?.trim(), &mut *seed)
        .ok()
        .filter(|bytes| bytes.len() == 32)
        .with_context(|| format!("{} is not the base64 of 32 bytes", path.display()))?;
    Ok(seed)
}

/// Bytes of JSON that go to a node, signed.
pub fn seal_json(keys: &Keys, purpose: Purpose, payload: &impl serde::Serialize) -> Result<Envelope> {
    Ok(keys.seal(purpose, serde_json::to_vec(payload)?))
}

/// A new secret of 256 bits that somebody carries around: its text says whose it is.
///
/// # Errors
/// When the system has no random numbers.
pub fn new_secret() -> Result<Zeroizing<String>> {
    let bytes = random()?;
    Ok(Zeroizing::new(format!("camphor-{}", *Zeroizing::new(Base64UrlUnpadded::encode_string(&*bytes)))))
}

/// The part of a secret that the store keeps.
pub fn hash(secret: &str) -> blake3::Hash {
    blake3::hash(secret.as_bytes())
}

/// A hash as the store kept it; `None` if it is none.
pub fn stored_hash(bytes: &[u8]) -> Option<blake3::Hash> {
    blake3::Hash::from_slice(bytes).ok()
}

/// An ephemeral key as [`Keys::derive`] takes it.
pub fn key_bytes(key: PublicKey) -> Vec<u8> {
    Bytes::from(key).0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn fresh() -> (tempfile::TempDir, DataDir) {
        let scratch = tempfile::tempdir().unwrap();
        let dir = DataDir::create(&scratch.path().join("data")).unwrap();
        ensure(&dir).unwrap();
        (scratch, dir)
    }

    #[test]
    fn nodes_with_the_trust_file_obey_its_envelopes() {
        let (_scratch, dir) = fresh();
        let trust: Trust = serde_json::from_str(&trust(&dir).unwrap()).unwrap();
        fs::remove_file(dir.key(ROOT_KEY)).unwrap();
        let envelope = Keys::load(&dir).unwrap().seal(Purpose::Time, b"now".to_vec());
        assert_eq!(envelope.open(Purpose::Time, &trust.root_keys, clock::now_s()).unwrap(), b"now");
        assert!(trust.time_floor <= clock::now_s() && trust.time_floor + 2 * 86400 > clock::now_s());
        let key: image::sign::PublicKey = trust.image_keys[0].parse().unwrap();
        let signature = image_key(&dir).unwrap().sign(b"manifest", "x");
        key.verify(b"manifest", &signature).unwrap();
    }

    #[test]
    fn made_once_and_private() {
        let (_scratch, dir) = fresh();
        let before = trust(&dir).unwrap();
        ensure(&dir).unwrap();
        assert_eq!(trust(&dir).unwrap(), before);
        for file in fs::read_dir(dir.key("")).unwrap() {
            let file = file.unwrap();
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
            let text = fs::read_to_string(file.path()).unwrap();
            assert!(
                file.path().extension().unwrap() == "key" || !text.contains("PRIVATE"),
                "{:?}",
                file.path()
            );
        }
    }

    #[test]
    fn derived_secrets_differ_by_every_part() {
        let (_scratch, dir) = fresh();
        let keys = Keys::load(&dir).unwrap();
        let secrets = [
            keys.derive("token", &[b"ab", b"c"]),
            keys.derive("token", &[b"a", b"bc"]),
            keys.derive("session", &[b"ab", b"c"]),
        ];
        assert!(secrets.iter().all(|secret| secret.len() == 32));
        assert!(secrets[0] != secrets[1] && secrets[0] != secrets[2] && secrets[1] != secrets[2]);
        assert_eq!(secrets[0], Keys::load(&dir).unwrap().derive("token", &[b"ab", b"c"]));
    }
}
