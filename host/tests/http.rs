//! The HTTP client against a server of the test's own: whom it believes, at what time, and what it makes of answers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use host::net::clock::Clock;
use host::net::http::{Exchange as _, Http};
use host::{FetchError, Request};
use nii::secret::Secret;
use nii::session::ErrorCode;
use nii::trust::Trust;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// In 2027. The certificates of these tests are good from then on, so that the machine's own clock, whatever it says
/// in the years before, would refuse them.
const NOW: u64 = 1_800_000_000;
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";

struct Authority {
    pem: String,
    server: Arc<ServerConfig>,
}

/// A cluster CA, and a server of it at 127.0.0.1.
fn authority() -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    (ca.not_before, ca.not_after) = (date_time_ymd(2027, 1, 1), date_time_ymd(2099, 1, 1));
    let pem = ca.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(ca, key);
    let key = KeyPair::generate().unwrap();
    let mut server = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    (server.not_before, server.not_after) = (date_time_ymd(2027, 1, 1), date_time_ymd(2099, 1, 1));
    let certificate = server.signed_by(&key, &issuer).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    Authority { pem, server: Arc::new(server) }
}

/// Answers one connection; the base URL. With a configuration it speaks TLS.
fn serve(answer: &'static str, tls: Option<Arc<ServerConfig>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let scheme = if tls.is_some() { "https" } else { "http" };
    std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        match tls {
            Some(config) => {
                converse(StreamOwned::new(ServerConnection::new(config).unwrap(), socket), answer)
            }
            None => converse(socket, answer),
        }
    });
    format!("{scheme}://{address}")
}

/// A client that refuses the certificate ends this with an error, which is its own affair.
fn converse(mut stream: impl Read + Write, answer: &str) {
    let mut head = BufReader::new(&mut stream);
    let mut line = String::new();
    while head.read_line(&mut line).is_ok_and(|length| length > 2) {
        line.clear();
    }
    let _ = stream.write_all(answer.as_bytes());
    let _ = stream.flush();
}

fn get(url: String, ca_pem: &str, now: u64) -> Result<Vec<u8>, FetchError> {
    let trust = Trust {
        root_keys: Vec::new(),
        image_keys: Vec::new(),
        ca_pem: ca_pem.to_owned(),
        time_floor: 0,
        certified_since: 0,
        allow_kusu: Vec::new(),
    };
    let clock = Arc::new(Clock::new(0));
    clock.tell(now);
    Http::new(&trust, clock).unwrap().exchange(&Request { url, bearer: None, body: None })
}

fn chain(error: FetchError) -> String {
    format!("{:#}", anyhow::Error::new(error))
}

#[test]
fn the_signed_time_judges_certificates_and_not_the_machines() {
    let authority = authority();
    let url = || serve(OK, Some(Arc::clone(&authority.server)));
    assert_eq!(get(url(), &authority.pem, NOW).unwrap(), b"hello");
    let early = chain(get(url(), &authority.pem, 1_000_000_000).unwrap_err());
    assert!(early.contains("not valid yet") || early.contains("NotValidYet"), "{early}");
}

#[test]
fn another_authority_is_not_believed() {
    let url = serve(OK, Some(authority().server));
    let error = get(url, &authority().pem, NOW).unwrap_err();
    assert!(matches!(error, FetchError::Transport { .. }));
    let text = chain(error);
    assert!(text.contains("invalid peer certificate"), "{text}");
}

#[test]
fn a_refusal_keeps_its_code_its_words_and_its_patience() {
    const BUSY: &str = "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 36\r\nConnection: close\r\n\r\n{\"code\":\"busy\",\"message\":\"too many\"}\n";
    let error = get(serve(BUSY, None), &authority().pem, NOW).unwrap_err();
    let FetchError::Refused { status, answer, retry_after, .. } = error else { panic!("{error:?}") };
    assert_eq!((status, answer.code, retry_after), (503, ErrorCode::Busy, Some(7)));
    assert_eq!(answer.message, "too many");
}

#[test]
fn a_strangers_error_page_is_a_refusal_too_and_nobody_is_redirected() {
    const PAGE: &str = "HTTP/1.1 404 No\r\nContent-Length: 10\r\nConnection: close\r\n\r\n<h1>no</h1";
    let error = get(serve(PAGE, None), &authority().pem, NOW).unwrap_err();
    assert!(chain(error).contains("answered 404: <h1>no</h1"));
    const MOVED: &str = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let error = get(serve(MOVED, None), &authority().pem, NOW).unwrap_err();
    assert!(matches!(error, FetchError::Refused { status: 302, .. }), "{error:?}");
}

#[test]
fn a_session_key_never_leaves_in_the_clear() {
    let request =
        Request { url: "http://127.0.0.1:1/".into(), bearer: Some(Secret::new("planted")), body: None };
    let text = chain(Http::plain().unwrap().exchange(&request).unwrap_err());
    assert!(text.contains("over https only") && !text.contains("planted"), "{text}");
}
