//! Many nodes at once, where values come from, edits, and the store as a file.

use std::process::{Command, Output};

use crate::head::{HASH, Head};

fn furnished() -> Head {
    let head = Head::new();
    for i in 2..=12 {
        let mac = format!("52:54:00:00:01:{i:02}");
        head.ok(&["node", "add", &format!("n{i}"), "--group", "diskless", "--mac", &mac]);
    }
    head
}

fn names(head: &Head, words: &[&str]) -> String {
    let list = head.json(&[&["node", "list"][..], words].concat());
    let names: Vec<&str> =
        list.as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap()).collect();
    names.join(" ")
}

#[test]
fn nodes_are_named_by_ranges_groups_and_states() {
    let head = furnished();
    assert_eq!(names(&head, &["n[1-2],n10"]), "n1 n10 n2");
    assert_eq!(names(&head, &["@disked", "n3"]), "n1 n3");
    head.ok(&["boot", "install", "n[2-4]"]);
    assert_eq!(names(&head, &["@state:armed,!n3"]), "n2 n4");
    assert_eq!(names(&head, &["@state:failed"]), "");
    let all = names(&head, &[]);
    assert_eq!(names(&head, &["@all"]), all);
    assert_eq!(head.json(&["status", "n[2-3]"]).as_array().unwrap().len(), 2);
    let of = |line: &serde_json::Value| line["node"].as_str().unwrap().to_owned();
    let events = head.json(&["events", "n[2-3]"]);
    let events: Vec<String> = events.as_array().unwrap().iter().map(of).collect();
    assert_eq!(events, ["n2", "n3"]);
    head.ok(&["node", "rm", "n[5-12]"]);
    assert_eq!(names(&head, &["@all"]), "n1 n2 n3 n4");
    for (words, reason) in [
        (&["node", "rm", "n[1-"][..], "`n[1-`, character 2: this `[` is never closed"),
        (&["boot", "install", "n[3-6]"], "there is no node `n[5-6]`"),
        (&["boot", "local", "@none"], "there is no group `none`"),
        (&["boot", "local", "@state:parked"], "no node is @state:parked"),
        (&["node", "show", "n[1-2]"], "names 2 nodes"),
        (&["node", "set", "n[1-2]", "--ip", "127.0.0.9"], "one node's own"),
    ] {
        let said = head.refused(words);
        assert!(said.contains(reason), "{words:?}: {said}");
    }
    assert_eq!(head.state("n3"), "armed", "all or none");
}

#[test]
fn many_nodes_change_at_once_or_none_does() {
    let head = furnished();
    let output = head.run(&["node", "set", "@diskless", "attempts=5"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && said.contains("n[2-12]:\n") && said.contains("+attempts = 5"),
        "{said}"
    );
    let said = head.refused(&["node", "set", "n[1-12]", "install.after=teleport"]);
    assert!(said.contains("teleport"), "{said}");
    assert_eq!(head.json(&["node", "show", "n12"])["overrides"], serde_json::json!({"attempts": 5}));
    let said = head.run(&["node", "set", "n2", "attempts=5"]).stderr;
    assert!(String::from_utf8(said).unwrap().contains("nothing changes"));
    head.ok(&["node", "unset", "@diskless", "attempts"]);
    let said = head.refused(&["node", "unset", "n[2-3]", "attempts"]);
    assert!(said.contains("n2: `attempts` is not set"), "{said}");
    let said = head.refused(&["group", "unset", "disked", "install.type"]);
    assert!(said.contains("missing field `type`"), "{said}");
    head.ok(&["group", "unset", "disked", "netboot_args"]);
}

#[test]
fn every_value_says_where_it_comes_from() {
    let head = Head::new();
    head.ok(&["node", "set", "n1", "locale.timezone=Europe/Berlin"]);
    let values = head.json(&["node", "show", "n1", "--effective"]);
    let one = |key: &str| {
        let found = values.as_array().unwrap().iter().find(|value| value["key"] == key);
        let found = found.unwrap_or_else(|| panic!("{key} in {values}"));
        (found["value"].clone(), found["from"].as_str().unwrap().to_owned())
    };
    assert_eq!(one("locale.timezone"), ("Europe/Berlin".into(), "node".into()));
    assert_eq!(one("attempts"), (3.into(), "group disked".into()));
    assert_eq!(one("install.on_failure"), ("report-and-hold".into(), "default".into()));
    assert_eq!(one("address"), ("127.0.0.11".into(), "node".into()));
    assert_eq!(one("root.password_hash").0, "(hidden)");
    let table = head.ok(&["group", "show", "disked", "--effective"]);
    assert!(table.contains("locale.timezone") && !table.contains("Berlin"), "{table}");
}

#[test]
fn a_passphrase_is_shown_only_where_secrets_are_asked_for() {
    let head = Head::new();
    let said = head.run(&["group", "set", "disked", "luks_keys.data=opensesame"]);
    head.ok(&["node", "set", "n1", "luks_keys.work=opensesame"]);
    let mut shown = vec![String::from_utf8([said.stdout, said.stderr].concat()).unwrap()];
    for args in [
        &["group", "show", "disked"][..],
        &["group", "show", "disked", "--effective"],
        &["node", "show", "n1"],
        &["node", "show", "n1", "--effective"],
        &["nii", "n1"],
        &["export"],
    ] {
        shown.push(head.ok(args));
    }
    assert_eq!(shown.iter().find(|text| text.contains("opensesame")), None);
    assert!(shown[1].contains("data = \"(hidden)\""), "{}", shown[1]);
    assert!(head.ok(&["export", "--secrets"]).contains("opensesame"));
}

#[test]
fn attributes_are_text() {
    let head = furnished();
    head.ok(&["attribute", "set", "disked", "--group", "rack=7", "bmc=none"]);
    head.ok(&["attribute", "set", "n[1-2]", "bmc=10.0.0.1"]);
    let lines = head.ok(&["attribute", "list", "n[1-2]"]);
    let words: Vec<Vec<&str>> = lines.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words, [["n1", "bmc", "10.0.0.1"], ["n1", "rack", "7"], ["n2", "bmc", "10.0.0.1"]]);
    head.ok(&["attribute", "unset", "n1", "bmc"]);
    assert!(head.ok(&["nii", "n1"]).contains("\"bmc\": \"none\""));
    assert!(head.refused(&["attribute", "set", "n1", "a.b=c"]).contains("with a dot"));
}

fn edit(head: &Head, editor: &str, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_headnode"))
        .arg("--data-dir")
        .arg(head.data())
        .args(args)
        .env_remove("VISUAL")
        .env("EDITOR", editor)
        .output()
        .unwrap()
}

#[test]
fn editors_change_documents() {
    let head = Head::new();
    let done = edit(&head, "sed -i 's/^attempts = 3/attempts = 4 # more/'", &["group", "edit", "disked"]);
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success() && said.contains("+attempts = 4 # more") && !said.contains(HASH), "{said}");
    let shown = head.ok(&["group", "show", "disked", "--secrets"]);
    assert!(shown.contains("attempts = 4 # more") && shown.contains(HASH), "{shown}");
    let refused = edit(&head, "sed -i 's/ext4/ext5/'", &["group", "edit", "disked"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.contains("unknown variant `ext5`"), "{said}");
    assert!(!edit(&head, "false", &["group", "edit", "disked"]).status.success());
    assert_eq!(head.ok(&["group", "show", "disked", "--secrets"]), shown);
    let done = edit(&head, "echo 'attempts = 6' >", &["node", "edit", "n1"]);
    assert!(done.status.success());
    assert_eq!(head.status("n1")["attempts"], 6);
    let left = std::fs::read_dir(head.data().join("run")).unwrap();
    assert!(left.flatten().all(|file| !file.file_name().to_string_lossy().starts_with("edit-")));
}

#[test]
fn yaml_says_what_json_says() {
    let head = Head::new();
    for args in [&["node", "list"][..], &["node", "show", "n1"], &["nii", "n1"], &["status"]] {
        let yaml = head.ok(&[args, &["--output", "yaml"]].concat());
        let yaml: serde_json::Value = serde_yaml_ng::from_str(&yaml).unwrap();
        assert_eq!(yaml, head.json(args), "{args:?}");
    }
}

#[test]
fn the_store_goes_through_a_file_unchanged() {
    let head = furnished();
    head.furnish_package();
    head.ok(&["node", "set", "n[2-5]", "attempts=5"]);
    head.ok(&["boot", "install", "n[2-3]"]);
    head.ok(&["lock", "n[4-5]", "--reason", "in use"]);
    let text = head.ok(&["export", "--secrets"]);
    let file = head.file("store.yaml", &text);
    let other = Head::with_ports(10, 11);
    let said = String::from_utf8(other.run(&["import", "--armings", &file]).stderr).unwrap();
    assert!(said.contains("armed, so their next network boot may install them: n[2-3]\n"), "{said}");
    assert_eq!(other.ok(&["export", "--secrets"]), text);
    assert_eq!(other.state("n2"), "armed");
    assert_eq!(other.status("n2")["arming"], head.status("n2")["arming"]);
    assert_eq!(other.ok(&["script", "show", "motd"]), head.ok(&["script", "show", "motd"]));
    let said = String::from_utf8(other.run(&["import", &file]).stderr).unwrap();
    assert!(said.contains("nothing changes"), "{said}");
    // An old file arms nobody.
    let other = Head::with_ports(10, 11);
    let said = String::from_utf8(other.run(&["import", &file]).stderr).unwrap();
    assert!(said.contains("armed in the file, local here (--armings arms them): n[2-3]\n"), "{said}");
    assert_eq!((other.state("n2"), other.state("n4")), ("local".to_owned(), "unknown".to_owned()));
    assert!(other.ok(&["export"]).contains("armings: []"));
}

#[test]
fn another_machine_is_not_installed_for_the_old_one() {
    let head = furnished();
    let id = "00112233-4455-6677-8899-aabbccddeeff";
    let import = |text: &str| head.ok(&["import", &head.file("store.yaml", text)]);
    let with_ids = |head: &Head| {
        let text = head.ok(&["export", "--secrets"]);
        text.replace("  group_name: disked\n", &format!("  group_name: disked\n  uuid: {id}\n"))
    };
    let assert_other = |mac: &str| {
        let text = head.ok(&["export"]);
        assert!(text.contains(mac) && !text.contains(id) && text.contains("armings: []"), "{text}");
        assert_eq!(head.state("n1"), "local");
    };
    import(&with_ids(&head));
    head.ok(&["boot", "install", "n1"]);
    assert!(head.ok(&["export"]).contains(id));
    head.ok(&["node", "set", "n1", "--mac", "52:54:00:00:09:01"]);
    assert_other("52:54:00:00:09:01");
    import(&with_ids(&head));
    head.ok(&["boot", "install", "n1"]);
    let text = head.ok(&["export", "--secrets"]);
    assert!(text.contains(id));
    import(&text.replace("52:54:00:00:09:01", "52:54:00:00:09:02"));
    assert_other("52:54:00:00:09:02");
}

/// An editor may be open for long.
#[test]
fn what_was_changed_meanwhile_is_not_overwritten() {
    let head = furnished();
    let headnode = format!("{} --data-dir {}", env!("CARGO_BIN_EXE_headnode"), head.data().display());
    let cases = [
        "node set n2 attempts=4".to_owned(),
        // Its id may be another's now.
        format!("node rm n12 && {headnode} node add n13 --group diskless --mac 52:54:00:00:01:12"),
    ];
    for (node, meanwhile) in ["n2", "n12"].iter().zip(&cases) {
        let editor = format!("{headnode} {meanwhile} && echo 'attempts = 6' >");
        let refused = edit(&head, &editor, &["node", "edit", node]);
        let said = String::from_utf8(refused.stderr).unwrap();
        let reason = format!("the node {node} was changed meanwhile: run it again");
        assert!(refused.status.code() == Some(1) && said.contains(&reason), "{said}");
    }
    assert_eq!(head.status("n2")["attempts"], 4);
    assert_eq!(names(&head, &["n13"]), "n13");
    assert!(head.refused(&["node", "show", "n12"]).contains("there is no node"));
}

#[test]
fn an_import_is_whole_or_not_at_all() {
    let head = Head::new();
    let text = head.ok(&["export", "--secrets"]);
    let public = head.ok(&["export"]);
    assert!(!public.contains(HASH) && public.contains("(hidden)"));
    let mut number = 0;
    let mut import = |text: &str| {
        number += 1;
        head.run(&["import", &head.file(&format!("{number}.yaml"), text)])
    };
    for (bad, reason) in [
        (text.replace("type = \"disked\"", "type = \"disky\""), "unknown variant `disky`"),
        (text.replace("group_name: disked", "group_name: gone"), "a group or a network that is not there"),
        (text.replace("  mac: ", "  mack: 1\n  mac: "), "`mack` is not known there"),
        (text.replace("groups:", "grupos:"), "`grupos` is no part of a store"),
        (text.replace("camphor: 1", "camphor: 2"), "is of version 2"),
        (text.replace("name: retrying", "name: ../retrying"), "is no name for a group"),
        (text.replace("  mac: ", "  uuid: x\n  mac: "), "`x` is no machine's id"),
        (
            text.replace("hosts: []", "hosts: [{name: a b, network: lo, address: 127.0.0.9}]"),
            "is no name for a host",
        ),
        (text.replace("hosts: []", "hosts: [{name: h, network: lo, address: nowhere}]"), "column address"),
        (
            text.replace("hosts: []", "hosts: [{name: h, network: lo, address: 10.9.9.9}]"),
            "no host's address in 127",
        ),
        (
            text.replace("address: 127.0.0.11", "address: 10.9.9.9"),
            "n1: 10.9.9.9 is no host's address in 127",
        ),
        (public, "export with --secrets"),
    ] {
        let output = import(&bad);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains(reason), "{reason}: {said}");
        assert_eq!(head.ok(&["export", "--secrets"]), text, "{reason}");
    }
    let output = import(&text.replace("attempts = 3", "attempts = 9"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("attempts = 9") && !said.contains(HASH), "{said}");
    assert_eq!(head.status("n1")["attempts"], 9);
}
