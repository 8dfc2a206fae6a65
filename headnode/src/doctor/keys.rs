//! Keys and certificates: that only we may read them, and that nodes will believe them.

use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use nii::envelope::Purpose;
use nii::trust::Trust;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, ClientConnection};

use super::{Examined, Finding, Stored};
use crate::clock;
use crate::initrd_trust::{self, Lack};
use crate::keys::authority::{self, Validity};
use crate::keys::{self, Keys};

/// What ends earlier is worth a warning.
const SOON_S: u64 = 30 * 24 * 3600;
/// For a server on this machine.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether private keys are there, and nobody else's to read.
pub fn modes(examined: &Examined) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let folder = examined.dir.key("");
    let data = examined.dir.run("..");
    // That of `serve`, which need not be root.
    let own = fs::metadata(&data).with_context(|| format!("reading {}", data.display()))?.uid();
    for path in [data, folder.clone()] {
        let path = path.canonicalize().with_context(|| format!("resolving {}", path.display()))?;
        let metadata = fs::metadata(&path).with_context(|| format!("reading {}", path.display()))?;
        // The outer folder shuts all; the one of the keys may be as it was made.
        if path != folder && metadata.permissions().mode() & 0o077 != 0 {
            let (about, mode) = (path.display().to_string(), metadata.permissions().mode() & 0o777);
            findings.push(Finding::problem(
                &about,
                format!("others may look into it (mode {mode:04o})"),
                format!("chmod 700 {about}"),
            ));
        }
    }
    for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        let metadata = fs::metadata(&path).with_context(|| format!("reading {}", path.display()))?;
        let (about, mode) = (path.display().to_string(), metadata.permissions().mode() & 0o777);
        let private = path.extension().is_some_and(|extension| extension == "key");
        if private && mode & 0o077 != 0 {
            let what = format!("others may read it (mode {mode:04o})");
            findings.push(Finding::problem(&about, what, format!("chmod 600 {about}; who has read it?")));
        } else if private && metadata.uid() != own {
            let what = format!("it belongs to the user {}", metadata.uid());
            findings.push(Finding::problem(&about, what, format!("chown {own} {about}")));
        }
    }
    if let Err(error) = Keys::load(&examined.dir).and(keys::image_key(&examined.dir)) {
        let todo = "bring it back from a backup: new keys are believed by new initrds only";
        findings.push(Finding::problem(folder.display().to_string(), format!("{error:#}"), todo));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(folder.display().to_string(), "all there, and nobody else's to read"));
    }
    Ok(findings)
}

/// Whether nodes believe what is signed, and the TLS side at every network's address.
pub fn certificates(examined: &Examined) -> Result<Vec<Finding>> {
    let trust = keys::read_trust(&examined.dir)?;
    let authorities =
        authority::certificates(trust.ca_pem.as_bytes()).context("reading trust.json's ca_pem")?;
    let mut findings: Vec<_> = authorities.iter().map(authority).collect();
    findings.push(online_key(examined, &trust)?);
    let mut addresses: Vec<_> = examined.networks.iter().map(|network| network.address).collect();
    addresses.sort();
    addresses.dedup();
    let config = authority::client(&trust)?;
    for address in addresses {
        findings.push(server(SocketAddr::from((address, examined.https)), address, &config));
    }
    Ok(findings)
}

fn authority(validity: &Validity) -> Finding {
    let about = "the cluster's authority (trust.json)";
    if clock::now_s() < validity.begin {
        let todo = "set the clock";
        return Finding::problem(about, format!("it is valid from {} on only", day(validity.begin)), todo);
    }
    lasts(about, validity.end)
}

/// Whether the initrds that nodes get believe the keys of today, and those of tomorrow.
pub fn initrds(examined: &Examined) -> Result<Vec<Finding>> {
    let Stored { catalog, .. } = examined.stored.as_ref().map_err(|_| anyhow!("the store is not read"))?;
    let mut findings = Vec::new();
    for (name, netboot) in &catalog.netboots {
        let about = format!("netboot {name}");
        findings.extend(match initrd_trust::of(&examined.dir, netboot) {
            Ok(Some(trust)) => Some(believes(about, &initrd_trust::lacks(&examined.dir, &trust)?)),
            // A stock initrd or a rescue system: nobody there asks us.
            Ok(None) => None,
            Err(error) => Some(Finding::untold(about, &format!("{error:#}"))),
        });
    }
    Ok(findings)
}

fn believes(about: String, lacks: &[Lack]) -> Finding {
    let todo = "build its initrd anew with what `headnode trust` prints now, and `headnode netboot add` it";
    let names =
        |later: bool| lacks.iter().filter(|lack| lack.later == later).map(|lack| lack.key.as_str()).collect();
    let (now, later): (Vec<_>, Vec<_>) = (names(false), names(true));
    if !now.is_empty() {
        let what = format!("its nodes refuse us: its initrd does not believe {}", now.join(", "));
        Finding::problem(about, what, todo)
    } else if !later.is_empty() {
        let what = format!(
            "its initrd does not believe {}: its nodes will refuse us after `headnode keys rotate … --retire`",
            later.join(", ")
        );
        Finding::warning(about, what, todo)
    } else {
        Finding::ok(about, "its initrd believes our keys")
    }
}

/// A payload that is signed and opened again, as a node does it.
fn online_key(examined: &Examined, trust: &Trust) -> Result<Finding> {
    let about = "the key of NIIs (nii.cert)";
    let envelope = Keys::load(&examined.dir)?.seal(Purpose::Time, Vec::new());
    let open = |now| trust.open(&envelope, Purpose::Time, now);
    let now = clock::now_s();
    let todo = "`headnode keys rotate nii` (with --root-key, if the root key is elsewhere), or bring keys/ back from a backup";
    Ok(match (open(now), open(now + SOON_S)) {
        (Err(error), _) => Finding::problem(about, format!("nodes do not believe it: {error}"), todo),
        (Ok(_), Err(_)) => Finding::warning(about, "it ends within 30 days", todo),
        (Ok(_), Ok(_)) => Finding::ok(about, "nodes believe it"),
    })
}

fn lasts(about: &str, end: u64) -> Finding {
    let now = clock::now_s();
    let todo = "`headnode keys rotate ca`, and then build initrds anew (`headnode trust`)";
    match end {
        _ if end <= now => Finding::problem(about, format!("it expired on {}", day(end)), todo),
        _ if end <= now + SOON_S => Finding::warning(about, format!("it ends on {}", day(end)), todo),
        _ => Finding::ok(about, format!("valid until {}", day(end))),
    }
}

fn day(seconds: u64) -> String {
    let text = clock::text(i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX));
    text.split('T').next().unwrap_or_default().to_owned()
}

fn server(socket: SocketAddr, address: Ipv4Addr, config: &Arc<ClientConfig>) -> Finding {
    let about = socket.to_string();
    let todo = "restart `headnode serve`: it makes its certificate at its start, for the networks of then";
    match shake(socket, address, config) {
        Ok(()) => Finding::ok(about, "its certificate is for this address, by the cluster's authority"),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Finding::ok(
            about,
            "nobody serves TLS now; the certificate is made at the start of `headnode serve`",
        ),
        Err(error) => match cause(&error) {
            Some(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Finding::problem(about, "its certificate is not for this address", todo),
            Some(rustls::Error::InvalidCertificate(error)) => {
                Finding::problem(about, format!("nodes refuse its certificate: {error:?}"), todo)
            }
            // Who answers there, and whether anybody can, is the ports' and the interfaces' business.
            _ => Finding::untold(about, &error.to_string()),
        },
    }
}

fn shake(socket: SocketAddr, address: Ipv4Addr, config: &Arc<ClientConfig>) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&socket, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let name = ServerName::IpAddress(address.into());
    let mut connection = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
    let mut tls = rustls::Stream::new(&mut connection, &mut stream);
    // An empty write ends the handshake; nothing is asked.
    tls.flush()?;
    connection.send_close_notify();
    connection.complete_io(&mut stream).map(drop)
}

fn cause(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}
