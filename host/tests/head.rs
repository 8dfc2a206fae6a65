//! The head node's protocol: what a node believes and what it does not (`docs/protocol.md`).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ed25519_dalek::SigningKey;
use host::net::clock::Clock;
use host::net::head::{Head, Identity, Session};
use host::recorder::Recorder;
use host::{FetchError, Request, Watch};
use nii::envelope::{Certificate, CertificatePayload, Envelope, NiiPayload, PublicKey, Purpose};
use nii::secret::Secret;
use nii::session::{ErrorAnswer, ErrorCode, PROTOCOL, SessionRequest, TimePayload};
use nii::trust::Trust;
use plan::facts::{Facts, Firmware};
use serde_json::value::RawValue;
use uuid::Uuid;

const NOW: u64 = 1_800_000_000;
const NII: &str = include_str!("../../nii/fixtures/v1/diskless.json");

#[derive(Default)]
struct Log(Vec<String>);

impl Watch for Log {
    fn progress(&mut self, _: u64, _: u64) {}
    fn log(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn head() -> Head {
    let trust = Trust {
        root_keys: vec![PublicKey::from(&key(1))],
        image_keys: Vec::new(),
        ca_pem: String::new(),
        time_floor: NOW - 1000,
        certified_since: 0,
        allow_kusu: Vec::new(),
    };
    let clock = Arc::new(Clock::new(trust.time_floor));
    Head { base: "http://head:8080".into(), trust, clock, sleep: |_| () }
}

fn machine() -> Recorder {
    Recorder::new(Facts {
        firmware: Firmware::Bios,
        arch: "x86_64".into(),
        kernel: "6.1.0".into(),
        memory_total: 0,
        memory_available: 0,
        uuid: None,
        disks: Vec::new(),
        nics: Vec::new(),
        tools: Vec::new(),
        stacked: Vec::new(),
        groups: Vec::new(),
        tool_versions: Default::default(),
    })
}

fn seal(purpose: Purpose, payload: &impl serde::Serialize, root: u8) -> Vec<u8> {
    let certified = CertificatePayload { key: PublicKey::from(&key(2)), issued_at: 0, not_after: NOW + 1000 };
    let certificate = Certificate::issue(&certified, &key(root)).unwrap();
    let payload = serde_json::to_vec(payload).unwrap();
    serde_json::to_vec(&Envelope::seal(purpose, payload, &key(2), certificate)).unwrap()
}

fn nonce(request: &Request) -> String {
    request.url.split_once("nonce=").unwrap().1.to_owned()
}

fn good_time(request: &Request) -> TimePayload {
    let (release, https) = ("0.1.0".to_owned(), "https://head:8443".to_owned());
    TimePayload { nonce: nonce(request), time: NOW, protocol: PROTOCOL, release, https, authority: None }
}

/// Asks for the time of a head node whose answer is changed by `change` and certified by root key `root`.
fn time(root: u8, change: fn(&mut TimePayload)) -> Result<u64, String> {
    let head = head();
    let mut machine = machine().answering("http://head:8080/api/v1/time?nonce=", move |request| {
        let mut payload = good_time(request);
        change(&mut payload);
        Ok(seal(Purpose::Time, &payload, root))
    });
    let answer = head.time(&mut machine, &mut Log::default());
    answer.map(|_| head.clock.now()).map_err(|error| format!("{error:#}"))
}

#[test]
fn the_signed_time_sets_the_clock() {
    assert!((NOW..NOW + 10).contains(&time(1, |_| ()).unwrap()));
}

#[test]
fn no_other_time_is_believed() {
    type Change = fn(&mut TimePayload);
    let cases: [(u8, Change, &str); 5] = [
        (3, |_| (), "certified by no root key"),
        (1, |time| time.nonce = "old".into(), "wrong nonce"),
        (1, |time| time.protocol += 1, "speaks protocol 2"),
        (1, |time| time.time = NOW - 1001, "set its clock"),
        (1, |time| time.https = "http://head".into(), "not https"),
    ];
    for (root, change, expected) in cases {
        let error = time(root, change).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

/// A certificate's bytes count, whatever they are.
fn pem(bytes: &str) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{bytes}\n-----END CERTIFICATE-----\n")
}

#[test]
fn trust_of_a_replaced_authority_is_named() {
    let ask = |ca_pem: String, authority: &str| {
        let authority = Trust { ca_pem: pem(authority), ..head().trust }.authorities()[0];
        let mut head = head();
        head.trust.ca_pem = ca_pem;
        let mut machine = machine().answering("http://head:8080/api/v1/time?nonce=", move |request| {
            let payload = TimePayload { authority: Some(authority), ..good_time(request) };
            Ok(seal(Purpose::Time, &payload, 1))
        });
        let answer = head.time(&mut machine, &mut Log::default());
        (authority, answer.map(drop).map_err(|error| format!("{error:#}")))
    };
    ask(pem("b2xk") + &pem("bmV3"), "bmV3").1.unwrap();
    ask(pem("b2xk") + &pem("bmV3"), "b2xk").1.unwrap();
    let (authority, refused) = ask(pem("b2xk"), "bmV3");
    let error = refused.unwrap_err();
    assert!(
        error.contains(&authority.to_string()[..12]) && error.contains("build this initrd anew"),
        "{error}"
    );
}

#[test]
fn trust_in_a_replaced_head_key_ends() {
    let ask = |certified_since| {
        let mut head = head();
        head.trust.certified_since = certified_since;
        let mut machine = machine().answering("http://head:8080/api/v1/time?nonce=", |request| {
            Ok(seal(Purpose::Time, &good_time(request), 1))
        });
        head.time(&mut machine, &mut Log::default()).map_err(|error| format!("{error:#}"))
    };
    ask(0).unwrap();
    let error = ask(1).unwrap_err();
    assert!(error.contains("certified at 0") && error.contains("that key was replaced"), "{error}");
}

fn session() -> Session {
    Session {
        https: "https://head:8443".into(),
        key: Secret::new("bearer"),
        node: "n001".into(),
        arming: Uuid::from_u128(7),
        attempt: Uuid::from_u128(8),
        mac: "52:54:00:00:00:01".into(),
    }
}

fn nii(change: fn(&mut NiiPayload)) -> Result<String, String> {
    let mut machine = machine().answering("https://head:8443/api/v1/nii?nonce=", move |request| {
        assert_eq!(request.bearer.as_ref().unwrap().expose(), "bearer");
        let Session { arming, attempt, mac, .. } = session();
        let nii = RawValue::from_string(NII.to_owned()).unwrap();
        let nonce = nonce(request);
        let mut payload =
            NiiPayload { node: "n001".into(), mac, arming, attempt, nonce, issued_at: NOW, nii };
        change(&mut payload);
        Ok(seal(Purpose::Nii, &payload, 1))
    });
    let answer = head().nii(&session(), &mut machine, &mut Log::default());
    answer.map(|(nii, _)| nii.node.name).map_err(|error| format!("{error:#}"))
}

#[test]
fn an_nii_is_for_this_node_this_arming_and_this_attempt() {
    assert!(nii(|_| ()).is_ok());
    type Change = fn(&mut NiiPayload);
    let cases: [(Change, &str); 4] = [
        (|payload| payload.mac = "52:54:00:00:00:02".into(), "for the node with MAC 52:54:00:00:00:02"),
        (|payload| payload.nonce = "old".into(), "wrong nonce"),
        (|payload| payload.attempt = Uuid::from_u128(9), "attempt"),
        (|payload| payload.arming = Uuid::from_u128(9), "arming"),
    ];
    for (change, expected) in cases {
        let error = nii(change).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

fn refused(status: u16, code: ErrorCode) -> FetchError {
    let answer = ErrorAnswer { code, message: "no".into() };
    FetchError::Refused { url: "http://head:8080/".into(), status, answer, retry_after: None }
}

#[test]
fn a_busy_or_absent_head_node_is_waited_for_and_the_console_hears_of_it() {
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let mut machine = machine().answering("http://head:8080/api/v1/time", move |request| {
        match counted.fetch_add(1, Ordering::Relaxed) {
            0 => Err(FetchError::Transport {
                url: request.url.clone(),
                source: anyhow::Error::new(std::io::Error::from_raw_os_error(111)).context("connecting"),
            }),
            1 => Err(refused(503, ErrorCode::Busy)),
            _ => Ok(seal(Purpose::Time, &good_time(request), 1)),
        }
    });
    let mut log = Log::default();
    head().time(&mut machine, &mut log).unwrap();
    assert_eq!(tries.load(Ordering::Relaxed), 3);
    assert_eq!(log.0.len(), 1, "at most every 10 s: {:?}", log.0);
    let expected =
        "waiting for the head node at http://head:8080: Connection refused (os error 111); trying again in ";
    assert!(log.0[0].starts_with(expected), "{:?}", log.0);
}

#[test]
fn a_refusal_is_final() {
    let mut machine =
        machine().answering("https://head:8443/api/v1/nii", |_| Err(refused(401, ErrorCode::Unauthorized)));
    let error = head().nii(&session(), &mut machine, &mut Log::default()).unwrap_err();
    assert_eq!(machine.fetched.len(), 1);
    assert!(format!("{error:#}").contains("answered 401"), "{error:#}");
}

#[test]
fn trust_a_missing_tpm_is_said_and_left_to_the_head_node() {
    let (token, mac, boot_id) = (Secret::new("token"), session().mac, Uuid::from_u128(6));
    let identity = Identity { token, mac, uuid: None, boot_id, tpm: true };
    let mut machine = machine().answering("https://head:8443/api/v1/session", |request| {
        let asked: SessionRequest = serde_json::from_slice(request.body.as_ref().unwrap()).unwrap();
        assert_eq!(asked.tpm, None);
        Err(refused(401, ErrorCode::Unauthorized))
    });
    let mut log = Log::default();
    let answer = head().session("https://head:8443", &identity, "0.1.0", &mut machine, &mut log);
    assert!(format!("{:#}", answer.unwrap_err()).contains("answered 401"));
    assert_eq!(log.0, ["the head node wants this machine's TPM: this machine has no TPM"]);
}
