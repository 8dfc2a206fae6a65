//! Locks, commands of the site, power, rescue systems, and installs that go some nodes at a time.

use std::os::unix::fs::PermissionsExt as _;

use crate::head::{DISKED, Head, MAC, Machine, wait_for};

/// A program of the site.
fn program(head: &Head, name: &str, text: &str) -> String {
    let path = head.file(name, &format!("#!/bin/sh\n{text}\n"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// The group `disked` with more in its document.
fn extend(head: &Head, more: &str) {
    let file = head.file("more.toml", &DISKED.replace("\n[install]", &format!("\n{more}\n[install]")));
    head.ok(&["group", "set", "disked", "--file", &file]);
}

fn mac(i: u8) -> String {
    if i == 1 { MAC.into() } else { format!("52:54:00:00:01:0{i}") }
}

#[test]
fn a_locked_node_is_left_alone() {
    let head = Head::new();
    head.ok(&["node", "add", "n2", "--group", "disked", "--mac", &mac(2)]);
    head.ok(&["lock", "n1", "--reason", "a job runs"]);
    for words in [
        &["boot", "install", "n[1-2]"][..],
        &["boot", "install", "n1", "--canary", "1"],
        &["node", "rm", "@all"],
    ] {
        let said = head.refused(words);
        assert!(said.contains("n1 is locked by") && said.contains("a job runs"), "{said}");
    }
    assert_eq!((head.state("n1"), head.state("n2")), ("unknown".into(), "unknown".into()));
    assert_eq!(head.status("n1")["locked"], "a job runs");
    assert_eq!(head.json(&["node", "show", "n1"])["locked"], "a job runs");
    head.ok(&["unlock", "n1"]);
    assert!(head.refused(&["unlock", "n1"]).contains("is not locked"));
    head.ok(&["boot", "install", "n[1-2]"]);
    assert!(head.refused(&["lock", "n1", "--reason", " "]).contains("needs a reason"));
}

#[test]
fn the_site_is_asked_before_a_system_goes() {
    let head = Head::new();
    let drain = program(&head, "drain", "echo \"$1: 3 jobs\"; test ! -e \"$2\"");
    let flag = head.file("busy", "");
    extend(
        &head,
        &format!(
            "[commands]\nbefore_reinstall = [{drain:?}, \"{{node}} on {{bmc}}\", {flag:?}]\ntimeout_s = 5\n"
        ),
    );
    head.ok(&["boot", "install", "n1"]);
    head.ok(&["boot", "local", "n1"]);
    assert!(head.refused(&["boot", "install", "n1"]).contains("wants the attribute `bmc`"));
    head.ok(&["attribute", "set", "n1", "bmc=b1; false"]);
    let said = head.refused(&["boot", "install", "n1"]);
    assert!(said.contains("before_reinstall refuses") && said.contains("n1 on b1; false: 3 jobs"), "{said}");
    assert_eq!(head.state("n1"), "local");
    std::fs::remove_file(&flag).unwrap();
    head.ok(&["boot", "install", "n1"]);
    head.ok(&["boot", "local", "n1"]);
    let slow = program(&head, "slow", "sleep 100 & sleep 100");
    extend(&head, &format!("[commands]\nbefore_reinstall = [{slow:?}]\ntimeout_s = 1\n"));
    assert!(head.refused(&["boot", "install", "n1"]).contains("took longer than 1 s"));
}

#[test]
fn power_has_a_result_for_each_node() {
    let head = Head::new();
    head.ok(&["node", "add", "n2", "--group", "disked", "--mac", &mac(2)]);
    assert!(head.run(&["power", "on", "n1"]).stdout.starts_with(b"NODE"));
    assert!(head.refused(&["boot", "reinstall", "n1"]).contains("no commands.power"));
    let power = program(&head, "power", "echo \"$1 $2\"; test $1 != n2");
    extend(&head, &format!("[commands]\npower = [{power:?}, \"{{node}}\", \"{{action}}\"]\n"));
    assert!(head.refused(&["power", "status", "n[1-2]"]).contains("power status failed on 1 nodes"));
    let said = String::from_utf8(head.run(&["power", "status", "@all"]).stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[1].starts_with("n1    ok") && lines[1].ends_with("n1 status"), "{said}");
    assert!(lines[2].contains("failed") && lines[2].contains("n2 status"), "{said}");
    let said = head.ok(&["boot", "reinstall", "n1"]);
    assert!(said.contains("n1 cycle"), "{said}");
    assert_eq!(head.state("n1"), "armed");
}

#[test]
fn a_rescue_system_has_no_token() {
    let mut head = Head::new();
    assert!(head.refused(&["boot", "rescue", "n1"]).contains("says no `rescue.netboot`"));
    let said = head.refused(&["group", "set", "disked", "rescue={netboot = \"none\"}"]);
    assert!(said.contains("rescue.netboot: there is no netboot `none`"), "{said}");
    head.ok(&[
        "group",
        "set",
        "disked",
        "rescue={netboot = \"tiny\", args = [\"rescue\", \"console=ttyS0\"]}",
    ]);
    head.ok(&["boot", "rescue", "n1"]);
    head.serve();
    for platform in ["pcbios", "efi"] {
        let script = head.script(MAC, platform);
        assert!(script.contains(" rescue console=ttyS0") && !script.contains("token"), "{script}");
        assert_eq!(script, head.ok(&["boot", "show", "n1", "--platform", platform]));
    }
    assert!(head.refused(&["boot", "diskless", "n1"]).contains("is not `diskless`"));
    head.ok(&["boot", "local", "n1"]);
    assert_eq!(head.state("n1"), "local");
}

#[test]
fn canaries_prove_an_install_before_the_others_begin() {
    let mut head = Head::new();
    for i in 2..=4 {
        head.ok(&["node", "add", &format!("n{i}"), "--group", "disked", "--mac", &mac(i)]);
    }
    let log = head.path("power.log").to_str().unwrap().to_owned();
    let power = program(&head, "power", &format!("echo \"$1 $2\" >> {log}"));
    extend(&head, &format!("[commands]\npower = [{power:?}, \"{{node}}\", \"{{action}}\"]\n"));
    head.ok(&["boot", "reinstall", "n[1-4]", "--canary", "1", "--batch", "2"]);
    let said = head.refused(&["boot", "install", "n4", "--batch", "1"]);
    assert!(said.contains("n4 is in rollout 1 already"), "{said}");
    head.serve();
    wait_for("the canary", || head.state("n1") == "armed");
    wait_for("its power", || std::fs::read_to_string(&log).is_ok_and(|log| log == "n1 cycle\n"));
    assert_eq!(head.state("n2"), "unknown");
    let mut machine = Machine::new(&head);
    machine.begin(&head);
    machine.nii("nonce").unwrap();
    machine.send(vec![machine.event(1, machine.installed())]).unwrap();
    wait_for("the batch", || head.state("n2") == "armed" && head.state("n3") == "armed");
    assert_eq!(head.state("n4"), "unknown");
    head.ok(&["boot", "local", "n2"]);
    let outcome = || head.json(&["boot", "rollout"])[0]["outcome"].clone();
    wait_for("the stop", || outcome() == "stopped: 1 failed");
    let nodes = head.json(&["boot", "rollout", "1"]);
    let results: Vec<&str> =
        nodes.as_array().unwrap().iter().map(|node| node["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["done", "failed", "busy", "waiting"]);
    assert_eq!(nodes[1]["failure"], "it is local");
    assert!(head.refused(&["boot", "rollout", "1", "--abort"]).contains("no rollout 1 that is not over"));
    head.ok(&["boot", "install", "n4", "--batch", "1"]);
    head.ok(&["boot", "rollout", "2", "--abort"]);
}

#[test]
fn shells_and_manuals_know_the_commands() {
    let head = Head::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(head.ok(&["completion", shell]).contains("reinstall"), "{shell}");
    }
    let folder = head.path("man");
    head.ok(&["man", folder.to_str().unwrap()]);
    let page = std::fs::read_to_string(folder.join("headnode-node-set.1")).unwrap();
    assert!(page.contains("headnode\\-node\\-set"), "{page}");
}
