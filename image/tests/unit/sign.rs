//! Signatures against the real minisign, in both directions.

use std::fs;
use std::path::Path;
use std::process::Command;

use image::sign::{PublicKey, SecretKey, SignError, verify};

use crate::support::{run, scratch};

/// Whether minisign accepts the signature that lies beside `file`.
fn minisign_accepts(file: &Path, key: &PublicKey) -> bool {
    let status = Command::new("minisign").args(["-Vqm", file.to_str().unwrap(), "-P", &key.line()]).output();
    status.unwrap().status.success()
}

#[test]
fn image_unit_minisign_accepts_ours() {
    let scratch = scratch();
    let key = SecretKey::generate().unwrap();
    for content in [&b""[..], b"text\n", &[0xff; 100_000]] {
        let file = scratch.path().join("file");
        fs::write(&file, content).unwrap();
        fs::write(file.with_extension("minisig"), key.sign(content, "of\na test")).unwrap();
        assert!(minisign_accepts(&file, &key.public()));
        fs::write(&file, [content, b"x"].concat()).unwrap();
        assert!(!minisign_accepts(&file, &key.public()));
    }
}

#[test]
fn image_unit_ours_accepts_minisign() {
    let scratch = scratch();
    let [public, secret, file] = ["k.pub", "k.sec", "file"].map(|name| scratch.path().join(name));
    let [public_arg, secret_arg, file_arg] = [&public, &secret, &file].map(|path| path.to_str().unwrap());
    run("minisign", &["-GWf", "-p", public_arg, "-s", secret_arg]);
    fs::write(&file, "signed\n").unwrap();
    run("minisign", &["-S", "-s", secret_arg, "-m", file_arg, "-t", "a comment"]);
    let key: PublicKey = fs::read_to_string(&public).unwrap().parse().unwrap();
    let signature = fs::read_to_string(scratch.path().join("file.minisig")).unwrap();
    assert_eq!(key.verify(b"signed\n", &signature).as_deref(), Ok("a comment"));
    // Its secret key signs here, and ours there.
    let theirs: SecretKey = fs::read_to_string(&secret).unwrap().parse().unwrap();
    assert_eq!(theirs.public(), key);
    assert_eq!(key.verify(b"more", &theirs.sign(b"more", "c")).as_deref(), Ok("c"));
    let ours = SecretKey::generate().unwrap();
    fs::write(&secret, ours.save_text().as_str()).unwrap();
    run("minisign", &["-S", "-s", secret_arg, "-m", file_arg, "-t", "by ours"]);
    let signature = fs::read_to_string(scratch.path().join("file.minisig")).unwrap();
    assert_eq!(ours.public().verify(b"signed\n", &signature).as_deref(), Ok("by ours"));
}

#[test]
fn image_unit_keys_as_text() {
    let key = SecretKey::generate().unwrap();
    let again: SecretKey = key.save_text().parse().unwrap();
    assert_eq!(again.public(), key.public());
    assert_eq!(key.public().to_string().parse(), Ok(key.public()));
    assert_eq!(key.public().line().parse(), Ok(key.public()));
    // Nothing of the secret is shown.
    assert_eq!(format!("{key:?}"), format!("SecretKey({})", key.public().id()));
    for bad in ["", "x", "untrusted comment: a\n", "RWQ=", &key.save_text()[..80]] {
        assert!(bad.parse::<PublicKey>().is_err(), "{bad}");
        assert!(bad.parse::<SecretKey>().is_err(), "{bad}");
    }
}

#[test]
fn image_unit_every_damage_to_a_signature_is_seen() {
    let key = SecretKey::generate().unwrap();
    let (content, keys) = (b"content", [key.public()]);
    let signature = key.sign(content, "the comment");
    assert_eq!(verify(&keys, content, &signature).as_deref(), Ok("the comment"));
    assert_eq!(verify(&keys, b"Content", &signature), Err(SignError::Mismatch));
    assert_eq!(
        verify(&keys, content, &signature.replace("the comment", "a comment")),
        Err(SignError::Comment)
    );
    let other = SecretKey::generate().unwrap();
    assert!(matches!(verify(&[other.public()], content, &signature), Err(SignError::Key { .. })));
    assert!(matches!(verify(&[], content, &signature), Err(SignError::Key { .. })));
    // Any character of the signed lines: no other text is a signature too.
    let unsigned = signature.find('\n').unwrap();
    for at in unsigned + 1..signature.len() - 1 {
        let mut damaged = signature.clone().into_bytes();
        damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
        assert!(verify(&keys, content, std::str::from_utf8(&damaged).unwrap()).is_err(), "byte {at}");
    }
}
