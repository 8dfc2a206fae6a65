//! A head node of its own for each test.

use std::io::{BufReader, ErrorKind, Read};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nii::trust::Trust;
use reqwest::blocking::Response;
use serde_json::Value;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tempfile::TempDir;

pub use crate::machine::{Machine, answer_of, plain, token_url};

pub const MAC: &str = "52:54:00:00:00:01";
pub const HASH: &str = "$6$saltsaltsalt$notahash";
pub const DEADLINE: Duration = Duration::from_secs(30);

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

    /// A file that can be run.
    pub fn program(&self, name: &str, text: &str) -> String {
        let path = self.file(name, text);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
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
        let changed = self.with_store(async |connection| {
            sqlx::query(sql).execute(connection).await.unwrap().rows_affected()
        });
        assert_ne!(changed, 0, "{sql}");
    }

    /// How many rows of a table of the store there are.
    pub fn count(&self, sql: &'static str) -> usize {
        self.with_store(async |connection| sqlx::query(sql).fetch_all(connection).await.unwrap().len())
    }

    fn with_store<T>(&self, act: impl AsyncFnOnce(&mut SqliteConnection) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let options = SqliteConnectOptions::new().filename(self.data().join("camphor.db"));
            act(&mut options.connect().await.unwrap()).await
        })
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

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut child = self.serve.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
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

/// What one more byte of a connection comes to: 0 if the other side ended it. A read with a time limit is not taken up again
/// after a signal by itself (signal(7)).
pub fn ended(stream: &mut impl Read) -> std::io::Result<usize> {
    loop {
        match stream.read(&mut [0; 1]) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            said => return said,
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
