//! What import does with secrets of a source, and what it says of privileged files.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use image::pack::{ImportError, ImportOptions, Imported, import};
use image::sign::SecretKey;

use crate::support::source::Files;
use crate::support::{run, scratch, unpack};

const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret-words\n-----END OPENSSH PRIVATE KEY-----\n";
const SHADOW: &str = "root:$6$salt$secret-words:19000:0:99999:7:::\ndaemon:*:19000::::::\n";

/// Left out without a word from the admin.
const MADE_ANEW: [&str; 4] =
    ["etc/machine-id", "etc/ssh/ssh_host_rsa_key", "root/.bash_history", "var/lib/systemd/random-seed"];

fn tree(root: &Path) {
    for path in ["etc/ssh", "home/ann/.ssh", "root", "var/lib/systemd", "usr/bin"] {
        fs::create_dir_all(root.join(path)).unwrap();
    }
    for path in MADE_ANEW {
        fs::write(root.join(path), "secret-words").unwrap();
    }
    fs::write(root.join("etc/shadow"), SHADOW).unwrap();
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
    fs::write(root.join("home/ann/.ssh/id_ed25519"), KEY).unwrap();
    // Longer than a chunk, and behind it the rest of the archive.
    fs::write(root.join("usr/bin/large"), vec![7; 3 << 20]).unwrap();
    fs::write(root.join("usr/bin/su"), "su").unwrap();
    run("chmod", &["4755", root.join("usr/bin/su").to_str().unwrap()]);
    fs::hard_link(root.join("etc/ssh/ssh_host_rsa_key"), root.join("etc/ssh/zz-other-name")).unwrap();
}

fn imported(source: &Path, store: &Path, allow: &[&str], strip: bool) -> Result<Imported, ImportError> {
    fs::create_dir_all(store).unwrap();
    let allow_secrets = allow.iter().map(|path| (*path).to_owned()).collect();
    let options =
        ImportOptions { allow_secrets, strip_secrets: strip, level: 1, ..ImportOptions::new("test") };
    import(source, store, &SecretKey::generate().unwrap(), &options, &mut |_| {})
}

/// The sources that there are: a directory, and a tarball of it.
fn sources(scratch: &Path) -> [std::path::PathBuf; 2] {
    let [directory, archive] = ["tree", "tree.tar"].map(|name| scratch.join(name));
    tree(&directory);
    run("tar", &["--sort=name", "-C", directory.to_str().unwrap(), "-cf", archive.to_str().unwrap(), "."]);
    [directory, archive]
}

#[test]
fn trust_secrets_are_refused_by_path() {
    let scratch = scratch();
    for source in sources(scratch.path()) {
        let store = scratch.path().join("store");
        let refusal = imported(&source, &store, &[], false).unwrap_err().to_string();
        for path in ["etc/shadow: a password's hash", "home/ann/.ssh/id_ed25519: a private key"] {
            assert!(refusal.contains(path), "{refusal}");
        }
        assert!(!refusal.contains("secret-words") && !refusal.contains("machine-id"), "{refusal}");
        assert_eq!(fs::read_dir(&store).unwrap().count(), 0, "nothing is left of it");
    }
}

#[test]
fn trust_stripped_secrets_are_nowhere_in_the_image() {
    let scratch = scratch();
    for (number, source) in sources(scratch.path()).iter().enumerate() {
        let store = scratch.path().join(format!("store{number}"));
        let out = scratch.path().join(format!("out{number}"));
        fs::create_dir_all(&store).unwrap();
        let key = SecretKey::generate().unwrap();
        let options = ImportOptions { strip_secrets: true, level: 1, ..ImportOptions::new("test") };
        let image = import(source, &store, &key, &options, &mut |_| {}).unwrap();
        unpack(&Files::new(&image.path), &key, &image, &out).unwrap();
        for path in MADE_ANEW.iter().chain(&["home/ann/.ssh/id_ed25519", "etc/ssh/zz-other-name"]) {
            assert!(!out.join(path).exists(), "{path}");
        }
        let hash = "$6$salt$secret-words";
        let wanted = SHADOW.replace(hash, &"!".repeat(hash.len()));
        assert_eq!(fs::read_to_string(out.join("etc/shadow")).unwrap(), wanted);
        assert_eq!(fs::read(out.join("usr/bin/large")).unwrap(), vec![7; 3 << 20]);
        run(
            "sh",
            &["-c", &format!("! zstd -dqc {}/data.tar.zst | grep -q secret-words", image.path.display())],
        );
        let report = fs::read_to_string(image.path.join("report.json")).unwrap();
        assert!(report.contains("home/ann/.ssh/id_ed25519") && !report.contains("secret-words"), "{report}");
        assert_eq!(image.report.stripped.len(), MADE_ANEW.len() + 2);
        assert_eq!(image.report.privileged.len(), 1);
        assert_eq!(image.report.privileged[0].to_string(), "usr/bin/su (mode 4755, owner 0:0)");
    }
}

/// The secret is behind the other name, which came first.
#[test]
fn trust_other_names_of_secrets_are_refused() {
    let scratch = scratch();
    let [directory, _] = sources(scratch.path());
    fs::hard_link(directory.join("etc/machine-id"), directory.join("etc/a")).unwrap();
    let refusal = imported(&directory, &scratch.path().join("store"), &[], true).unwrap_err().to_string();
    assert!(refusal.contains("etc/machine-id: the id of one machine"), "{refusal}");
}

/// What tells the secret was never asked about the other name, which is at no place for one.
#[test]
fn trust_other_names_elsewhere_hide_no_secret() {
    let scratch = scratch();
    let [directory, _] = sources(scratch.path());
    let store = scratch.path().join("store");
    fs::create_dir_all(directory.join("backup")).unwrap();
    for path in ["etc/shadow", "home/ann/.ssh/id_ed25519"] {
        let other = directory.join("backup").join(Path::new(path).file_name().unwrap());
        fs::hard_link(directory.join(path), other).unwrap();
    }
    // Looked at by its first name, or empty: other names change nothing.
    fs::hard_link(directory.join("etc/passwd"), directory.join("etc/passwd-")).unwrap();
    fs::write(directory.join("backup/empty"), "").unwrap();
    fs::hard_link(directory.join("backup/empty"), directory.join("etc/shadow-")).unwrap();
    let refusal = imported(&directory, &store, &[], true).unwrap_err().to_string();
    assert!(refusal.contains("etc/shadow: a password's hash, maybe"), "{refusal}");
    assert!(refusal.contains("id_ed25519: a private key, maybe"), "{refusal}");
    assert!(!refusal.contains("etc/passwd-") && !refusal.contains("etc/shadow-"), "{refusal}");
    let image = imported(&directory, &store, &["etc/shadow", "home/ann/.ssh/id_ed25519"], true).unwrap();
    assert_eq!(image.report.allowed.len(), 2);
}

#[test]
fn trust_names_that_are_no_text_hide_no_secret() {
    let scratch = scratch();
    let [directory, _] = sources(scratch.path());
    fs::write(directory.join(std::ffi::OsStr::from_bytes(b"etc/\xff.key")), KEY).unwrap();
    let refusal = imported(&directory, &scratch.path().join("store"), &[], false).unwrap_err().to_string();
    assert!(refusal.contains("etc/\u{fffd}.key: a private key"), "{refusal}");
}

#[test]
fn trust_allowed_secrets_stay() {
    let scratch = scratch();
    let [directory, _] = sources(scratch.path());
    let allow = ["/etc/shadow", "home/ann/.ssh/id_ed25519", "etc/machine-id"];
    let image = imported(&directory, &scratch.path().join("store"), &allow, false).unwrap();
    let paths: Vec<&str> = image.report.allowed.iter().map(|secret| secret.path.as_str()).collect();
    assert_eq!(paths, ["etc/machine-id", "etc/shadow", "home/ann/.ssh/id_ed25519"]);
    assert_eq!(image.report.stripped.len(), MADE_ANEW.len() - 1);
    let one =
        imported(&directory, &scratch.path().join("store"), &allow[..1], false).unwrap_err().to_string();
    assert!(one.contains("id_ed25519") && !one.contains("etc/shadow"), "{one}");
}
