//! Keys that take the place of others, while nodes go on with the initrds that they have.

use std::fs;
use std::process::Command;

use base64ct::{Base64, Encoding as _};
use nii::envelope::{Certificate, CertificatePayload, Envelope, EnvelopeError, PublicKey, Purpose};
use nii::session::TimePayload;
use nii::trust::Trust;
use serde_json::Value;

use crate::head::{Head, wait_for};
use crate::machine::{plain, trusting};

/// A netboot whose initrd believes what `trust` prints now, as `initrd-builder` packs it.
fn add_netboot(head: &Head, name: &str, compressed: bool) {
    let root = head.path(&format!("initrd-{name}"));
    fs::create_dir_all(root.join("etc/camphor")).unwrap();
    fs::write(root.join("etc/camphor/trust.json"), head.ok(&["trust"])).unwrap();
    fs::write(root.join("etc/before"), "odd").unwrap();
    let initrd = head.path(&format!("{name}.img"));
    let pack = format!(
        "cd {} && find . -mindepth 1 | sed 's,^./,,' | cpio --quiet -o -H newc {}> {}",
        root.display(),
        if compressed { "| zstd -q " } else { "" },
        initrd.display()
    );
    assert!(Command::new("sh").args(["-c", &pack]).status().unwrap().success());
    let kernel = head.file("a-kernel", "a kernel");
    head.ok(&["netboot", "add", name, "--kernel", &kernel, "--initrd", initrd.to_str().unwrap()]);
}

/// What a node with this trust sees of the running head node: the signed time, then TLS.
fn meets(head: &Head, trust: &Trust) -> Result<TimePayload, String> {
    let answer = plain().get(format!("{}/api/v1/time?nonce=n", head.http)).send().unwrap();
    let envelope: Envelope = serde_json::from_slice(&answer.bytes().unwrap()).unwrap();
    let payload =
        trust.open(&envelope, Purpose::Time, trust.time_floor).map_err(|error| format!("{error}"))?;
    let time: TimePayload = serde_json::from_slice(payload).unwrap();
    let believes = trust.authorities().contains(&time.authority.unwrap());
    let client = trusting(&trust.ca_pem).build().unwrap();
    let tls = client.get(format!("{}/api/v1/nii?nonce=n", head.https)).send();
    assert_eq!(believes, tls.is_ok(), "the signed time says what TLS will do: {tls:?}");
    if believes { Ok(time) } else { Err("another authority".into()) }
}

fn online_key(head: &Head) -> PublicKey {
    let list = head.json(&["keys", "list"]);
    let line = list.as_array().unwrap().iter().find(|line| line["key"] == "nii").unwrap().clone();
    serde_json::from_value(line["name"].clone()).unwrap()
}

/// Names of keys of a kind: that in use, and the next.
fn names(head: &Head, kind: &str) -> Vec<String> {
    let list = head.json(&["keys", "list"]);
    let lines = list.as_array().unwrap().iter().filter(|line| line["key"] == kind);
    lines.map(|line| line["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn trust_survives_a_new_authority_and_the_old_initrd_is_named() {
    let mut head = Head::new();
    add_netboot(&head, "old", true);
    head.serve();
    let old = head.trust();
    meets(&head, &old).unwrap();
    assert!(head.refused(&["keys", "rotate", "ca", "--retire"]).contains("there is no next key yet"));

    head.ok(&["keys", "rotate", "ca"]);
    head.ok(&["keys", "rotate", "ca"]);
    let both = head.trust();
    assert_eq!((both.authorities().len(), both.authorities()[0]), (2, old.authorities()[0]));
    meets(&head, &old).unwrap();
    meets(&head, &both).unwrap();
    let said = head.refused(&["keys", "rotate", "ca", "--retire"]);
    assert!(said.contains("the nodes of netboot old would refuse"), "{said}");

    add_netboot(&head, "old", false);
    head.ok(&["keys", "rotate", "ca", "--retire"]);
    // Between the signed time and TLS the certificate may change once.
    let next = Some(both.authorities()[1]);
    wait_for("the new certificate", || meets(&head, &both).is_ok_and(|time| time.authority == next));
    assert!(meets(&head, &old).is_err());
    let new = head.trust();
    assert_eq!(new.authorities(), both.authorities()[1..]);
    meets(&head, &new).unwrap();
    assert!(!head.data().join("keys/ca.next.key").exists());
    head.stop();
}

#[test]
fn trust_in_images_goes_over_to_the_next_key() {
    let head = Head::new();
    add_netboot(&head, "old", true);
    let old = head.trust();
    let signed = |trust: &Trust| {
        let folder = fs::read_dir(head.data().join("images")).unwrap().next().unwrap().unwrap().path();
        let keys: Vec<image::sign::PublicKey> =
            trust.image_keys.iter().map(|key| key.parse().unwrap()).collect();
        let signature = fs::read_to_string(folder.join("manifest.json.minisig")).unwrap();
        image::sign::verify(&keys, &fs::read(folder.join("manifest.json")).unwrap(), &signature)
    };
    let comment = signed(&old).unwrap();
    head.ok(&["keys", "rotate", "image"]);
    let both = head.trust();
    assert_eq!(both.image_keys.len(), 2);
    signed(&old).unwrap();
    assert!(head.refused(&["keys", "rotate", "image", "--retire"]).contains("netboot old"));
    head.ok(&["keys", "rotate", "image", "--retire", "--force"]);
    assert_eq!(signed(&both).unwrap(), comment);
    assert_eq!(signed(&head.trust()).unwrap(), comment);
    let refusal = signed(&old).unwrap_err().to_string();
    assert!(refusal.contains(&names(&head, "image")[0]), "it names both keys: {refusal}");

    let list = head.json(&["keys", "list"]);
    let image = list.as_array().unwrap().iter().find(|line| line["key"] == "image").unwrap();
    assert_eq!(image["not_believed_by"], serde_json::json!(["old"]));
}

/// Somebody's image in our folder gets no signature of ours by the way.
#[test]
fn trust_is_not_given_to_an_image_that_was_changed() {
    let head = Head::new();
    let folder = fs::read_dir(head.data().join("images")).unwrap().next().unwrap().unwrap().path();
    let manifest = folder.join("manifest.json");
    fs::write(&manifest, fs::read_to_string(&manifest).unwrap() + " ").unwrap();
    head.ok(&["keys", "rotate", "image"]);
    let said = head.refused(&["keys", "rotate", "image", "--retire"]);
    assert!(said.contains("the signature does not match"), "{said}");
    assert_eq!(names(&head, "image").len(), 2, "nothing was replaced");
}

#[test]
fn trust_in_a_new_online_key_needs_no_new_initrd() {
    let mut head = Head::new();
    head.serve();
    let (trust, before) = (head.trust(), online_key(&head));
    head.ok(&["keys", "rotate", "nii"]);
    let after = online_key(&head);
    assert_ne!(before, after);
    let signer = || {
        let answer = plain().get(format!("{}/api/v1/time?nonce=n", head.http)).send().unwrap();
        let envelope: Envelope = serde_json::from_slice(&answer.bytes().unwrap()).unwrap();
        let certificate: Value = serde_json::from_slice(&envelope.certificate.payload.0).unwrap();
        serde_json::from_value::<PublicKey>(certificate["key"].clone()).unwrap()
    };
    wait_for("the new key", || signer() == after);
    meets(&head, &trust).unwrap();
    head.stop();
}

/// What somebody with a copy of the online key signs, as of now.
fn stolen(head: &Head) -> (Envelope, u64) {
    let keys = head.data().join("keys");
    let mut seed = [0; 32];
    Base64::decode(fs::read_to_string(keys.join("nii.key")).unwrap(), &mut seed).unwrap();
    let certificate: Certificate = serde_json::from_slice(&fs::read(keys.join("nii.cert")).unwrap()).unwrap();
    let payload: CertificatePayload = serde_json::from_slice(&certificate.payload.0).unwrap();
    let key = ed25519_dalek::SigningKey::from_bytes(&seed);
    (Envelope::seal(Purpose::Nii, Vec::new(), &key, certificate), payload.issued_at)
}

#[test]
fn trust_in_an_old_online_key_ends_with_new_initrds() {
    let head = Head::new();
    let (old, old_at) = stolen(&head);
    // A second is what certificates know of time.
    wait_for("the next second", || {
        head.ok(&["keys", "rotate", "nii"]);
        stolen(&head).1 > old_at
    });
    let before = head.trust();
    head.ok(&["keys", "rotate", "nii", "--retire"]);
    let after = head.trust();
    let now = after.certified_since;
    assert!(before.open(&old, Purpose::Nii, now).is_ok(), "initrds of before believe both");
    assert!(after.open(&stolen(&head).0, Purpose::Nii, now).is_ok());
    let refused = after.open(&old, Purpose::Nii, now).unwrap_err();
    assert!(
        matches!(refused, EnvelopeError::Retired { issued_at, .. } if issued_at == old_at),
        "{refused:?}"
    );
    head.ok(&["keys", "rotate", "ca"]);
    assert_eq!(head.trust().certified_since, now, "it stays");
}

#[test]
fn trust_can_come_from_a_root_key_that_is_elsewhere() {
    let head = Head::new();
    let root = head.path("stick");
    fs::rename(head.data().join("keys/root.key"), &root).unwrap();
    let before = online_key(&head);
    let asked = head.ok(&["keys", "rotate", "nii"]);
    assert_eq!(head.ok(&["keys", "rotate", "nii"]), asked, "the same key until it is certified");
    assert_eq!(online_key(&head), before);

    let certify = |key: &str, root: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_headnode"));
        command.args(["--data-dir", "/nowhere", "keys", "certify", key, "--root-key", root]);
        command.output().unwrap()
    };
    let wrong = head.file("wrong", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
    let forged = String::from_utf8(certify(asked.trim(), &wrong).stdout).unwrap();
    let forged = head.file("forged", &forged);
    let said = head.refused(&["keys", "rotate", "nii", "--certificate", &forged]);
    assert!(said.contains("by another root key"), "{said}");
    assert_eq!(online_key(&head), before);

    let output = certify(asked.trim(), root.to_str().unwrap());
    assert!(output.status.success(), "{output:?}");
    let certificate = head.file("nii.cert", &String::from_utf8(output.stdout).unwrap());
    head.ok(&["keys", "rotate", "nii", "--certificate", &certificate]);
    assert_eq!(online_key(&head).to_string(), asked.trim());
    assert!(!head.data().join("keys/root.key").exists(), "it was not kept");
    head.ok(&["keys", "rotate", "nii", "--root-key", root.to_str().unwrap()]);
    assert!(!head.data().join("keys/root.key").exists(), "nor this time");
}

/// Cut off between two renames, where a power cut may leave it.
#[test]
fn trust_is_made_whole_after_a_cut() {
    let mut head = Head::new();
    for (kind, secret, public) in [("ca", "ca.key", "ca.pem"), ("image", "image.key", "image.pub")] {
        head.ok(&["keys", "rotate", kind]);
        let keys = head.data().join("keys");
        let next = |name: &str| keys.join(name.replace('.', ".next."));
        let public_next = fs::read(next(public)).unwrap();
        fs::rename(next(secret), keys.join(secret)).unwrap();
        head.ok(&["init"]);
        assert_eq!(fs::read(keys.join(public)).unwrap(), public_next, "{kind}");
        assert!(!next(public).exists());
    }
    let trust = head.trust();
    assert_eq!((trust.authorities().len(), trust.image_keys.len()), (1, 1));
    head.serve();
    meets(&head, &trust).unwrap();
    head.stop();
}
