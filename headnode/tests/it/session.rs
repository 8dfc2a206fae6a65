//! Token, session, NII: who gets what, once, and who does not.

use nii::envelope::{NiiPayload, Purpose};
use nii::secret::Secret;
use nii::session::{ErrorCode, SessionKey, TimePayload};
use nii::{Strictness, read};

use crate::head::{HASH, Head, MAC, Machine, answer_of, plain, token_url};
use crate::machine::{bearer, tls};

fn armed() -> Head {
    let mut head = Head::new();
    head.ok(&["boot", "install", "n1"]);
    head.serve();
    head
}

#[test]
fn a_whole_install() {
    let head = armed();
    let mut machine = Machine::new(&head);
    machine.begin(&head);
    assert_eq!(head.state("n1"), "installing");
    let session = machine.session.clone().unwrap();
    let trust = head.trust();
    let envelope = machine.nii("fresh-1").unwrap();
    let payload = envelope.open(Purpose::Nii, &trust.root_keys, trust.time_floor).unwrap();
    let payload: NiiPayload = serde_json::from_slice(payload).unwrap();
    assert_eq!((payload.node.as_str(), payload.mac.as_str(), payload.nonce.as_str()), ("n1", MAC, "fresh-1"));
    assert_eq!((payload.arming, payload.attempt), (session.arming, session.attempt));
    let (nii, _) = read(payload.nii.get().as_bytes(), Strictness::Strict).unwrap();
    assert_eq!(nii.secrets.unwrap().root_password_hash.unwrap().expose(), HASH);
    assert_eq!(machine.send(vec![machine.event(1, machine.installed())]), Ok(1));
    assert_eq!(head.state("n1"), "installed");
    assert_eq!(machine.nii("fresh-2").unwrap_err(), ErrorCode::NotArmed, "secrets are for the install only");
    assert!(head.script(MAC, "pcbios").contains("sanboot"));
    assert!(head.security().is_empty());
}

#[test]
fn nothing_secret_is_shown_or_logged() {
    let head = armed();
    let mut machine = Machine::new(&head);
    let token = machine.fetch_token(&head);
    machine.session = Some(machine.ask(&machine.request(&token)).unwrap());
    machine.nii("n").unwrap();
    let session = bearer(machine.session.as_ref().unwrap()).expose().to_owned();
    let mut shown = head.log();
    for args in [
        &["nii", "n1"][..],
        &["status"],
        &["events", "--output", "json"],
        &["group", "show", "disked"],
        &["boot", "show", "n1"],
        &["node", "show", "n1"],
    ] {
        shown += &head.ok(args);
    }
    for secret in [token.as_str(), &session, HASH] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let store = std::fs::read(head.data().join("camphor.db-wal")).unwrap();
    let found = |secret: &str| store.windows(secret.len()).any(|window| window == secret.as_bytes());
    assert!(!found(&token) && !found(&session), "the store has hashes only");
    assert!(head.ok(&["group", "show", "disked", "--secrets"]).contains(HASH));
}

#[test]
fn a_lost_answer_may_be_asked_for_again_and_a_replay_may_not() {
    let head = armed();
    let machine = Machine::new(&head);
    let token = machine.fetch_token(&head);
    let first = machine.ask(&machine.request(&token)).unwrap();
    let again = machine.ask(&machine.request(&token)).unwrap();
    assert_eq!(first, again);
    let thief = Machine::at(&head, "127.0.0.1", 2);
    assert_eq!(thief.ask(&thief.request(&token)), Err(ErrorCode::Replay));
    assert_eq!(head.security(), ["replay"]);
    assert_eq!(machine.ask(&machine.request(&token)), Ok(first), "the thief spoils nothing");
}

#[test]
fn a_token_is_for_its_machine() {
    let head = armed();
    head.ok(&["node", "add", "n2", "--group", "disked", "--mac", "52:54:00:00:00:02"]);
    head.ok(&["boot", "install", "n2"]);
    head.leases(&[
        ("127.0.0.1", MAC),
        ("127.0.0.2", "52:54:00:00:00:02"),
        ("127.0.0.3", "52:54:00:00:00:03"),
    ]);
    let url = token_url(&head.script(MAC, "efi"));
    for other in ["127.0.0.2", "127.0.0.3", "127.0.0.4"] {
        assert_eq!(Machine::at(&head, other, 2).token_at(&url), Err(ErrorCode::Unauthorized), "{other}");
    }
    let token = Machine::new(&head).token_at(&url).unwrap();
    let stolen = Machine::at(&head, "127.0.0.2", 2);
    assert_eq!(stolen.ask(&stolen.request(&token)).unwrap_err(), ErrorCode::Unauthorized, "not from there");
    let mut posing = Machine::at(&head, "127.0.0.2", 2);
    posing.mac = "52:54:00:00:00:02".into();
    token_url(&posing.script(&head));
    assert_eq!(posing.ask(&posing.request(&token)).unwrap_err(), ErrorCode::Unauthorized, "not for that MAC");
    let foreign = ["foreign-token-request"; 3];
    assert_eq!(head.security(), [&foreign[..], &["foreign-session-request", "refused-token"]].concat());
    let machine = Machine::new(&head);
    machine.ask(&machine.request(&token)).unwrap();
    assert_eq!(machine.token_at(&url), Err(ErrorCode::NotFound), "an attempt that has begun gives no token");
}

#[test]
fn a_script_to_install_is_for_its_machine() {
    let head = armed();
    let stranger = Machine::at(&head, "127.0.0.9", 2);
    let refused = |machine: &Machine| {
        let script = machine.script(&head);
        let why = "127.0.0.9 is not the address of n1, by lease or ARP";
        assert!(script.contains(why) && script.contains("asking again in 10 s"), "{script}");
        assert!(!script.contains("kernel"), "{script}");
    };
    refused(&stranger);
    assert_eq!(head.status("n1")["tries"], 0, "armed: nothing was counted");
    let mut machine = Machine::new(&head);
    machine.begin(&head);
    for _ in 0..4 {
        refused(&stranger);
    }
    machine.nii("n").expect("installing: the session goes on");
    head.sql("UPDATE nodes SET state = 'diskless-running'");
    refused(&stranger);
    head.ok(&["node", "set", "n1", "--group", "retrying"]);
    head.sql("UPDATE nodes SET state = 'failed'");
    refused(&stranger);
    assert_eq!((head.state("n1"), head.status("n1")["tries"].as_u64()), ("failed".into(), Some(1)));
    assert_eq!(head.security(), ["foreign-script-request"; 7]);
    assert!(machine.script(&head).contains("attempt 2 of 3"), "its own machine gets on");
}

#[test]
fn without_mac_proof_the_word_counts() {
    let mut head = Head::new();
    head.sql("UPDATE networks SET mac_proof = 'none'");
    head.ok(&["boot", "install", "n1"]);
    head.serve();
    let machine = Machine::at(&head, "127.0.0.9", 1);
    let token = machine.fetch_token(&head);
    machine.ask(&machine.request(&token)).unwrap();
}

#[test]
fn wrong_requests_get_nothing() {
    let head = armed();
    let machine = Machine::new(&head);
    let token = machine.fetch_token(&head);
    let right = machine.request(&token);
    let mut proof = right.clone();
    proof.proof.0[5] ^= 1;
    assert_eq!(machine.ask(&proof).unwrap_err(), ErrorCode::Unauthorized);
    let mut boot = right.clone();
    boot.boot_id = uuid::Uuid::nil();
    assert_eq!(machine.ask(&boot).unwrap_err(), ErrorCode::Unauthorized, "the proof covers the boot id");
    for wrong in ["0".repeat(32), String::new(), token.to_uppercase() + "x"] {
        assert_eq!(machine.ask(&machine.request(&wrong)).unwrap_err(), ErrorCode::Unauthorized);
    }
    let mut old = right.clone();
    old.protocol = 0;
    assert_eq!(machine.ask(&old).unwrap_err(), ErrorCode::Version);
    let mut old = right.clone();
    old.nii_version = 0;
    assert_eq!(machine.ask(&old).unwrap_err(), ErrorCode::Version);
    let junk = serde_json::json!({"token": 1});
    assert_eq!(machine.post::<serde_json::Value>("/api/v1/session", &junk), Err(ErrorCode::BadRequest));
    assert_eq!(machine.nii("n").unwrap_err(), ErrorCode::Unauthorized, "no session");
    let mut guess = Machine::new(&head);
    let mut answer = machine.ask(&right).unwrap();
    answer.session = SessionKey::Plain(Secret::new("0".repeat(32)));
    guess.session = Some(answer);
    assert_eq!(guess.nii("n").unwrap_err(), ErrorCode::Unauthorized);
    assert_eq!(guess.send(Vec::new()), Err(ErrorCode::Unauthorized));
}

#[test]
fn tokens_end_after_half_an_hour() {
    let head = armed();
    let machine = Machine::new(&head);
    let url = token_url(&head.script(MAC, "pcbios"));
    let token = machine.token_at(&url).unwrap();
    head.sql("UPDATE attempts SET minted_at = minted_at - 31 * 60 * 1000");
    assert_eq!(machine.ask(&machine.request(&token)).unwrap_err(), ErrorCode::Expired);
    assert_eq!(machine.token_at(&url), Err(ErrorCode::NotFound));
    assert_eq!(head.status("n1")["tries"], 0, "who came too late has failed at nothing");
    let script = head.script(MAC, "pcbios");
    assert!(token_url(&script) != url && script.contains("attempt 1 of 3"), "{script}");
    assert_eq!(machine.ask(&machine.request(&token)), Err(ErrorCode::Expired), "the same again");
    assert!(head.script(MAC, "pcbios").contains("attempt 1 of 3"));
}

/// What an admin did meanwhile is nothing that a waiting node has to know.
#[test]
fn a_token_of_an_arming_before_has_expired() {
    let head = armed();
    let machine = Machine::new(&head);
    let token = machine.fetch_token(&head);
    head.ok(&["boot", "local", "n1"]);
    assert_eq!(machine.ask(&machine.request(&token)), Err(ErrorCode::Expired));
    head.ok(&["boot", "install", "n1"]);
    assert_eq!(machine.ask(&machine.request(&token)), Err(ErrorCode::Expired));
    let next = machine.fetch_token(&head);
    assert_eq!(machine.ask(&machine.request(&token)), Err(ErrorCode::Expired));
    machine.ask(&machine.request(&next)).unwrap();
    let thief = Machine::at(&head, "127.0.0.1", 2);
    head.ok(&["boot", "install", "n1"]);
    assert_eq!(thief.ask(&thief.request(&next)), Err(ErrorCode::Unauthorized), "that one was used");
}

/// A power cut before the session: the next boot is not to begin with a token that runs out on the way.
#[test]
fn a_boot_gets_a_token_that_lasts() {
    let head = armed();
    let machine = Machine::new(&head);
    let url = token_url(&head.script(MAC, "pcbios"));
    head.sql("UPDATE attempts SET minted_at = minted_at - 14 * 60 * 1000");
    assert_eq!(token_url(&head.script(MAC, "pcbios")), url);
    head.sql("UPDATE attempts SET minted_at = minted_at - 2 * 60 * 1000");
    let old = machine.token_at(&url).unwrap();
    let script = head.script(MAC, "pcbios");
    assert!(token_url(&script) != url && script.contains("attempt 1 of 3"), "{script}");
    assert_eq!(machine.ask(&machine.request(&old)).unwrap_err(), ErrorCode::Expired);
    let token = machine.token_at(&token_url(&script)).unwrap();
    machine.ask(&machine.request(&token)).unwrap();
}

#[test]
fn a_restarted_head_node_knows_its_sessions() {
    let mut head = armed();
    let mut machine = Machine::new(&head);
    machine.begin(&head);
    head.stop();
    head.serve();
    machine.nii("n").unwrap();
    assert_eq!(machine.send(vec![machine.event(1, machine.installed())]), Ok(1));
}

#[test]
fn time_is_signed_for_a_nonce() {
    let head = armed();
    let trust = head.trust();
    let envelope: nii::envelope::Envelope = answer_of(head.get("/api/v1/time?nonce=abc"));
    let payload = envelope.open(Purpose::Time, &trust.root_keys, trust.time_floor).unwrap();
    let time: TimePayload = serde_json::from_slice(payload).unwrap();
    assert_eq!((time.nonce.as_str(), time.https.as_str()), ("abc", head.https.as_str()));
    assert!(time.time >= trust.time_floor && time.protocol == nii::session::PROTOCOL);
    for query in ["", "?nonce=", "?nonce=%0a", &format!("?nonce={}", "a".repeat(129))] {
        assert_eq!(head.get(&format!("/api/v1/time{query}")).status(), 400, "{query}");
    }
    let foreign = plain().get(format!("{}/api/v1/time?nonce=a", head.http));
    assert_eq!(foreign.header("host", "10.9.9.9:8080").send().unwrap().status(), 400);
}

/// The status line that a call gets whose body never comes.
fn answered_without_body(head: &Head, path: &str) -> String {
    use std::io::{BufRead as _, BufReader, Write as _};
    let address = head.https.strip_prefix("https://").unwrap();
    let socket = std::net::TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let tls = std::sync::Arc::new(tls(&head.trust().ca_pem));
    let server = rustls::ClientConnection::new(tls, "127.0.0.1".try_into().unwrap()).unwrap();
    let mut stream = rustls::StreamOwned::new(server, socket);
    let head = "host: 127.0.0.1\r\nauthorization: Bearer 0\r\ncontent-type: application/json\r\n";
    write!(stream, "POST {path} HTTP/1.1\r\n{head}content-length: 2000000\r\n\r\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

#[test]
fn nobody_without_a_session_sends_much() {
    let head = armed();
    for path in ["/api/v1/events", "/api/v1/escrow", "/api/v1/log?name=x"] {
        let line = answered_without_body(&head, path);
        assert!(line.starts_with("HTTP/1.1 401 "), "{path}: {line}");
    }
    let machine = Machine::new(&head);
    let mut long = machine.request(&machine.fetch_token(&head));
    long.release = "x".repeat(20_000);
    assert_eq!(machine.ask(&long).unwrap_err(), ErrorCode::BadRequest);
    long.release.truncate(2_000);
    machine.ask(&long).unwrap();
}

/// MAC addresses are on every frame; the board is one more thing that a machine in a node's place would have to know.
#[test]
fn trust_a_node_is_the_machine_that_it_is_bound_to() {
    let ids: Vec<uuid::Uuid> = ["4c4c4544-0033", "4c4c4544-0044"]
        .map(|id| format!("{id}-3510-8051-b4c04f4b3132").parse().unwrap())
        .into();
    let mut head = Head::new();
    head.ok(&["node", "set", "n1", "--machine", &ids[0].to_string()]);
    head.ok(&["boot", "install", "n1"]);
    head.serve();
    let mut machine = Machine::new(&head);
    machine.id = Some(ids[1]);
    let script = machine.script(&head);
    let said = "this machine is not the one that is n1 (headnode events n1)";
    assert!(script.contains(said) && !script.contains("token"), "{script}");
    assert!(!script.contains(&ids[0].to_string()), "who does not know the id is not told it: {script}");
    machine.id = None;
    let token = machine.fetch_token(&head);
    for id in [None, Some(uuid::Uuid::nil()), Some(ids[1])] {
        machine.id = id;
        assert_eq!(machine.ask(&machine.request(&token)), Err(ErrorCode::Unauthorized), "{id:?}");
    }
    assert_eq!(head.security(), ["foreign-machine"; 4]);
    assert!(head.ok(&["events", "n1"]).contains(&format!("headnode node set n1 --machine {}", ids[1])));

    // Neither token nor attempt is lost to it; iPXE, DHCP and the kernel may differ in the order of bytes.
    machine.id = Some(uuid::Uuid::from_bytes_le(*ids[0].as_bytes()));
    machine.ask(&machine.request(&token)).unwrap();
    machine.id = Some(ids[0]);
    machine.ask(&machine.request(&token)).unwrap();

    // A new board: what the old one was given is over.
    head.ok(&["node", "set", "n1", "--machine", &ids[1].to_string()]);
    assert!(head.ok(&["node", "show", "n1"]).contains(&format!("machine: {}", ids[1])));
    assert_eq!(
        (machine.nii("n").unwrap_err(), head.state("n1").as_str()),
        (ErrorCode::Unauthorized, "local")
    );
    head.ok(&["boot", "install", "n1"]);
    machine.id = Some(ids[1]);
    machine.begin(&head);
    head.ok(&["node", "set", "n1", "--machine", "any"]);
    machine.nii("n").unwrap();
    machine.id = None;
    machine.begin(&head);

    // One machine is one node, in either order of bytes.
    head.ok(&["node", "set", "n1", "--machine", &ids[0].to_string()]);
    let other = uuid::Uuid::from_bytes_le(*ids[0].as_bytes()).to_string();
    let add = ["node", "add", "n9", "--group", "disked", "--mac", "52:54:00:00:00:09", "--machine", &other];
    assert!(head.refused(&add).contains(&format!("n1 is the machine {other} already")));
    let file = head.file(
        "all.yaml",
        &head.ok(&["export", "--secrets"]).replace(&ids[0].to_string(), &ids[1].to_string()),
    );
    head.ok(&["boot", "install", "n1"]);
    head.ok(&["import", &file]);
    assert_eq!(head.state("n1"), "local", "another machine by import, too");
}
