//! Admins who are elsewhere: API keys, what they may do, and who else tries.

use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

use reqwest::blocking::{Client, Response};
use serde_json::{Value, json};

use crate::head::{HASH, Head, MAC, wait_for};
use crate::machine::{tls, trusting};

/// A running head node with an API key of each scope.
pub fn served() -> Head {
    let mut head = Head::new();
    for scope in ["read", "operate", "admin"] {
        add_key(&head, scope, &["--scope", scope]);
    }
    head.file("trust.json", &head.ok(&["trust"]));
    head.serve();
    head
}

/// Makes a key and its file; the secret.
pub fn add_key(head: &Head, name: &str, options: &[&str]) -> String {
    let secret = head.ok(&[&["api-key", "add", name], options].concat());
    let file = head.file(&format!("{name}.secret"), &secret);
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    secret.trim().to_owned()
}

/// `headnode remote`, as the program is called elsewhere.
fn remote(head: &Head, key: &str, args: &[&str], stdin: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headnode"));
    command.args(["remote", "--to", head.https.trim_start_matches("https://")]);
    command.arg("--key-file").arg(head.path(&format!("{key}.secret")));
    command.arg("--trust").arg(head.path("trust.json")).args(args);
    piped(command, stdin)
}

pub fn piped(mut command: Command, stdin: &str) -> Output {
    let pipe = || Stdio::piped();
    let mut child = command.stdin(pipe()).stdout(pipe()).stderr(pipe()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts that it was refused for want of rights.
pub fn refused(output: &Output, why: &str) {
    let said = said(output);
    assert!(output.status.code() == Some(1) && said.contains("refused: ") && said.contains(why), "{said}");
}

/// A client from an address that believes the head node's authority.
pub fn client(head: &Head, address: [u8; 4]) -> Client {
    trusting(&head.trust().ca_pem).local_address(IpAddr::from(address)).build().unwrap()
}

/// Posts a command with a secret.
pub fn post(head: &Head, client: &Client, secret: &str, call: &Value) -> Response {
    let request = client.post(format!("{}/admin/command", head.https)).bearer_auth(secret);
    request.body(call.to_string()).send().unwrap()
}

pub fn status_call() -> Value {
    json!({"args": ["status"]})
}

#[test]
fn trust_a_key_does_what_its_scope_says() {
    let head = served();
    let here = head.ok(&["node", "list", "--output", "json"]);
    let output = remote(&head, "read", &["node", "list", "--output", "json"], "");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), here);
    for hidden in [&["group", "show", "disked"][..], &["nii", "n1"], &["export"]] {
        let output = remote(&head, "read", hidden, "");
        assert!(output.status.success(), "{hidden:?}: {}", said(&output));
        assert!(!String::from_utf8_lossy(&output.stdout).contains(HASH), "{hidden:?}");
    }
    for beyond in [&["boot", "install", "n1"][..], &["power", "off", "n1"], &["lock", "n1", "--reason", "x"]]
    {
        refused(&remote(&head, "read", beyond, ""), "needs the scope operate");
    }
    assert_eq!(head.state("n1"), "unknown");
    assert!(remote(&head, "operate", &["boot", "install", "n1"], "").status.success());
    assert_eq!(head.state("n1"), "armed");
    let events = head.ok(&["events", "n1"]);
    assert!(events.contains("by API key operate (from 127.0.0.1)"), "{events}");
    let beyond = [
        &["group", "show", "disked", "--secrets"][..],
        &["export", "--secrets"],
        &["node", "set", "n1", "attempts=9"],
        &["group", "set", "disked", "commands.power=[\"reboot\"]"],
        &["attribute", "set", "n1", "bmc=x"],
        &["api-key", "revoke", "admin"],
        &["node", "rm", "n1"],
    ];
    for args in beyond {
        refused(&remote(&head, "operate", args, ""), "needs the scope admin");
    }
    let shown = remote(&head, "admin", &["group", "show", "disked", "--secrets"], "");
    assert!(String::from_utf8_lossy(&shown.stdout).contains(HASH));
    assert!(remote(&head, "admin", &["node", "set", "n1", "attempts=9"], "").status.success());
    assert!(head.security().contains(&"refused-command".to_owned()));
}

#[test]
fn trust_remote_commands_are_those_of_here() {
    let head = served();
    let script = "#!/bin/sh\necho \u{e4}\n";
    assert!(remote(&head, "admin", &["script", "add", "hello", "-"], script).status.success());
    assert_eq!(head.ok(&["script", "show", "hello"]), script);
    let document = crate::head::DISKED.replace("attempts = 3", "attempts = 4");
    let output = remote(&head, "admin", &["group", "set", "disked", "--file", "-"], &document);
    assert!(output.status.success() && said(&output).contains("+attempts = 4"), "{}", said(&output));
    let failed = remote(&head, "read", &["node", "show", "nobody"], "");
    assert_eq!(
        (failed.status.code(), said(&failed)),
        (Some(1), said(&head.run(&["node", "show", "nobody"])))
    );
    let wrong = remote(&head, "read", &["node", "lst"], "");
    assert_eq!((wrong.status.code(), said(&wrong)), (Some(2), said(&head.run(&["node", "lst"]))));
    let help = remote(&head, "read", &["boot", "--help"], "");
    assert_eq!(String::from_utf8(help.stdout).unwrap(), head.ok(&["boot", "--help"]));
}

/// Everybody at the head node's host can see the arguments of its processes.
#[test]
fn trust_secrets_from_elsewhere_are_in_no_list_of_processes() {
    let head = served();
    let seen = head.path("seen");
    std::fs::create_dir_all(head.data().join("plugins.d")).unwrap();
    let look = format!("#!/bin/sh\ncat /proc/$PPID/cmdline /proc/$PPID/environ > {}\n", seen.display());
    head.program("data/plugins.d/50-look", &look);
    let key = format!("root.password_hash={HASH}");
    let output = remote(&head, "admin", &["node", "set", "n1", &key], "");
    assert!(output.status.success(), "{}", said(&output));
    assert!(head.ok(&["node", "show", "n1"]).contains("password_hash"));
    let seen = String::from_utf8_lossy(&std::fs::read(seen).unwrap()).into_owned();
    assert!(seen.contains("headnode\0") && !seen.contains(HASH), "{seen:?}");
}

#[test]
fn trust_nobody_elsewhere_names_a_path_here() {
    let head = served();
    let secret = head.file("secret", "planted: do not read\n");
    let made = head.path("made");
    let (s, m) = (secret.as_str(), made.to_str().unwrap());
    let attempts = [
        &["group", "add", "x", "--file", s][..],
        &["group", "set", "disked", "--file", s],
        &["group", "edit", "disked"],
        &["node", "edit", "n1"],
        &["network", "edit", "lo"],
        &["script", "add", "x", s],
        &["host", "add", "--file", s],
        &["addhost", "--group", "disked", "--file", s],
        &["addhost", "--group", "disked", "--interface", "lo", "--batch"],
        &["import", s],
        &["import-site", "xcat", s],
        &["image", "import", "x", s],
        &["netboot", "add", "x", "--kernel", s, "--initrd", s],
        &["os", "import", "x", s],
        &["plugin", "render", s, "--write", m],
        &["plugin", "render", "hosts", "--write", m],
        &["keys", "rotate", "nii", "--root-key", s],
        &["keys", "rotate", "nii", "--certificate", s],
        &["keys", "certify", "x", "--root-key", s],
        &["trust", "--write", m],
        &["backup", m],
        &["restore", s],
        &["man", m],
        &["doctor", "--dnsmasq", s],
        &["serve", "--dnsmasq", s],
        &["init"],
        &["api-key", "add", "another", "--scope", "admin"],
        &["hash-password"],
        &["remote", "--socket", s, "status"],
        &["status", "--data-dir", m],
        &["--data-dir=/var/lib/camphor", "status"],
        &["--data-dir", "/var/lib/camphor", "status"],
    ];
    let (client, key) =
        (client(&head, [127, 0, 0, 1]), fs::read_to_string(head.path("admin.secret")).unwrap());
    for args in attempts {
        let answer = post(&head, &client, key.trim(), &json!({"args": args}));
        let (status, said) = (answer.status().as_u16(), answer.text().unwrap());
        let why = if args.iter().any(|arg| arg.contains("data-dir")) { "--data-dir" } else { "`-` is" };
        assert!(status == 403 && said.contains(why) && !said.contains("planted"), "{args:?}: {said}");
    }
    assert!(!made.exists() && head.json(&["api-key", "list"]).as_array().unwrap().len() == 3);
}

#[test]
fn trust_keys_are_kept_as_hashes_and_end_at_once() {
    let head = served();
    let secret = add_key(&head, "short", &["--scope", "read", "--expires", "1"]);
    let mut folders = vec![head.data()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = fs::read(&path) {
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "{}", path.display());
            }
        }
    }
    assert!(secret.len() == "camphor-".len() + 43 && !head.ok(&["api-key", "list"]).contains(&secret));
    let client = client(&head, [127, 0, 0, 1]);
    let status = |secret: &str| post(&head, &client, secret, &status_call()).status().as_u16();
    assert_eq!(status(&secret), 200);
    head.sql("UPDATE api_keys SET expires_at = made_at + 1 WHERE name = 'short'");
    assert_eq!(status(&secret), 401, "it has ended");
    let admin = fs::read_to_string(head.path("admin.secret")).unwrap();
    assert_eq!(status(admin.trim()), 200);
    head.ok(&["api-key", "revoke", "admin"]);
    assert_eq!(status(admin.trim()), 401, "revoked");
    for wrong in ["", "camphor-", &secret[1..], &HASH.repeat(100)] {
        assert_eq!(status(wrong), 401, "{wrong}");
    }
    let plain = crate::head::plain().post(format!("{}/admin/command", head.http)).body("{}").send();
    assert_eq!(plain.unwrap().status(), 404, "not without TLS");
    let notices = head.security();
    for cause in ["api-key-added", "api-key-revoked", "refused-key"] {
        assert!(notices.iter().any(|notice| notice == cause), "{cause}: {notices:?}");
    }
    assert!(!head.log().contains(&secret) && !head.ok(&["events"]).contains(&secret));
}

#[test]
fn trust_wrong_keys_are_counted_by_address() {
    let head = served();
    let right = fs::read_to_string(head.path("read.secret")).unwrap();
    let [thief, other] = [[127, 0, 0, 2], [127, 0, 0, 3]].map(|address| client(&head, address));
    for _ in 0..10 {
        assert_eq!(post(&head, &thief, "camphor-wrong", &status_call()).status(), 401);
    }
    let answer = post(&head, &thief, "camphor-wrong", &status_call());
    let pause: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(answer.status() == 429 && (1..=60).contains(&pause), "{answer:?}");
    assert_eq!(post(&head, &thief, right.trim(), &status_call()).status(), 200, "who has a key is let in");
    // What a foreign web page can have a browser send.
    for _ in 0..20 {
        let answer = other.post(format!("{}/admin/command", head.https)).body("{}").send().unwrap();
        assert_eq!(answer.status(), 401);
    }
    assert_eq!(post(&head, &other, "camphor-wrong", &status_call()).status(), 401, "nothing was counted");
    assert_eq!(
        head.count("SELECT * FROM audit WHERE cause = 'refused-key'"),
        11,
        "who has to wait is not told of"
    );
    assert!(head.script(MAC, "pcbios").contains("#!ipxe"), "nodes are served");
}

#[test]
fn trust_commands_from_elsewhere_have_limits() {
    let mut head = Head::new();
    let (started, fifo) = (head.path("started"), head.path("fifo"));
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let waits = format!("echo x >> {}; cat {}", started.display(), fifo.display());
    let power = format!("commands.power=[\"sh\", \"-c\", \"{waits}\"]");
    head.ok(&["group", "set", "disked", &power]);
    let secrets = ["a", "b", "c"].map(|name| add_key(&head, name, &["--scope", "operate"]));
    let (secret, admin) = (secrets[0].clone(), add_key(&head, "admin", &["--scope", "admin"]));
    head.serve();
    let client = client(&head, [127, 0, 0, 1]);
    let large = json!({"args": ["status"], "stdin": "x".repeat(9 << 20)});
    // The rest of a body is not read: whoever still sends it may see the connection end.
    let request = client.post(format!("{}/admin/command", head.https)).bearer_auth(&secret);
    let answer = request.body(large.to_string()).send();
    assert!(answer.is_err() || answer.unwrap().status() == 413);
    let call = json!({"args": ["power", "status", "n1"]});
    std::thread::scope(|scope| {
        let (head, client, call) = (&head, &client, &call);
        let mut running = Vec::new();
        let mut run = |secret: &'_ str, count: usize| {
            let secret = secret.to_owned();
            for _ in 0..count {
                let secret = secret.clone();
                running.push(scope.spawn(move || post(head, client, &secret, call).status()));
            }
        };
        let busy = |secret: &str| {
            let answer = post(head, client, secret, &status_call());
            assert!(answer.status() == 503 && answer.headers().contains_key("retry-after"), "{answer:?}");
            assert_eq!(answer.headers()["connection"], "close", "its body is not read");
        };
        let run_now = |count: usize| {
            wait_for("commands", || {
                fs::read_to_string(&started).is_ok_and(|text| text.lines().count() == count)
            });
        };
        run(&secrets[0], 3);
        run_now(3);
        busy(&secrets[0]);
        run(&secrets[1], 3);
        run(&secrets[2], 1);
        run_now(7);
        busy(&secrets[2]);
        assert_eq!(post(head, client, &admin, &status_call()).status(), 200, "the last place");
        run(&admin, 1);
        run_now(8);
        busy(&admin);
        drop(fs::OpenOptions::new().write(true).open(&fifo).unwrap());
        assert!(running.into_iter().all(|running| running.join().unwrap() == 200));
    });
    assert_eq!(post(&head, &client, &secret, &status_call()).status(), 200);
}

/// A key that may only look calls, and never says what for.
#[test]
fn trust_slow_calls_keep_no_admin_out() {
    let head = served();
    let secret =
        |name: &str| fs::read_to_string(head.path(&format!("{name}.secret"))).unwrap().trim().to_owned();
    let (read, admin) = (secret("read"), secret("admin"));
    let tls = std::sync::Arc::new(tls(&head.trust().ca_pem));
    let name = || rustls::pki_types::ServerName::from(IpAddr::from([127, 0, 0, 1]));
    let address = head.https.trim_start_matches("https://");
    let slow: Vec<_> = (0..8)
        .map(|_| {
            let connection = rustls::ClientConnection::new(tls.clone(), name()).unwrap();
            let tcp = std::net::TcpStream::connect(address).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, tcp);
            let head = format!(
                "POST /admin/command HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {read}\r\ncontent-length: 9\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    let client = client(&head, [127, 0, 0, 1]);
    wait_for("all places of the key", || post(&head, &client, &read, &status_call()).status() == 503);
    assert_eq!(post(&head, &client, &admin, &status_call()).status(), 200);
    drop(slow);
    wait_for("a place", || post(&head, &client, &read, &status_call()).status() == 200);
}

#[test]
fn trust_keys_do_not_leave_their_file_for_others() {
    let head = served();
    let open = head.path("read.secret");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o640)).unwrap();
    let output = remote(&head, "read", &["status"], "");
    assert!(!output.status.success() && said(&output).contains("others may read it"), "{}", said(&output));
    fs::set_permissions(&open, fs::Permissions::from_mode(0o600)).unwrap();
    // Somebody else's authority: the key is not sent.
    let mut liar = Head::with_ports(1, 2);
    liar.file("trust.json", &liar.ok(&["trust"]));
    liar.https.clone_from(&head.https);
    fs::copy(&open, liar.path("read.secret")).unwrap();
    let output = remote(&liar, "read", &["status"], "");
    assert!(!output.status.success() && said(&output).contains("certificate"), "{}", said(&output));
    assert!(remote(&head, "read", &["status"], "").status.success());
}
