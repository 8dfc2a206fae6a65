//! What a head node cannot do without, in one file that only a passphrase opens.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::head::{HASH, Head, MAC};

const PASSPHRASE: &str = "correct horse battery";

/// A command that is told a passphrase.
fn told(data: &Path, args: &[&str], passphrase: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headnode"));
    command.arg("--data-dir").arg(data).args(args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A refusal may come before it is read.
    let _ = writeln!(child.stdin.take().unwrap(), "{passphrase}");
    child.wait_with_output().unwrap()
}

fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn trust_comes_back_from_a_backup_and_lies_in_it_for_nobody_else() {
    let head = Head::new();
    head.ok(&["script", "add", "hello", &head.file("hello", "#!/bin/sh\necho hello\n")]);
    let file = head.path("backup");
    let file = file.to_str().unwrap();
    assert!(refusal(&told(&head.data(), &["backup", file], "short")).contains("less than 12 characters"));
    assert!(!Path::new(file).exists());
    let output = told(&head.data(), &["backup", file], PASSPHRASE);
    assert!(output.status.success(), "{}", refusal(&output));

    let bytes = fs::read(file).unwrap();
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let keys: Vec<_> =
        fs::read_dir(head.data().join("keys")).unwrap().map(|key| key.unwrap().path()).collect();
    let secrets = keys.iter().map(|key| fs::read(key).unwrap());
    for secret in secrets.chain([HASH.into(), MAC.into(), PASSPHRASE.into(), b"camphor.db".to_vec()]) {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{secret:?}");
    }

    let fresh = head.path("fresh");
    let said = refusal(&told(&fresh, &["restore", file], "correct horse batterx"));
    assert!(said.contains("the passphrase is another") && !fresh.exists(), "{said}");
    assert!(refusal(&told(&head.data(), &["restore", file], PASSPHRASE)).contains("already"));
    let output = told(&fresh, &["restore", file], PASSPHRASE);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("image tiny: copy images/"), "{said}");
    for key in keys {
        let copy = fresh.join("keys").join(key.file_name().unwrap());
        assert_eq!(fs::read(&key).unwrap(), fs::read(&copy).unwrap(), "{key:?}");
        assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600, "{copy:?}");
    }
    let exported = |data: &Path| told(data, &["export", "--secrets"], "").stdout;
    assert_eq!(exported(&fresh), exported(&head.data()));
}
