//! Every rule of validation by its JSON path, and how documents are read: a right document is made wrong in one place.

#![allow(clippy::unwrap_used, reason = "test support")]

use nii::{Finding, ReadError, Severity, Strictness, read};
use serde_json::{Value, json};

fn right() -> Value {
    serde_json::from_str(include_str!("../fixtures/v1/disked.json")).unwrap()
}

/// The right document with the value at a JSON pointer set; the last part may be a new key.
fn with(changes: &[(&str, Value)]) -> Value {
    let mut document = right();
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = document.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}"));
        match parent {
            Value::Array(items) => items[key.parse::<usize>().unwrap()] = value.clone(),
            parent => parent[key] = value.clone(),
        }
    }
    document
}

fn findings(document: &Value) -> Vec<Finding> {
    match read(document.to_string().as_bytes(), Strictness::Strict) {
        Ok((_, warnings)) => warnings,
        Err(ReadError::Refused(findings)) => findings,
        Err(other) => panic!("{other}"),
    }
}

/// Expects exactly one error, at `path`, whose message has `words`.
#[track_caller]
fn refused(changes: &[(&str, Value)], path: &str, words: &str) {
    let findings = findings(&with(changes));
    assert_eq!(findings.len(), 1, "{changes:?}: {findings:?}");
    assert!(findings[0].is_error(), "{findings:?}");
    assert_eq!(findings[0].path, path, "{findings:?}");
    assert!(findings[0].message.contains(words), "{findings:?}");
}

#[test]
fn who_the_node_is() {
    for name in ["", "a b", ".hidden", "-x", "a/b", "ä", &"x".repeat(65)] {
        refused(&[("/node/name", json!(name))], "node.name", "letters, digits");
        refused(&[("/node/group", json!(name))], "node.group", "letters, digits");
        refused(&[("/storage/disks/0/name", json!(name))], "storage.disks[0].name", "letters, digits");
    }
    refused(&[("/install/deadlines/unpack", json!(0))], "install.deadlines.unpack", "at least 1");
    for zone in ["", "Europe/", "../etc/passwd", "Europe Berlin"] {
        refused(&[("/locale/timezone", json!(zone))], "locale.timezone", "tz database");
    }
}

#[test]
fn accounts() {
    let key = |text: &str| [("/root/authorized_keys/0", json!(text))];
    refused(&key("ssh-ed25519 A\nssh-rsa B"), "root.authorized_keys[0]", "one line");
    refused(&key("-----BEGIN OPENSSH PRIVATE KEY-----"), "root.authorized_keys[0]", "private key");
    refused(&key("AAAA"), "root.authorized_keys[0]", "TYPE BASE64");
    for hash in ["plain", "$6$a:b", "$6$a\nroot"] {
        refused(&[("/secrets/root_password_hash", json!(hash))], "secrets.root_password_hash", "crypt(5)");
    }
    refused(&[("/secrets/ssh_host_keys", json!([]))], "secrets.ssh_host_keys", "is empty");
    refused(&[("/secrets/ssh_host_keys/0/type", json!("dsa"))], "secrets.ssh_host_keys[0].type", "`dsa`");
}

#[test]
fn names_in_the_network() {
    for name in ["", "n001.cluster", "-n", "n-", "n_1", &"x".repeat(64)] {
        refused(&[("/network/hostname", json!(name))], "network.hostname", "one label");
    }
    refused(&[("/network/domain", json!("a..b"))], "network.domain", "`a..b`");
    refused(&[("/network/search/1", json!("a b"))], "network.search[1]", "`a b`");
}

#[test]
fn interfaces() {
    const FIRST: &str = "network.interfaces[0]";
    let at = |field: &str| format!("/network/interfaces/0/{field}");
    for mac in ["52:54:00:00:00", "52:54:00:00:00:0A", "52-54-00-00-00-01", ""] {
        refused(&[(&at("match"), json!({"mac": mac}))], &format!("{FIRST}.match.mac"), "MAC address");
    }
    for name in ["", "eth0:1", "a/b", "..", &"x".repeat(16)] {
        refused(&[(&at("match"), json!({"name": name}))], &format!("{FIRST}.match.name"), "interface name");
    }
    refused(&[(&at("match"), json!({"name": "eth1"}))], "network.interfaces[1].match", "same match");
    refused(&[(&at("mtu"), json!(500))], &format!("{FIRST}.mtu"), "576");
    let v4 = at("ipv4/static");
    refused(&[(&format!("{v4}/prefix"), json!(33))], &format!("{FIRST}.ipv4.static.prefix"), "0 to 32");
    refused(
        &[(&format!("{v4}/gateway"), json!("10.0.1.1"))],
        &format!("{FIRST}.ipv4.static.gateway"),
        "not in",
    );
    let route = format!("{FIRST}.ipv4.static.routes[0].prefix");
    refused(&[(&format!("{v4}/routes/0/prefix"), json!(33))], &route, "0 to 32");
    let v6 = at("ipv6/static");
    refused(&[(&format!("{v6}/prefix"), json!(129))], &format!("{FIRST}.ipv6.static.prefix"), "0 to 128");
    let route = format!("{FIRST}.ipv6.static.routes[0].prefix");
    refused(&[(&format!("{v6}/routes/0/prefix"), json!(129))], &route, "0 to 128");
}

#[test]
fn an_interface_without_addresses_is_a_warning() {
    let findings = findings(&with(&[("/network/interfaces/1", json!({"match": {"name": "eth1"}}))]));
    assert_eq!(findings.len(), 1);
    assert_eq!(
        (findings[0].severity, findings[0].path.as_str()),
        (Severity::Warning, "network.interfaces[1]")
    );
}

#[test]
fn disks_and_partitions() {
    refused(&[("/storage/disks/1/name", json!("system"))], "storage.disks[1].name", "another disk");
    refused(&[("/storage/disks/0/select/number", json!(0))], "storage.disks[0].select.number", "at least 1");
    refused(&[("/storage/disks/1/select/number", json!(2))], "storage.disks[1].select.pick", "says one disk");
    let path = "storage.disks[1].partitions[0].label";
    let label = |label: &str| {
        [
            ("/storage/disks/1/partitions/0/label", json!(label)),
            ("/storage/filesystems/4/device", json!(label)),
        ]
    };
    for wrong in ["", "a\"b", "a\nb", &"x".repeat(37)] {
        refused(&label(wrong), path, "UTF-16");
    }
    refused(&label("camphor"), path, "camphor's own");
    let size = "/storage/disks/0/partitions/1/size_mib";
    refused(&[(size, json!(0))], "storage.disks[0].partitions[1].size_mib", "at least 1");
    assert!(findings(&with(&[(size, Value::Null)])).is_empty(), "two share what remains");
    let empty = findings(&with(&[("/storage/disks/1/partitions", json!([]))]));
    assert_eq!(empty[0].path, "storage.disks[1].partitions");
    let twice = findings(&with(&label("root")));
    assert!(twice.iter().any(|f| f.path == path && f.message.contains("another partition")), "{twice:?}");
}

#[test]
fn filesystems() {
    const BOOT: &str = "storage.filesystems[1]";
    let at = |field: &str| format!("/storage/filesystems/1/{field}");
    refused(&[(&at("device"), json!("nowhere"))], &format!("{BOOT}.device"), "no disk has");
    refused(&[(&at("device"), json!("root"))], &format!("{BOOT}.device"), "already has");
    refused(&[(&at("device"), json!("bios"))], &format!("{BOOT}.device"), "BIOS boot");
    refused(&[(&at("label"), json!("root"))], &format!("{BOOT}.label"), "another file system");
    for (index, limit) in [(1, 16), (2, 11), (3, 12), (5, 16)] {
        let (pointer, path) =
            (format!("/storage/filesystems/{index}/label"), format!("storage.filesystems[{index}].label"));
        let too_long = "x".repeat(limit + 1);
        for label in ["", "a b", too_long.as_str()] {
            refused(&[(&pointer, json!(label))], &path, &format!("1 to {limit} bytes"));
        }
        assert_eq!(findings(&with(&[(&pointer, json!("x".repeat(limit)))])), []);
    }
    refused(&[(&at("mount"), json!("/home"))], "storage.filesystems[3].mount", "mounted twice");
    for mount in ["boot", "/boot/", "/a//b", "/a/../b", "/a b", ""] {
        refused(&[(&at("mount"), json!(mount))], &format!("{BOOT}.mount"), "absolute path");
    }
    refused(
        &[("/storage/filesystems/5/mount", json!("/swap"))],
        "storage.filesystems[5].mount",
        "not mounted",
    );
    refused(
        &[("/storage/filesystems/5/mkfs_options", json!(["-p", "4096"]))],
        "storage.filesystems[5].mkfs_options",
        "takes none",
    );
    for option in ["", "a b", "a,b"] {
        refused(
            &[(&at("mount_options"), json!([option]))],
            &format!("{BOOT}.mount_options[0]"),
            "one mount option",
        );
    }
}

#[test]
fn how_a_partition_is_made_and_found() {
    let partition = |more: Value| {
        let mut partition = json!({"label": "scratch"});
        partition.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        [("/storage/disks/1/partitions/0", partition)]
    };
    let at = |field: &str| format!("storage.disks[1].partitions[0].{field}");
    let guid = "0c5b6b5e-7f0a-4f0e-9d3c-0f6a3c1b2d4e";
    let right = partition(json!({"size_mib": 5, "weight": 2, "guid": guid, "attributes": ["no-auto"]}));
    assert!(findings(&with(&right)).is_empty());
    refused(&partition(json!({"weight": 0})), &at("weight"), "at least 1");
    refused(&partition(json!({"guid": "00000000-0000-0000-0000-000000000000"})), &at("guid"), "all zeros");
    refused(&partition(json!({"found_by": {"number": 3}})), &at("found_by"), "beside `preserve` only");
    let mut twice = partition(json!({"guid": guid})).to_vec();
    twice.push(("/storage/disks/0/partitions/1/guid", json!(guid)));
    refused(&twice, &at("guid"), "another partition");

    let kept = |more: Value| {
        let [(at, mut kept)] = partition(more);
        kept["preserve"] = json!(true);
        vec![(at, kept), ("/storage/filesystems/4/preserve", json!(true))]
    };
    for by in [json!({"number": 128}), json!({"guid": guid}), json!({"filesystem_label": "scratch"})] {
        assert!(findings(&with(&kept(json!({"found_by": by})))).is_empty());
    }
    for (field, value) in [("weight", json!(1)), ("guid", json!(guid)), ("attributes", json!(["required"]))] {
        let mut more = json!({});
        more[field] = value;
        refused(&kept(more), &at(field), "keeps its own");
    }
    for number in [0, 129] {
        refused(&kept(json!({"found_by": {"number": number}})), &at("found_by.number"), "from 1 to 128");
    }
    for (label, words) in [("", "is empty"), ("root", "is made with the label `root`, too")] {
        let by = json!({"found_by": {"filesystem_label": label}});
        refused(&kept(by), &at("found_by.filesystem_label"), words);
    }
    let mut same = kept(json!({"found_by": {"guid": guid}}));
    same.push(("/storage/disks/0/partitions/1/guid", json!(guid)));
    refused(&same, &at("found_by.guid"), "another partition");
}

#[test]
fn what_a_disked_node_needs() {
    refused(&[("/storage/filesystems/0/mount", json!("/other"))], "storage.filesystems", "mounted at `/`");
    let vfat = [("/storage/filesystems/0/format", json!("vfat"))];
    refused(&vfat, "storage.filesystems", "cannot be vfat");
    let esp = [("/storage/filesystems/2/format", json!("ext4"))];
    refused(&esp, "storage.filesystems", "must be vfat");
}

#[test]
fn image_modules_and_boot() {
    let mut document = right();
    document.as_object_mut().unwrap().remove("image");
    assert_eq!(findings(&document)[0].path, "image");
    refused(&[("/image/sources", json!([]))], "image.sources", "is empty");
    for url in ["ftp://head/x", "head:8080", "http://a b"] {
        refused(&[("/image/sources/0", json!(url))], "image.sources[0]", "URL");
    }
    refused(&[("/image/tmpfs_mib", json!(0))], "image.tmpfs_mib", "at least 1");
    for name in ["", "a b", "../x", "a.ko"] {
        refused(&[("/modules/0/name", json!(name))], "modules[0].name", "module name");
    }
    for argument in ["", "a b", "a\"b", "$(reboot)", "`x`", "a\\b", "it's"] {
        refused(&[("/boot/kernel_args/0", json!(argument))], "boot.kernel_args[0]", "one argument");
    }
    refused(&[("/boot/kernel_args/0", json!("root=/dev/sda1"))], "boot.kernel_args[0]", "root=");
}

#[test]
fn all_findings_come_at_once_and_in_order() {
    let document = with(&[
        ("/node/name", json!("")),
        ("/network/hostname", json!("")),
        ("/storage/disks/0/partitions/0/size_mib", json!(0)),
        ("/image/sources", json!([])),
        ("/boot/extra", json!(1)),
    ]);
    let paths: Vec<String> = findings(&document).into_iter().map(|finding| finding.path).collect();
    let expected = [
        "boot.extra",
        "node.name",
        "network.hostname",
        "storage.disks[0].partitions[0].size_mib",
        "image.sources",
    ];
    assert_eq!(paths, expected);
}

#[test]
fn unknown_fields_are_errors_or_warnings_with_their_path() {
    let document = with(&[
        ("/storage/disks/0/partitions/2/sise_mib", json!(1)),
        ("/network/interfaces/0/ipv4/static/routes/0/metric", json!(1)),
        ("/secret", json!({})),
    ]);
    let paths = [
        "network.interfaces[0].ipv4.static.routes[0].metric",
        "secret",
        "storage.disks[0].partitions[2].sise_mib",
    ];
    let mut strict = findings(&document);
    strict.sort_by(|a, b| a.path.cmp(&b.path));
    assert_eq!(strict.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), paths);
    assert!(strict.iter().all(Finding::is_error));
    let (_, mut lenient) = read(document.to_string().as_bytes(), Strictness::Lenient).unwrap();
    lenient.sort_by(|a, b| a.path.cmp(&b.path));
    assert_eq!(lenient.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), paths);
    assert!(lenient.iter().all(|finding| finding.severity == Severity::Warning));
}

#[test]
fn wrong_types_name_their_place() {
    for (pointer, value, expected) in [
        ("/storage/disks/0/partitions/1/size_mib", json!("512"), "storage.disks[0].partitions[1].size_mib"),
        ("/install/type", json!("stateless"), "install.type"),
        ("/network/dns/0", json!("head"), "network.dns[0]"),
        ("/image/manifest", json!("abc"), "image.manifest"),
        ("/network/interfaces/0/ipv4", json!("static"), "network.interfaces[0].ipv4.static"),
    ] {
        match read(with(&[(pointer, value)]).to_string().as_bytes(), Strictness::Strict) {
            Err(ReadError::Syntax { path, message }) => {
                assert_eq!(path, expected, "{message}");
                assert!(!message.contains(" at line "), "{message}");
            }
            other => panic!("{pointer}: {other:?}"),
        }
    }
}

#[test]
fn a_secret_is_not_in_the_error_of_a_wrong_document() {
    let document = with(&[("/secrets/root_password_hash", json!({"hunter2": "hunter2"}))]);
    let error = read(document.to_string().as_bytes(), Strictness::Strict).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let document = with(&[("/secrets/root_password_hash", json!("hunter2"))]);
    let error = read(document.to_string().as_bytes(), Strictness::Strict).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn no_json_and_newer_versions() {
    assert!(matches!(read(b"{", Strictness::Strict), Err(ReadError::Syntax { .. })));
    assert!(matches!(read(b"{}", Strictness::Strict), Err(ReadError::Syntax { .. })));
    // A newer document may have any shape: its version is said, not its first odd field.
    match read(br#"{"version": 2, "node": []}"#, Strictness::Lenient) {
        Err(error @ ReadError::Version { found: 2 }) => assert!(error.to_string().contains("version 2")),
        other => panic!("{other:?}"),
    }
}

/// An image and its loader write to these, or what the image has there would be hidden.
#[test]
fn what_cannot_be_kept_beside_an_image() {
    let document = |mount: &str| {
        let mut document = with(&[("/storage/disks/1/partitions/0/preserve", json!(true))]);
        let list = document["storage"]["filesystems"].as_array_mut().unwrap();
        list.retain(|filesystem| filesystem["device"] != "scratch");
        list.push(json!({"device": "scratch", "format": "xfs", "mount": mount, "preserve": true}));
        document
    };
    for fine in ["/data", "/var/lib/docker", "/home/old", "/usrlocal"] {
        assert_eq!(findings(&document(fine)), [], "{fine}");
    }
    for full in ["/var", "/usr", "/usr/local", "/etc/site", "/boot/other"] {
        let findings = findings(&document(full));
        assert_eq!(findings.len(), 1, "{full}: {findings:?}");
        assert!(
            findings[0].path.ends_with("].mount") && findings[0].message.contains("hide"),
            "{findings:?}"
        );
    }
    for kind in ["esp", "bios-boot", "xbootldr", "root"] {
        let mut document = document("/data");
        document["storage"]["disks"][1]["partitions"][0]["type"] = json!(kind);
        let findings = findings(&document);
        let wrong = |finding: &Finding| finding.path == "storage.disks[1].partitions[0].preserve";
        assert!(findings.iter().any(wrong), "{kind}: {findings:?}");
    }
}
