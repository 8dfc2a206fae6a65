//! The cluster's certificate authority, and the server's own certificate by it, which is in memory only.

use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use nii::digest::Digest;
use nii::trust::Trust;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use super::pair::AUTHORITY;
use super::{LIFETIME, SLACK, read_secret};
use crate::data_dir::DataDir;

/// How long a server's certificate lasts. `serve` makes a new one long before ([`super::live`]).
pub const SERVER_LIFETIME: Duration = Duration::days(90);

/// A server's certificate for `addresses`, made anew at each call.
///
/// # Errors
/// When the authority's key cannot be read.
pub fn tls(dir: &DataDir, addresses: &[Ipv4Addr]) -> Result<Arc<rustls::ServerConfig>> {
    let path = dir.key(AUTHORITY.secret);
    let ca_key =
        KeyPair::from_pem(&read_secret(&path)?).with_context(|| format!("reading {}", path.display()))?;
    let start = OffsetDateTime::now_utc() - SLACK;
    let issuer = Issuer::new(params(start), ca_key);
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.not_before = start;
    params.not_after = start + SLACK + SERVER_LIFETIME;
    params.distinguished_name.push(DnType::CommonName, "camphor head node");
    params.subject_alt_names = addresses.iter().map(|ip| SanType::IpAddress((*ip).into())).collect();
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer).context("making the server's certificate")?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A client that believes what a node does.
///
/// # Errors
/// When there is no certificate in `trust`.
pub fn client(trust: &Trust) -> Result<Arc<rustls::ClientConfig>> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(trust.ca_pem.as_bytes()) {
        roots.add(certificate.context("reading trust.json's ca_pem")?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// The same each time, but for its times: the issuer's name in a server certificate must be the authority's, and so an
/// authority and the one before it have one name, and differ by their keys.
fn params(start: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = start;
    params.not_after = start + LIFETIME;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "camphor cluster authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// A new authority that begins at `start`: its key and its certificate, both PEM.
///
/// # Errors
/// When the system has no random numbers.
pub fn make(start: OffsetDateTime) -> Result<(Zeroizing<String>, String)> {
    let key = KeyPair::generate().context("making the authority's key")?;
    let pem = params(start).self_signed(&key).context("making the authority's certificate")?.pem();
    Ok((Zeroizing::new(key.serialize_pem()), pem))
}

/// The name of the authority that is used, as [`nii::trust::Trust::authorities`] has it.
///
/// # Errors
/// When its certificate cannot be read.
pub fn name(dir: &DataDir) -> Result<Digest> {
    let path = dir.key(AUTHORITY.public);
    let pem = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok(certificates(&pem).with_context(|| format!("reading {}", path.display()))?[0].name)
}

/// A certificate of an authority.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    /// The authority's name.
    pub name: Digest,
    /// Seconds since 1970.
    pub begin: u64,
    /// Seconds since 1970.
    pub end: u64,
}

/// The certificates of a PEM text, at least one.
///
/// # Errors
/// When there is none, or one cannot be read.
pub fn certificates(pem: &[u8]) -> Result<Vec<Validity>> {
    let mut found = Vec::new();
    for der in CertificateDer::pem_slice_iter(pem) {
        let der = der.context("reading a certificate")?;
        let (_, certificate) = X509Certificate::from_der(&der).context("reading a certificate")?;
        let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or_default();
        let validity = certificate.validity();
        let (begin, end) = (seconds(validity.not_before), seconds(validity.not_after));
        found.push(Validity { name: Digest::of(&der), begin, end });
    }
    anyhow::ensure!(!found.is_empty(), "there is no certificate in it");
    Ok(found)
}
