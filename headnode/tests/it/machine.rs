//! Machines that talk to the head node, as our initrd does.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use nii::Nii;
use nii::envelope::{Envelope, NiiPayload, PublicKey, Purpose};
use nii::event::{Body, Event, EventAnswer, EventBatch};
use nii::secret::Secret;
use nii::session::{ErrorAnswer, ErrorCode, Escrow, SessionAnswer, SessionKey, SessionRequest};
use nii::tpm::Tpm;
use nii::v1::SshHostKey;
use reqwest::blocking::{Client, ClientBuilder, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::head::{DEADLINE, Head, MAC};

/// A machine during one boot.
pub struct Machine {
    https: String,
    client: Client,
    pub mac: String,
    /// Its own id, as SMBIOS has it.
    pub id: Option<Uuid>,
    pub key: SigningKey,
    pub boot_id: Uuid,
    pub session: Option<SessionAnswer>,
    /// What it shows of its TPM.
    pub tpm: Option<Tpm>,
    /// Whether it asks again while the head node is not there.
    pub patient: bool,
}

/// Status and body.
type Received = (u16, Vec<u8>);

impl Machine {
    /// With the address 127.0.0.1.
    pub fn new(head: &Head) -> Self {
        Self::at(head, "127.0.0.1", 1)
    }

    /// With another address, and an ephemeral key of its own.
    pub fn at(head: &Head, address: &str, key: u8) -> Self {
        let client = trusting(&head.trust().ca_pem).local_address(address.parse::<IpAddr>().unwrap());
        let key = SigningKey::from_bytes(&[key; 32]);
        Self {
            https: head.https.clone(),
            client: client.build().unwrap(),
            mac: MAC.into(),
            id: None,
            key,
            boot_id: Uuid::new_v4(),
            session: None,
            tpm: None,
            patient: false,
        }
    }

    /// The token of the script that the head node has for this machine.
    pub fn fetch_token(&self, head: &Head) -> String {
        self.token_at(&token_url(&self.script(head))).unwrap()
    }

    /// The script that the head node has for this machine, asked for from its own address.
    pub fn script(&self, head: &Head) -> String {
        self.script_of(&head.http)
    }

    /// The same, by the head node's address.
    pub fn script_of(&self, http: &str) -> String {
        let id = self.id.map_or_else(String::new, |id| id.to_string());
        let url = format!("{http}/boot/script?mac={}&platform=pcbios&uuid={id}", self.mac);
        String::from_utf8(self.sent(self.client.get(url)).1).unwrap()
    }

    /// The token at a URL, or the refusal's code.
    pub fn token_at(&self, url: &str) -> Result<String, ErrorCode> {
        let cpio = successful(self.sent(self.client.get(url)))?;
        let name = b"camphor/token\0";
        let at = cpio.windows(name.len()).position(|window| window == name).unwrap() + name.len();
        let data = &cpio[at.next_multiple_of(4)..][..32];
        Ok(String::from_utf8(data.to_vec()).unwrap())
    }

    pub fn request(&self, token: &str) -> SessionRequest {
        let token = Secret::new(token);
        let message = SessionRequest::proof_message(&token, &self.mac, self.boot_id);
        SessionRequest {
            mac: self.mac.clone(),
            uuid: self.id,
            boot_id: self.boot_id,
            key: PublicKey::from(&self.key),
            proof: Purpose::Session.sign(&message, &self.key),
            protocol: nii::session::PROTOCOL,
            nii_version: nii::v1::VERSION,
            release: "test".into(),
            tpm: self.tpm.clone(),
            token,
        }
    }

    pub fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Result<T, ErrorCode> {
        let body = serde_json::to_vec(body).unwrap();
        let request = self.client.post(format!("{}{path}", self.https)).body(body);
        checked(self.sent(self.with_session(request.header("content-type", "application/json"))))
    }

    /// Status, and body of a call that a session is needed for.
    pub fn get(&self, path: &str) -> (u16, Vec<u8>) {
        self.sent(self.with_session(self.client.get(format!("{}{path}", self.https))))
    }

    /// Sends a log; the status.
    pub fn send_log(&self, query: &str, body: impl Into<reqwest::blocking::Body>) -> u16 {
        let request = self.client.post(format!("{}/api/v1/log{query}", self.https)).body(body);
        self.sent(self.with_session(request)).0
    }

    /// Puts host keys into escrow; the status.
    pub fn escrow(&self, keys: &[SshHostKey]) -> u16 {
        let body = serde_json::to_vec(&Escrow { ssh_host_keys: keys.to_vec() }).unwrap();
        let request = self.client.post(format!("{}/api/v1/escrow", self.https)).body(body);
        self.sent(self.with_session(request.header("content-type", "application/json"))).0
    }

    /// The NII itself.
    pub fn opened_nii(&self, head: &Head) -> Nii {
        let trust = head.trust();
        let envelope = self.nii("nonce").unwrap();
        let payload = envelope.open(Purpose::Nii, &trust.root_keys, trust.time_floor).unwrap();
        let payload: NiiPayload = serde_json::from_slice(payload).unwrap();
        nii::read(payload.nii.get().as_bytes(), nii::Strictness::Strict).unwrap().0
    }

    fn with_session(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.session {
            Some(answer) => request.bearer_auth(bearer(answer).expose()),
            None => request,
        }
    }

    fn sent(&self, mut request: RequestBuilder) -> Received {
        let end = Instant::now() + DEADLINE;
        loop {
            let again = request.try_clone().filter(|_| self.patient && Instant::now() < end);
            match (received(request), again) {
                (Ok(answer), _) => return answer,
                (Err(_), Some(again)) => request = again,
                (Err(error), None) => panic!("{error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn ask(&self, request: &SessionRequest) -> Result<SessionAnswer, ErrorCode> {
        self.post("/api/v1/session", request)
    }

    /// Script, token, session.
    pub fn begin(&mut self, head: &Head) {
        let token = self.fetch_token(head);
        self.session = Some(self.ask(&self.request(&token)).unwrap());
    }

    pub fn nii(&self, nonce: &str) -> Result<Envelope, ErrorCode> {
        let request = self.client.get(format!("{}/api/v1/nii?nonce={nonce}", self.https));
        checked(self.sent(self.with_session(request)))
    }

    pub fn event(&self, seq: u64, body: Body) -> Event {
        Event { boot_id: self.boot_id, seq, mono_ms: 1000 * seq, body }
    }

    pub fn send(&self, events: Vec<Event>) -> Result<u64, ErrorCode> {
        self.post::<EventAnswer>("/api/v1/events", &EventBatch { events }).map(|answer| answer.through)
    }

    /// The report of success.
    pub fn installed(&self) -> Body {
        Body::Installed { arming: self.session.as_ref().unwrap().arming, peak_kib: 1, image_bytes: 2 }
    }
}

/// The key of a session that is for no TPM.
pub fn bearer(answer: &SessionAnswer) -> &Secret {
    match &answer.session {
        SessionKey::Plain(key) => key,
        SessionKey::Wrapped(_) => panic!("nobody has unwrapped it"),
    }
}

pub fn token_url(script: &str) -> String {
    let line = script.lines().find(|line| line.contains("--name token")).expect(script);
    line.split_whitespace().find(|word| word.starts_with("http")).unwrap().to_owned()
}

fn received(request: RequestBuilder) -> reqwest::Result<Received> {
    let answer = request.send()?;
    Ok((answer.status().as_u16(), answer.bytes()?.to_vec()))
}

fn successful((status, body): Received) -> Result<Vec<u8>, ErrorCode> {
    match status {
        200..300 => Ok(body),
        _ => Err(json::<ErrorAnswer>(&body).code),
    }
}

fn checked<T: DeserializeOwned>(answer: Received) -> Result<T, ErrorCode> {
    successful(answer).map(|body| json(&body))
}

pub fn answer_of<T: DeserializeOwned>(answer: Response) -> T {
    json(&answer.bytes().unwrap())
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> T {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)))
}

/// A client for the plain side. Even so it wants to know who would do TLS.
pub fn plain() -> Client {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().timeout(DEADLINE).build().unwrap()
}

/// A client that believes the cluster's authority only. Each call has a connection of its own: the head node ends that of
/// a call it refuses unread, and the next one would be lost with it.
pub fn trusting(ca_pem: &str) -> ClientBuilder {
    Client::builder().tls_backend_preconfigured(tls(ca_pem)).timeout(DEADLINE).pool_max_idle_per_host(0)
}

/// Its TLS.
pub fn tls(ca_pem: &str) -> rustls::ClientConfig {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}
