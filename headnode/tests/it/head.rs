//! A head node of its own for each test, and machines that talk to it.

use std::io::BufReader;
use std::net::{IpAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use nii::Nii;
use nii::envelope::{Envelope, NiiPayload, PublicKey, Purpose};
use nii::event::{Body, Event, EventAnswer, EventBatch};
use nii::secret::Secret;
use nii::session::{ErrorAnswer, ErrorCode, Escrow, SessionAnswer, SessionRequest};
use nii::trust::Trust;
use nii::v1::SshHostKey;
use reqwest::blocking::{Client, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;
use uuid::Uuid;

pub const MAC: &str = "52:54:00:00:00:01";
pub const HASH: &str = "$6$saltsaltsalt$notahash";
const DEADLINE: Duration = Duration::from_secs(30);

/// A data folder with a network on loopback, an image, a netboot, the groups `disked`, `retrying` and `diskless`, and the
/// node `n1`, whose lease is 127.0.0.1.
pub struct Head {
    scratch: TempDir,
    pub http: String,
    pub https: String,
    serve: Option<Child>,
    log: Arc<Mutex<String>>,
}

pub const DISKED: &str = r#"
netboot = "tiny"
netboot_args = ["console=ttyS0"]
attempts = 3

[install]
type = "disked"

[image]
name = "tiny"

[root]
password_hash = "$6$saltsaltsalt$notahash"

[[storage.disks]]
name = "system"
select = { pick = "first" }
partitions = [{ label = "root", type = "root" }]

[[storage.filesystems]]
device = "root"
format = "ext4"
mount = "/"
"#;

const DISKLESS: &str = r#"
netboot = "tiny"
attempts = 3

[install]
type = "diskless"
after = "switch-root"

[image]
name = "tiny"
"#;

pub const PACKAGE: &str = r#"
netboot = "stock"
netboot_args = ["console=ttyS0,115200"]
attempts = 3

[install]
type = "package"

[root]
password_hash = "$6$saltsaltsalt$notahash"
ssh_host_keys = "keep"

[[storage.disks]]
name = "system"
select = { pick = "first" }
partitions = [{ label = "bios", type = "bios-boot", size_mib = 1 }, { label = "root", type = "root" }]

[[storage.filesystems]]
device = "root"
format = "xfs"
mount = "/"

[package]
os = { family = "rhel", version = "9.6", arch = "x86_64" }
source = { url = "http://10.1.0.1/rocky9" }
environment = "minimal-environment"
updates = "http://10.1.0.1/updates.img"
driver_disks = ["http://10.1.0.1/dd1.iso", "http://10.1.0.1/dd2.rpm"]

[[package.users]]
name = "ann"
groups = ["wheel"]

[[package.users]]
name = "bob"
password_hash = "$6$saltsaltsalt$bobs"

[[scripts]]
name = "motd"
phase = "post"

[[scripts]]
name = "register"
phase = "first-boot"
interpreter = "/usr/bin/python3"
"#;

impl Head {
    /// Set up, not running.
    pub fn new() -> Self {
        let (http, https) = (free_port(), free_port());
        let head = Self::with_ports(http, https);
        let external =
            ["--interface", "lo", "--subnet", "127.0.0.0/8", "--address", "127.0.0.1", "--dhcp", "external"];
        head.ok(&[&["network", "add", "lo"][..], &external].concat());
        head.furnish();
        head.ok(&["node", "add", "n1", "--group", "disked", "--mac", MAC, "--ip", "127.0.0.11"]);
        head.leases(&[("127.0.0.1", MAC)]);
        head
    }

    /// Keys and store only.
    pub fn with_ports(http: u16, https: u16) -> Self {
        let head = Self {
            scratch: tempfile::tempdir().unwrap(),
            http: format!("http://127.0.0.1:{http}"),
            https: format!("https://127.0.0.1:{https}"),
            serve: None,
            log: Arc::default(),
        };
        head.ok(&["init", "--http-port", &http.to_string(), "--https-port", &https.to_string()]);
        head
    }

    /// Image, netboot and groups.
    pub fn furnish(&self) {
        std::fs::create_dir_all(self.path("root/etc")).unwrap();
        std::fs::write(self.path("root/etc/os-release"), "ID=tiny\nPRETTY_NAME=\"Tiny 1\"\n").unwrap();
        self.ok(&["image", "import", "tiny", self.path("root").to_str().unwrap()]);
        std::fs::write(self.path("kernel"), b"a kernel").unwrap();
        std::fs::write(self.path("initrd"), (0..=255).cycle().take(100_000).collect::<Vec<u8>>()).unwrap();
        let (kernel, initrd) = (self.path("kernel"), self.path("initrd"));
        let files = ["--kernel", kernel.to_str().unwrap(), "--initrd", initrd.to_str().unwrap()];
        self.ok(&[&["netboot", "add", "tiny"][..], &files].concat());
        let retrying = DISKED.replace("type = \"disked\"", "type = \"disked\"\non_failure = \"reboot\"");
        for (name, text) in [("disked", DISKED), ("retrying", &retrying), ("diskless", DISKLESS)] {
            let file = self.file(&format!("{name}.toml"), text);
            self.ok(&["group", "add", name, "--file", &file]);
        }
    }

    /// A netboot with a segment, scripts, and the group `package`, which is then n1's.
    pub fn furnish_package(&self) {
        self.add_stock("stock", &["--segment", &self.file("segment", "our segment")]);
        for (name, text) in [("motd", "#!/bin/sh\necho welcome\n"), ("register", "print()\n")] {
            self.ok(&["script", "add", name, &self.file(name, text)]);
        }
        let file = self.file("package.toml", PACKAGE);
        self.ok(&["group", "add", "package", "--file", &file]);
        self.ok(&["node", "set", "n1", "--group", "package"]);
    }

    /// A distribution's kernel and initrd.
    pub fn add_stock(&self, name: &str, segment: &[&str]) {
        let (kernel, initrd) =
            (self.file("stock-kernel", "a kernel"), self.file("stock-initrd", "an initrd."));
        self.ok(&[&["netboot", "add", name, "--kernel", &kernel, "--initrd", &initrd], segment].concat());
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Writes a file of the scratch folder; its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Runs a command.
    pub fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_headnode"))
            .arg("--data-dir")
            .arg(self.data())
            .args(args)
            .output()
            .unwrap()
    }

    /// Runs a command that succeeds; its stdout.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that is refused; its stderr.
    pub fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[args, &["--output", "json"]].concat())).unwrap()
    }

    /// One node of `status`.
    pub fn status(&self, node: &str) -> Value {
        self.json(&["status", node])[0].clone()
    }

    pub fn state(&self, node: &str) -> String {
        self.status(node)["state"].as_str().unwrap().to_owned()
    }

    /// The causes of the security notices so far.
    pub fn security(&self) -> Vec<String> {
        let lines = self.json(&["events"]);
        let security = lines.as_array().unwrap().iter().filter(|line| line["kind"] == "security");
        security.map(|line| line["body"]["cause"].as_str().unwrap().to_owned()).collect()
    }

    /// What dnsmasq would have given out.
    pub fn leases(&self, leases: &[(&str, &str)]) {
        let line = |(ip, mac): &(&str, &str)| format!("0 {mac} {ip} * *\n");
        std::fs::write(self.data().join("run/leases"), leases.iter().map(line).collect::<String>()).unwrap();
    }

    /// Changes the store in a way that only time would.
    pub fn sql(&self, sql: &'static str) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let changed = runtime.block_on(async {
            let options = SqliteConnectOptions::new().filename(self.data().join("camphor.db"));
            let mut connection = options.connect().await.unwrap();
            sqlx::query(sql).execute(&mut connection).await.unwrap().rows_affected()
        });
        assert_ne!(changed, 0, "{sql}");
    }

    /// Starts `serve` and waits until it is ready.
    pub fn serve(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_headnode"));
        command.arg("serve").arg("--data-dir").arg(self.data());
        self.serve_by(command);
    }

    pub fn serve_by(&mut self, mut command: Command) {
        let mut child = command.stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let lines = follow(BufReader::new(child.stderr.take().unwrap()), self.log.clone());
        self.serve = Some(child);
        while !lines
            .recv_timeout(DEADLINE)
            .expect("serve is not ready in time")
            .contains("headnode: serving ")
        {}
    }

    /// Waits until `serve` said so: what it writes comes here a little later.
    pub fn wait_for_log(&self, text: &str) {
        wait_for(text, || self.log().contains(text));
    }

    /// What `serve` said so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn pid(&self) -> u32 {
        self.serve.as_ref().unwrap().id()
    }

    /// SIGTERM; waits for a clean end.
    pub fn stop(&mut self) {
        let mut child = self.serve.take().unwrap();
        kill("-TERM", child.id());
        assert!(child.wait().unwrap().success(), "{}", self.log());
    }

    pub fn trust(&self) -> Trust {
        serde_json::from_str(&self.ok(&["trust"])).unwrap()
    }

    /// `GET` on the plain side.
    pub fn get(&self, path: &str) -> Response {
        plain().get(format!("{}{path}", self.http)).send().unwrap()
    }

    pub fn script(&self, mac: &str, platform: &str) -> String {
        self.get(&format!("/boot/script?mac={mac}&platform={platform}&uuid=x")).text().unwrap()
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        if let Some(mut child) = self.serve.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub fn kill(signal: &str, pid: u32) {
    assert!(Command::new("kill").arg(signal).arg(pid.to_string()).status().unwrap().success());
}

/// A port that nobody has, below those that the kernel gives to outgoing connections: it stays free until it is used.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + (std::process::id() % 10_000) as u16;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn follow(reader: impl std::io::BufRead + Send + 'static, log: Arc<Mutex<String>>) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in reader.lines().map_while(Result::ok) {
            log.lock().unwrap().push_str(&format!("{line}\n"));
            let _ = sender.send(line);
        }
    });
    receiver
}

/// A machine during one boot.
pub struct Machine {
    https: String,
    client: Client,
    pub mac: String,
    pub key: SigningKey,
    pub boot_id: Uuid,
    pub session: Option<SessionAnswer>,
}

impl Machine {
    /// With the address 127.0.0.1.
    pub fn new(head: &Head) -> Self {
        Self::at(head, "127.0.0.1", 1)
    }

    /// With another address, and an ephemeral key of its own.
    pub fn at(head: &Head, address: &str, key: u8) -> Self {
        let client = client(&head.trust().ca_pem, address.parse().unwrap());
        let key = SigningKey::from_bytes(&[key; 32]);
        Self {
            https: head.https.clone(),
            client,
            mac: MAC.into(),
            key,
            boot_id: Uuid::new_v4(),
            session: None,
        }
    }

    /// The token of the script that the head node has for this machine.
    pub fn fetch_token(&self, head: &Head) -> String {
        self.token_at(&token_url(&self.script(head))).unwrap()
    }

    /// The script that the head node has for this machine, asked for from its own address.
    pub fn script(&self, head: &Head) -> String {
        let url = format!("{}/boot/script?mac={}&platform=pcbios&uuid=x", head.http, self.mac);
        self.client.get(url).send().unwrap().text().unwrap()
    }

    /// The token at a URL, or the refusal's code.
    pub fn token_at(&self, url: &str) -> Result<String, ErrorCode> {
        let answer = self.client.get(url).send().unwrap();
        if !answer.status().is_success() {
            return Err(answer_of::<ErrorAnswer>(answer).code);
        }
        let cpio = answer.bytes().unwrap();
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
            uuid: None,
            boot_id: self.boot_id,
            key: PublicKey::from(&self.key),
            proof: Purpose::Session.sign(&message, &self.key),
            protocol: nii::session::PROTOCOL,
            nii_version: nii::v1::VERSION,
            release: "test".into(),
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
        checked(self.with_session(request.header("content-type", "application/json")).send().unwrap())
    }

    /// Status, and body of a call that a session is needed for.
    pub fn get(&self, path: &str) -> (u16, Vec<u8>) {
        let answer = self.with_session(self.client.get(format!("{}{path}", self.https))).send().unwrap();
        (answer.status().as_u16(), answer.bytes().unwrap().to_vec())
    }

    /// Sends a log; the status.
    pub fn send_log(&self, query: &str, body: impl Into<reqwest::blocking::Body>) -> u16 {
        let request = self.client.post(format!("{}/api/v1/log{query}", self.https)).body(body);
        self.with_session(request).send().unwrap().status().as_u16()
    }

    /// Puts host keys into escrow; the status.
    pub fn escrow(&self, keys: &[SshHostKey]) -> u16 {
        let body = serde_json::to_vec(&Escrow { ssh_host_keys: keys.to_vec() }).unwrap();
        let request = self.client.post(format!("{}/api/v1/escrow", self.https)).body(body);
        self.with_session(request.header("content-type", "application/json"))
            .send()
            .unwrap()
            .status()
            .as_u16()
    }

    /// The NII itself.
    pub fn opened_nii(&self, head: &Head) -> Nii {
        let trust = head.trust();
        let envelope = self.nii("nonce").unwrap();
        let payload = envelope.open(Purpose::Nii, &trust.root_keys, trust.time_floor).unwrap();
        let payload: NiiPayload = serde_json::from_slice(payload).unwrap();
        nii::read(payload.nii.get().as_bytes(), nii::Strictness::Strict).unwrap().0
    }

    fn with_session(&self, request: reqwest::blocking::RequestBuilder) -> reqwest::blocking::RequestBuilder {
        match &self.session {
            Some(answer) => request.bearer_auth(answer.session.expose()),
            None => request,
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
        checked(self.with_session(request).send().unwrap())
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

pub fn token_url(script: &str) -> String {
    let line = script.lines().find(|line| line.contains("--name token")).expect(script);
    line.split_whitespace().find(|word| word.starts_with("http")).unwrap().to_owned()
}

fn checked<T: DeserializeOwned>(answer: Response) -> Result<T, ErrorCode> {
    match answer.status().is_success() {
        true => Ok(answer_of(answer)),
        false => Err(answer_of::<ErrorAnswer>(answer).code),
    }
}

pub fn answer_of<T: DeserializeOwned>(answer: Response) -> T {
    let bytes = answer.bytes().unwrap();
    serde_json::from_slice(&bytes)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&bytes)))
}

/// A client for the plain side. Even so it wants to know who would do TLS.
pub fn plain() -> Client {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().timeout(DEADLINE).build().unwrap()
}

/// A client that believes the cluster's authority only.
fn client(ca_pem: &str, address: IpAddr) -> Client {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder().tls_backend_preconfigured(tls).local_address(address).timeout(DEADLINE).build().unwrap()
}

/// Waits until `true`, at most half a minute.
pub fn wait_for(what: &str, mut ready: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + DEADLINE;
    while !ready() {
        assert!(std::time::Instant::now() < end, "waiting for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process is there.
pub fn is_alive(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}
