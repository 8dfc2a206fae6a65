//! What an initrd knows about its head node: public keys only, baked in as `/etc/camphor/trust.json`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use base64ct::{Base64, Encoding as _};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::envelope::{CertificatePayload, Envelope, EnvelopeError, PublicKey, Purpose};

/// Path of the file inside the initrd.
pub const PATH: &str = "/etc/camphor/trust.json";

/// The keys that a node obeys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// Keys that certify the head nodes' online keys; they can be kept offline.
    pub root_keys: Vec<PublicKey>,
    /// Image signing keys, in minisign's public key form (the base64 line).
    pub image_keys: Vec<String>,
    /// The cluster CA's certificates, PEM.
    pub ca_pem: String,
    /// No time before this is believed: seconds since 1970, the CA's notBefore (so that builds stay reproducible).
    pub time_floor: u64,
    /// No head node's key that was certified before this is believed, though its certificate lasts: seconds since 1970. How
    /// a key that was replaced is shut out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub certified_since: u64,
    /// Hosts whose unsigned Kusu NII is obeyed, each a [`KusuHost`]; empty: none. Who builds the initrd says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_kusu: Vec<String>,
}

/// Files of before the field are of heads that never replaced a key.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(since: &u64) -> bool {
    *since == 0
}

impl Trust {
    /// [`Envelope::open`], by these keys.
    ///
    /// # Errors
    /// [`EnvelopeError`]: the payload must not be obeyed.
    pub fn open<'a>(
        &self,
        envelope: &'a Envelope,
        purpose: Purpose,
        now: u64,
    ) -> Result<&'a [u8], EnvelopeError> {
        let payload = envelope.open(purpose, &self.root_keys, now)?;
        let certificate: CertificatePayload = serde_json::from_slice(&envelope.certificate.payload.0)
            .map_err(|_| EnvelopeError::BadCertificate)?;
        let (issued_at, since) = (certificate.issued_at, self.certified_since);
        if issued_at < since {
            return Err(EnvelopeError::Retired { key: certificate.key, issued_at, since });
        }
        Ok(payload)
    }

    /// The names of the authorities in `ca_pem`: digests of their certificates (DER).
    pub fn authorities(&self) -> Vec<Digest> {
        let blocks = self.ca_pem.split("-----BEGIN CERTIFICATE-----").skip(1);
        let der = blocks.filter_map(|block| {
            let lines = block.split("-----END CERTIFICATE-----").next()?;
            Base64::decode_vec(&lines.split_whitespace().collect::<String>()).ok()
        });
        der.map(|der| Digest::of(&der)).collect()
    }

    /// Whether the unsigned NII of that head node is obeyed. An entry without a port allows the host at any; one that is no
    /// [`KusuHost`] allows nothing.
    pub fn allows_kusu(&self, asked: &KusuHost) -> bool {
        let allows = |entry: KusuHost| {
            entry.name == asked.name && entry.port.is_none_or(|port| port == asked.port.unwrap_or(HTTP))
        };
        self.allow_kusu.iter().filter_map(|entry| entry.parse().ok()).any(allows)
    }
}

/// The port of `http://` URLs that name none.
const HTTP: u16 = 80;

/// An old Kusu head node, as people write it: `10.1.0.1`, `kusu.example` or `[fd00::1]` (alone also `fd00::1`), and `:PORT`
/// behind it or not. Prints as URLs have it (RFC 3986, section 3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KusuHost {
    name: HostName,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostName {
    Address(IpAddr),
    /// In lower case.
    Name(String),
}

impl KusuHost {
    /// Its address, if that is what it was named by.
    pub fn address(&self) -> Option<IpAddr> {
        match self.name {
            HostName::Address(address) => Some(address),
            HostName::Name(_) => None,
        }
    }
}

/// It is no host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no host name or address, with `:PORT` or without, as in kusu.example, 10.1.0.1:8000 or [fd00::1]"
)]
pub struct NoKusuHost(String);

impl FromStr for KusuHost {
    type Err = NoKusuHost;

    fn from_str(text: &str) -> Result<Self, NoKusuHost> {
        parse(text).ok_or_else(|| NoKusuHost(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<KusuHost> {
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Some(KusuHost { name: HostName::Address(address.into()), port: None });
    }
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']')?;
            (HostName::Address(address.parse::<Ipv6Addr>().ok()?.into()), rest)
        }
        None => {
            let end = text.find(':').unwrap_or(text.len());
            (host_name(&text[..end])?, &text[end..])
        }
    };
    let port = match port {
        "" => None,
        port => Some(port_number(port.strip_prefix(':')?)?),
    };
    Some(KusuHost { name, port })
}

/// Digits only: `parse` by itself takes a `+` before them.
fn port_number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn host_name(text: &str) -> Option<HostName> {
    let right = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    let name = || HostName::Name(text.to_ascii_lowercase());
    match text.parse() {
        Ok(address) => Some(HostName::Address(IpAddr::V4(address))),
        Err(_) => (!text.is_empty() && text.chars().all(right)).then(name),
    }
}

impl fmt::Display for KusuHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            HostName::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            HostName::Address(IpAddr::V4(address)) => write!(f, "{address}")?,
            HostName::Name(name) => write!(f, "{name}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(entries: &[&str]) -> Trust {
        Trust {
            root_keys: Vec::new(),
            image_keys: Vec::new(),
            ca_pem: String::new(),
            time_floor: 0,
            certified_since: 0,
            allow_kusu: entries.iter().map(|entry| (*entry).to_owned()).collect(),
        }
    }

    #[test]
    fn hosts_print_as_urls_have_them() {
        for (text, printed) in [
            ("10.1.0.1", "10.1.0.1"),
            ("10.1.0.1:8000", "10.1.0.1:8000"),
            ("Kusu.Example:80", "kusu.example:80"),
            ("[fd00::1]", "[fd00::1]"),
            ("fd00:0::1", "[fd00::1]"),
            ("[FD00::1]:8000", "[fd00::1]:8000"),
            ("::1", "[::1]"),
        ] {
            assert_eq!(text.parse::<KusuHost>().unwrap().to_string(), printed);
        }
        for text in [
            "",
            ":80",
            "h:",
            "h:x",
            "h:+1",
            "h:65536",
            "h:80:80",
            "[fd00::1",
            "fd00::1]",
            "[fd00::1]80",
            "[h]",
            "[10.1.0.1]",
            "[]",
            "h/x",
            "http://h",
            "a b",
            "a@b",
            "h?x",
            "fe80::1%eth0",
            "ä",
        ] {
            assert!(text.parse::<KusuHost>().is_err(), "{text}");
        }
    }

    #[test]
    fn who_is_allowed() {
        let allows = |entry: &str, asked: &str| trust(&[entry]).allows_kusu(&asked.parse().unwrap());
        for (entry, asked) in [
            ("h", "h"),
            ("h", "h:8000"),
            ("H", "h"),
            ("h:80", "h"),
            ("h:8000", "h:8000"),
            ("[fd00::1]", "fd00:0::1"),
            ("fd00::1", "[fd00::1]:8000"),
            ("[fd00::1]:80", "[fd00::1]"),
        ] {
            assert!(allows(entry, asked), "{entry} {asked}");
        }
        for (entry, asked) in [
            ("h", "h2"),
            ("h:8000", "h"),
            ("h:8000", "h:80"),
            ("[fd00::1]:8000", "[fd00::1]"),
            ("fd00::1", "fd00::2"),
            ("[fd00", "fd00::1"),
            ("fd00", "[fd00::1]"),
            ("", "h"),
        ] {
            assert!(!allows(entry, asked), "{entry} {asked}");
        }
        assert!(!trust(&[]).allows_kusu(&"h".parse().unwrap()));
    }
}
