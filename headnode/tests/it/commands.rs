//! What admins may say, and what they are told when they may not.

use serde_json::json;

use crate::head::{DISKED, Head, MAC, PACKAGE};

#[test]
fn bad_documents_are_refused_with_line_and_reason() {
    let head = Head::new();
    let cases = [
        ("[install]\ntype = disked", "1", ":2:8: "),
        (&DISKED.replace("format = \"ext4\"", "format = \"ext5\""), "2", "unknown variant `ext5`"),
        (
            &DISKED.replace("mount = \"/\"", "mount = \"/\"\nmuont = 1"),
            "3",
            "storage.filesystems[0].muont: this key is not known",
        ),
        (
            &DISKED.replace("device = \"root\"", "device = \"rot\""),
            "4",
            "storage.filesystems[0].device: no disk has a partition labelled `rot`",
        ),
        (
            &DISKED.replace("$6$saltsaltsalt$notahash", "hunter2"),
            "5",
            "root.password_hash: is no crypt(5) hash",
        ),
        (
            &DISKED.replace("name = \"tiny\"", "name = \"giant\""),
            "6",
            "image.name: there is no image `giant`",
        ),
        (
            &DISKED.replace("netboot = \"tiny\"", "netboot = \"giant\""),
            "7",
            "netboot: there is no netboot `giant`",
        ),
        (&format!("{DISKED}\n[locale]\ntimezone = \"../etc\"\n"), "8", "locale.timezone: "),
    ];
    for (text, name, reason) in cases {
        let file = head.file(&format!("{name}.toml"), text);
        let said = head.refused(&["group", "add", "bad", "--file", &file]);
        assert!(said.contains(reason), "{said}");
        let place = said.split(".toml:").nth(1).unwrap();
        let line: usize = place.split(':').next().unwrap().parse().unwrap();
        let key = reason.split(['.', ':', '[']).next().unwrap();
        assert!((1..=text.lines().count()).contains(&line), "{said}");
        assert!(!key.is_empty() || line == 2, "{said}");
        assert!(!said.contains("hunter2"), "a secret is not repeated");
    }
    assert_eq!(head.json(&["group", "list"]).as_array().unwrap().len(), 3);
}

#[test]
fn a_line_is_the_right_one() {
    let head = Head::new();
    let text = DISKED.replace("device = \"root\"", "device = \"rot\"");
    let line = text.lines().position(|line| line == "device = \"rot\"").unwrap() + 1;
    let file = head.file("x.toml", &text);
    let said = head.refused(&["group", "set", "disked", "--file", &file]);
    assert!(said.contains(&format!("x.toml:{line}:1: storage.filesystems[0].device")), "{said}");
}

#[test]
fn keys_of_groups_and_nodes_are_set_one_by_one() {
    let head = Head::new();
    head.ok(&["group", "set", "disked", "install.after=kexec", "attempts=7", "boot.kernel_args=[\"quiet\"]"]);
    let nii = head.ok(&["nii", "n1"]);
    assert!(nii.contains("\"after\": \"kexec\"") && nii.contains("\"quiet\""), "{nii}");
    let said = head.refused(&["group", "set", "disked", "install.after=teleport"]);
    assert!(said.contains("unknown variant `teleport`"), "{said}");
    head.ok(&[
        "node",
        "set",
        "n1",
        "locale.timezone=Europe/Berlin",
        "network.addressing=static",
        "install.after=poweroff",
    ]);
    let nii: serde_json::Value = serde_json::from_str(&head.ok(&["nii", "n1"])).unwrap();
    assert_eq!(nii["locale"]["timezone"], "Europe/Berlin");
    assert_eq!(nii["install"]["after"], "poweroff");
    assert_eq!(
        nii["network"]["interfaces"][0],
        json!({
            "match": {"mac": MAC}, "ipv4": {"static": {"address": "127.0.0.11", "prefix": 8}},
        })
    );
    head.ok(&["node", "set", "n1", "--unset", "install.after"]);
    assert!(head.ok(&["nii", "n1"]).contains("\"after\": \"kexec\""));
}

#[test]
fn what_does_not_fit_is_refused() {
    let head = Head::new();
    let node = |name: &'static str, rest: &[&'static str]| {
        [&["node", "add", name, "--group", "disked"][..], rest].concat()
    };
    let cases = [
        (node("n1", &["--mac", "52:54:00:00:00:09"]), "there is a node `n1` already"),
        (node("n9", &["--mac", MAC]), "another node has the MAC address"),
        (node("n9", &["--mac", "52:54:00:00:00:09", "--ip", "127.0.0.11"]), "another node has the address"),
        (node("n9", &["--mac", "52:54:00:00:00:09", "--ip", "10.0.0.1"]), "10.0.0.1 is in no network"),
        (node("n9", &["--mac", "52:54:00:00:00:09", "--ip", "127.0.0.1"]), "is the head node's own address"),
        (
            node("n9", &["--mac", "52:54:00:00:00:09", "network.addressing=static"]),
            "`static` needs an address",
        ),
        (node("../n9", &["--mac", "52:54:00:00:00:09"]), "is no name for a node"),
        (node("n9", &[]), "--mac MAC"),
        (
            vec!["node", "add", "n9", "--mac", "52:54:00:00:00:09", "--group", "none"],
            "there is no group `none`",
        ),
        (vec!["node", "rm", "n9"], "there is no node `n9`"),
        (vec!["boot", "install", "n9"], "there is no node `n9`"),
        (vec!["group", "rm", "disked"], "has nodes"),
        (vec!["network", "rm", "lo"], "has nodes"),
        (vec!["image", "rm", "tiny"], "uses the image tiny"),
        (vec!["netboot", "rm", "tiny"], "uses the netboot tiny"),
        (
            vec![
                "network",
                "add",
                "x",
                "--interface",
                "e",
                "--subnet",
                "10.0.0.0/8",
                "--address",
                "11.0.0.1",
            ],
            "is no host's address",
        ),
    ];
    for (args, reason) in cases {
        let said = head.refused(&args);
        assert!(said.contains(reason), "{args:?}: {said}");
    }
    let usage = head.run(&["node", "add", "n9", "--mac", "52:54"]);
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn a_group_cannot_break_its_nodes() {
    let head = Head::new();
    head.ok(&["node", "set", "n1", "image.tmpfs_mib=100"]);
    let without = PACKAGE.split("[[scripts]]").next().unwrap().replace("\"stock\"", "\"tiny\"");
    let file = head.file("package.toml", &without);
    let said = head.refused(&["group", "set", "disked", "--file", &file]);
    assert!(
        said.contains("node n1 with the new document of its group") && said.contains("missing field `name`"),
        "{said}"
    );
}

#[test]
fn what_is_removed_is_gone() {
    let head = Head::new();
    head.ok(&["node", "rm", "n1"]);
    for group in ["disked", "retrying", "diskless"] {
        head.ok(&["group", "rm", group]);
    }
    head.ok(&["image", "rm", "tiny"]);
    head.ok(&["netboot", "rm", "tiny"]);
    head.ok(&["network", "rm", "lo"]);
    for folder in ["images", "boot"] {
        assert_eq!(std::fs::read_dir(head.data().join(folder)).unwrap().count(), 0, "{folder}");
    }
}

#[test]
fn a_password_becomes_a_hash_on_stdin() {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_headnode"))
        .arg("hash-password")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"camphor\n").unwrap();
    let hash = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let check =
        Command::new("perl").args(["-e", "print crypt($ARGV[0], $ARGV[1])", "camphor", hash.trim()]).output();
    assert_eq!(String::from_utf8(check.unwrap().stdout).unwrap(), hash.trim());
}
