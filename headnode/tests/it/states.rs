//! Locks, commands of the site, power, rescue systems, and installs that go some nodes at a time.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use nii::session::ErrorCode;

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
fn a_lock_stops_a_node_that_is_armed_already() {
    let mut head = Head::new();
    head.ok(&["boot", "install", "n1"]);
    head.serve();
    let mut machine = Machine::new(&head);
    let token = machine.fetch_token(&head);
    head.ok(&["lock", "n1", "--reason", "a job || ${runs}"]);
    let script = machine.script(&head);
    assert!(script.contains("n1 is locked (a job ?? ??runs?, headnode unlock n1): it boots"), "{script}");
    assert!(script.contains("sanboot") && !script.contains("kernel"), "{script}");
    assert_eq!(script, head.ok(&["boot", "show", "n1"]));
    let request = machine.request(&token);
    assert_eq!(machine.ask(&request).unwrap_err(), ErrorCode::Unauthorized, "from before the lock");
    let menu = format!("{}/boot/token/of/{}", head.http, MAC.replace(':', "-"));
    assert_eq!(machine.token_at(&menu).unwrap_err(), ErrorCode::NotArmed);
    assert_eq!(head.state("n1"), "armed");
    head.ok(&["unlock", "n1"]);
    machine.begin(&head);
    let late = head.run(&["lock", "n1", "--reason", "a job runs"]);
    assert!(
        String::from_utf8(late.stderr).unwrap().contains("n1: being installed: for this attempt the lock")
    );
    machine.nii("nonce").unwrap();
    machine.send(vec![machine.event(1, machine.installed())]).unwrap();
    assert_eq!(head.state("n1"), "installed");
}

#[test]
fn many_nodes_are_armed_or_none() {
    let head = Head::new();
    head.ok(&["node", "add", "n2", "--group", "disked", "--mac", &mac(2)]);
    head.sql(
        "CREATE TRIGGER full BEFORE INSERT ON armings
         WHEN NEW.node = (SELECT id FROM nodes WHERE name = 'n2') BEGIN SELECT RAISE(ABORT, 'it is full'); END;
         UPDATE nodes SET seen_at = 1",
    );
    assert!(head.refused(&["boot", "install", "@all"]).contains("it is full"));
    assert_eq!(head.state("n1"), "unknown");
}

/// A command on a terminal, where somebody types this.
fn on_a_terminal(head: &Head, args: &str, typed: &str) -> (bool, String) {
    let line = format!("{} --data-dir {} {args}", env!("CARGO_BIN_EXE_headnode"), head.data().display());
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn several_nodes_are_asked_about() {
    let head = Head::new();
    head.ok(&["node", "add", "n2", "--group", "disked", "--mac", &mac(2)]);
    head.ok(&["group", "set", "disked", "rescue={netboot = \"tiny\"}"]);
    for words in ["install", "install --batch 1", "rescue"] {
        let (done, said) = on_a_terminal(&head, &format!("boot {words} @all"), "n\n");
        assert!(!done && said.contains("n[1-2]: 2 ") && said.contains("Go on?"), "{said}");
        assert_eq!(
            (head.state("n1"), head.json(&["boot", "rollout"])),
            ("unknown".into(), serde_json::json!([]))
        );
    }
    let (done, said) = on_a_terminal(&head, "boot install @all", "y\n");
    assert!(done && head.state("n2") == "armed", "{said}");
    let (done, said) = on_a_terminal(&head, "--yes boot rescue @all", "");
    assert!(done && head.state("n2") == "rescue", "{said}");
    assert!(on_a_terminal(&head, "boot install n1", "").0, "one is what was typed");
    for typed in ["n\n", "\n", ""] {
        let (done, said) = on_a_terminal(&head, "node rm n1", typed);
        assert!(!done && said.contains("n1: 1 go") && said.contains("Remove them?"), "{said}");
    }
    assert!(on_a_terminal(&head, "node rm n1", "y\n").0);
    assert!(head.refused(&["node", "show", "n1"]).contains("there is no node `n1`"));
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
    // Nobody knows what runs on one that was never seen.
    assert!(head.refused(&["boot", "install", "n1"]).contains("wants the attribute `bmc`"));
    head.ok(&["boot", "local", "n1"]);
    head.ok(&["attribute", "set", "n1", "bmc=b1; false"]);
    let said = head.refused(&["boot", "install", "n1"]);
    assert!(said.contains("before_reinstall refuses") && said.contains("n1 on b1; false: 3 jobs"), "{said}");
    assert_eq!(head.state("n1"), "local");
    head.sql("UPDATE nodes SET state = 'armed'");
    assert!(
        head.refused(&["boot", "install", "n1"]).contains("before_reinstall refuses"),
        "it has not booted"
    );
    head.sql("UPDATE nodes SET state = 'failed'");
    head.ok(&["boot", "install", "n1"]);
    head.ok(&["boot", "local", "n1"]);
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
    head.add_stock("looker", &[]);
    head.ok(&["group", "set", "disked", "rescue={netboot = \"looker\"}"]);
    assert!(head.refused(&["netboot", "rm", "looker"]).contains("the group disked uses the netboot looker"));
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

/// The members of the first rollout: result and failure.
fn members(head: &Head) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let nodes = head.json(&["boot", "rollout", "1"]);
    nodes.as_array().unwrap().iter().map(|node| (text(&node["result"]), text(&node["failure"]))).collect()
}

#[test]
fn a_turn_ends_when_its_time_is_over() {
    let mut head = Head::new();
    head.ok(&["node", "add", "n2", "--group", "disked", "--mac", &mac(2)]);
    assert!(head.refused(&["boot", "install", "@all", "--deadline", "0"]).contains("are at least 1"));
    head.ok(&["boot", "install", "@all", "--batch", "1", "--stop-after-failures", "2", "--deadline", "30"]);
    head.serve();
    wait_for("the first", || head.state("n1") == "armed");
    assert_eq!(members(&head)[0].0, "busy");
    head.sql("UPDATE rollout_nodes SET begun_at = begun_at - 31 * 60 * 1000 WHERE begun_at IS NOT NULL");
    wait_for("the second", || head.state("n2") == "armed");
    assert_eq!(members(&head)[0], ("failed".into(), "it is armed still, 30 min after its turn began".into()));
    assert_eq!(head.state("n1"), "local", "it is not installed at some later boot");
}

#[test]
fn what_is_wrong_with_one_node_of_a_rollout_is_its_own() {
    let mut head = Head::new();
    for i in 2..=4 {
        head.ok(&["node", "add", &format!("n{i}"), "--group", "disked", "--mac", &mac(i)]);
    }
    let log = head.path("power.log").to_str().unwrap().to_owned();
    let power = program(&head, "power", &format!("echo \"$1\" >> {log}; test $1 != n3"));
    extend(&head, &format!("[commands]\npower = [{power:?}, \"{{node}}\", \"{{action}}\"]\n"));
    head.ok(&["boot", "install", "n1"]);
    head.ok(&["boot", "reinstall", "n[1-4]", "--stop-after-failures", "9"]);
    head.sql("UPDATE nodes SET state = 'installing' WHERE name = 'n1'");
    head.sql("UPDATE nodes SET overrides = 'broken = ' WHERE name = 'n2'");
    let arming = head.status("n1")["arming"].clone();
    head.serve();
    wait_for("their turns", || members(&head).iter().filter(|(result, _)| result == "failed").count() == 2);
    wait_for("the power of n4", || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("n4")));
    let members = members(&head);
    let results: Vec<&str> = members.iter().map(|(result, _)| result.as_str()).collect();
    assert_eq!(results, ["busy", "failed", "failed", "busy"]);
    assert!(
        members[1].1.contains("TOML parse error") && members[2].1.contains("power ended with"),
        "{members:?}"
    );
    assert_eq!((head.state("n3"), head.state("n4")), ("local".into(), "armed".into()), "n3 is disarmed");
    assert_eq!((head.state("n1"), &head.status("n1")["arming"]), ("installing".into(), &arming), "by hand");
    // As if the head node went down before it noted that n4's power was cycled, and n4 began.
    head.stop();
    head.sql("UPDATE nodes SET state = 'installing' WHERE name = 'n4'");
    head.sql("UPDATE rollout_nodes SET cycled = 0");
    head.sql("UPDATE nodes SET state = 'installed' WHERE name = 'n1'");
    head.serve();
    wait_for("a look at all of them", || self::members(&head)[0].0 == "done");
    head.sql("UPDATE nodes SET state = 'installed' WHERE name = 'n4'");
    wait_for("the end", || head.json(&["boot", "rollout"])[0]["outcome"] == "done");
    let log = std::fs::read_to_string(&log).unwrap();
    let mut cycled: Vec<&str> = log.lines().collect();
    cycled.sort_unstable();
    assert_eq!(cycled, ["n3", "n4"], "each once, and n1 never");
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
