//! Who wants to keep others from being served: slow and many connections, and paths that lead elsewhere.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use crate::head::{DEADLINE, Head, MAC, Machine, ended};
use crate::machine::tls;

fn armed() -> Head {
    let mut head = Head::new();
    head.ok(&["boot", "install", "n1"]);
    head.serve();
    head
}

/// A connection from an address that is not the node's.
fn from(address: [u8; 4], to: &str) -> TcpStream {
    let to: SocketAddr = to.rsplit('/').next().unwrap().parse().unwrap();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

/// Whether the other side ended it. Connections that come at once are let in in any order: who is one too many may be another
/// one of them, and this one is ended for its silence.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(2 * DEADLINE)).unwrap();
    match ended(stream) {
        Ok(count) => count == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

#[test]
fn trust_slow_connections_stop_no_node() {
    let head = armed();
    let mut slow = Vec::new();
    for sender in 2..6 {
        for _ in 0..150 {
            for side in [&head.http, &head.https] {
                let mut stream = from([127, 0, 0, sender], side);
                // The beginning of a request, or of nothing that is TLS's: either waits for more.
                stream.write_all(if side == &head.http { b"GET /boot/sc" } else { b"\x16\x03\x01" }).unwrap();
                slow.push(stream);
            }
        }
    }
    let started = Instant::now();
    let mut machine = Machine::new(&head);
    assert!(machine.script(&head).contains("attempt 1 of 3"));
    machine.begin(&head);
    machine.nii("n").unwrap();
    assert!(started.elapsed().as_secs() < 10, "{:?} beside {} connections", started.elapsed(), slow.len());
}

#[test]
fn trust_one_sender_has_so_many_connections() {
    let head = armed();
    let mut open: Vec<TcpStream> = (0..256).map(|_| from([127, 0, 0, 2], &head.http)).collect();
    assert!(is_closed(&mut from([127, 0, 0, 2], &head.http)), "one too many");
    assert!(head.script(MAC, "pcbios").contains("attempt 1 of 3"), "others are served");
    drop(open.pop());
    crate::head::wait_for("a place", || {
        let mut again = from([127, 0, 0, 2], &head.http);
        let asked = again.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let mut answer = String::new();
        asked.is_ok() && again.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
    });
}

#[test]
fn trust_tokens_and_sessions_are_not_asked_for_for_ever() {
    let head = armed();
    let mut stream = from([127, 0, 0, 2], &head.http);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
    let asks = b"GET /boot/token/x HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    let mut answers = Vec::new();
    for _ in 0..31 {
        stream.write_all(&asks).unwrap();
        answers.extend((0..100).map(|_| answer(&mut reader)));
    }
    let refused = answers.iter().position(|answer| answer.starts_with("HTTP/1.1 429"));
    assert_eq!(refused, Some(3000), "{}", answers[3000]);
    assert!(answers[3000].to_lowercase().contains("retry-after: "), "{}", answers[3000]);
    let mut machine = Machine::new(&head);
    machine.begin(&head);
    machine.nii("n").unwrap();
}

/// A boot script and the time cost a write or a signature each. Firmware that gets no script boots its disk, so there is one.
#[test]
fn trust_scripts_and_times_are_not_asked_for_for_ever() {
    let head = armed();
    let mut stream = from([127, 0, 0, 2], &head.http);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
    let mut ask = |path: &str, times: usize| {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").repeat(times).as_bytes()).unwrap();
        (0..times).map(|_| answer(&mut reader)).collect::<Vec<_>>()
    };
    for _ in 0..60 {
        assert!(ask("/api/v1/time?nonce=n", 100).iter().all(|answer| answer.starts_with("HTTP/1.1 400")));
    }
    let time = ask("/api/v1/time?nonce=n", 1);
    assert!(time[0].starts_with("HTTP/1.1 429"), "{time:?}");
    let script = ask(&format!("/boot/script?mac={MAC}&platform=efi"), 1);
    assert!(script[0].starts_with("HTTP/1.1 200"), "{script:?}");
    assert!(script[0].contains("too many calls came from this address; asking again"), "{script:?}");
    assert!(head.security().is_empty(), "it was not even looked at");
    Machine::new(&head).begin(&head);
}

/// A connection has one request at a time: what it may cost is counted by connections.
#[test]
fn trust_nobody_speaks_http_2() {
    /// The preface of RFC 9113, 3.4, and no settings.
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let head = armed();
    let said = |mut stream: Box<dyn Stream>| {
        stream.write_all(PREFACE).unwrap();
        let mut answer = [0; 12];
        let count = stream.read(&mut answer).unwrap_or(0);
        String::from_utf8_lossy(&answer[..count]).into_owned()
    };
    let tcp = |side: &str| {
        let stream = from([127, 0, 0, 2], side);
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    };
    let plain = said(Box::new(tcp(&head.http)));
    let config = tls(&head.trust().ca_pem);
    let client = rustls::ClientConnection::new(config.into(), "127.0.0.1".try_into().unwrap()).unwrap();
    let secure = said(Box::new(rustls::StreamOwned::new(client, tcp(&head.https))));
    for answer in [plain, secure] {
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer:?}");
    }
}

trait Stream: std::io::Read + std::io::Write {}
impl<T: std::io::Read + std::io::Write> Stream for T {}

/// The head of one answer; its body is skipped.
fn answer(reader: &mut impl std::io::BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
    }
    let lower = head.to_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = Vec::new();
    reader.take(length.parse().unwrap()).read_to_end(&mut body).unwrap();
    head + &String::from_utf8_lossy(&body)
}

/// What a path may look like that wants to leave its folder.
const LEADS: [&str; 8] = [
    "../../camphor.db",
    "..%2f..%2fcamphor.db",
    "%2e%2e/%2e%2e/camphor.db",
    "..%5c..%5ccamphor.db",
    "....//....//camphor.db",
    "%2fetc%2fpasswd",
    "/etc/passwd",
    "x%00/../../../camphor.db",
];

#[test]
fn trust_no_path_leads_out() {
    let head = armed();
    let mut machine = Machine::new(&head);
    machine.begin(&head);
    let image = head.json(&["image", "list"])[0]["digest"].as_str().unwrap().to_owned();
    let initrd = head.json(&["netboot", "list"])[0]["initrd"].as_str().unwrap().to_owned();
    let plain = [
        "/".to_owned(),
        "/boot/".into(),
        "/boot/loader/".into(),
        "/boot/token/".into(),
        "/boot/token/of/".into(),
        "/boot/file/".into(),
        format!("/boot/file/{initrd}/"),
        "/images/".into(),
        format!("/images/{image}/"),
        "/os/".into(),
        "/os/tiny/".into(),
        "/os/tiny~1/".into(),
        "/os/..~1/".into(),
        "/os/.incoming~x/".into(),
    ];
    for (base, lead) in plain.iter().flat_map(|base| LEADS.map(|lead| (base, lead))) {
        // Written as it is: a client would make it normal.
        let mut stream = from([127, 0, 0, 1], &head.http);
        write!(stream, "GET {base}{lead} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 40"), "{base}{lead}: {answer}");
        assert!(!answer.contains("SQLite") && !answer.contains("root:"), "{base}{lead}");
    }
    for lead in LEADS.iter().filter(|lead| lead.contains('%')) {
        assert_eq!(machine.get(&format!("/api/v1/file/{lead}")).0 / 100, 4, "{lead}");
        assert_eq!(machine.send_log(&format!("?name={lead}"), "x"), 400, "{lead}");
    }
    assert!(!head.path("camphor.db").exists());
}
