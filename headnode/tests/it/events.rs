//! Events: once each, and what they change.

use nii::event::{Body, Failure};
use nii::session::ErrorCode;
use serde_json::json;

use crate::head::{DISKED, Head, MAC, Machine};

fn installing(group: &str) -> (Head, Machine) {
    let mut head = Head::new();
    head.ok(&["node", "set", "n1", "--group", group]);
    head.ok(&["boot", "install", "n1"]);
    head.serve();
    let mut machine = Machine::new(&head);
    machine.begin(&head);
    (head, machine)
}

fn started(step: &str, number: u32) -> Body {
    Body::StepStarted { step: step.into(), number, of: 5, deadline_s: 60 }
}

fn progress(done: u64) -> Body {
    Body::Progress { step: "unpack".into(), done, total: 100 }
}

fn failed() -> Body {
    Body::Failed(Failure {
        step: "unpack".into(),
        op: Some("Unpack tiny onto /".into()),
        cause: vec!["unpacking".into(), "no space left on device".into()],
        hint: None,
        log_tail: vec!["\u{1b}[2J a hostile line".into()],
    })
}

#[test]
fn each_event_arrives_once() {
    let (head, machine) = installing("disked");
    let one = machine.event(1, started("partition", 1));
    let two = machine.event(2, Body::StepFinished { step: "partition".into(), ms: 310 });
    assert_eq!(machine.send(vec![one.clone()]), Ok(1));
    assert_eq!(machine.send(vec![one.clone(), two.clone()]), Ok(2), "a lost answer brings old ones again");
    assert_eq!(machine.send(Vec::new()), Ok(2));
    let lines = head.json(&["events", "n1"]);
    let kinds: Vec<&str> =
        lines.as_array().unwrap().iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["state", "state", "step-started", "step-finished"], "{lines}");
    let last = lines.as_array().unwrap().last().unwrap();
    assert_eq!(last["body"], json!({"event": "step-finished", "step": "partition", "ms": 310}));
    assert_eq!((last["seq"].as_u64(), last["mono_ms"].as_u64()), (Some(2), Some(2000)));
    let mut foreign = two;
    foreign.boot_id = uuid::Uuid::new_v4();
    assert_eq!(machine.send(vec![foreign]), Err(ErrorCode::BadRequest), "a session speaks for its boot only");
}

#[test]
fn status_shows_step_progress_and_loss() {
    let (head, machine) = installing("disked");
    let events = vec![
        machine.event(1, started("unpack", 4)),
        machine.event(2, progress(10)),
        machine.event(9, progress(40)),
    ];
    assert_eq!(machine.send(events), Ok(9), "dropped progress leaves gaps");
    let status = head.status("n1");
    assert_eq!(status["step"], json!({"name": "unpack", "number": 4, "of": 5}));
    assert_eq!(status["progress"], json!({"done": 40, "total": 100}));
    assert_eq!((status["lost"].as_bool(), status["tries"].as_u64()), (Some(false), Some(1)));
    let lines = head.json(&["events", "n1"]);
    let kept = lines.as_array().unwrap().iter().filter(|line| line["kind"] == "progress").count();
    assert_eq!(kept, 1, "of progress only the last is kept");
    head.sql("UPDATE attempts SET report = json_set(report, '$.due', 1)");
    assert_eq!(head.status("n1")["lost"], true);
    assert!(head.ok(&["status"]).contains("lost at step 4 (unpack)"));
    assert_eq!(machine.send(vec![machine.event(10, progress(50))]), Ok(10));
    assert_eq!(head.status("n1")["lost"], false, "it was only slow");
}

#[test]
fn a_failed_node_waits_for_its_admin() {
    let (head, machine) = installing("disked");
    assert_eq!(machine.send(vec![machine.event(1, failed())]), Ok(1));
    let status = head.status("n1");
    assert_eq!(
        (status["state"].as_str(), status["error"].as_str()),
        (Some("failed"), Some("unpacking: no space left on device"))
    );
    head.wait_for_log("n1: unpack failed: unpacking: no space left on device");
    assert!(!head.ok(&["events", "n1"]).contains('\u{1b}'));
    let script = head.script(MAC, "pcbios");
    assert!(script.contains("n1 failed") && !script.contains("kernel"), "{script}");
    head.ok(&["boot", "install", "n1"]);
    assert!(head.script(MAC, "pcbios").contains("attempt 1 of 3"));
    assert_eq!(
        machine.send(Vec::new()),
        Err(ErrorCode::Unauthorized),
        "arming ends the sessions of the one before"
    );
}

#[test]
fn a_failed_node_tries_again_where_its_group_says_so() {
    let (head, machine) = installing("retrying");
    machine.send(vec![machine.event(1, failed())]).unwrap();
    assert_eq!(head.state("n1"), "failed");
    assert!(head.script(MAC, "pcbios").contains("attempt 2 of 3"));
}

#[test]
fn a_diskless_node_is_armed_at_every_boot() {
    let (head, mut machine) = installing("diskless");
    for boot in 0..5 {
        machine.nii("n").unwrap();
        machine.send(vec![machine.event(1, machine.installed())]).unwrap();
        assert_eq!(head.state("n1"), "diskless-running", "boot {boot}");
        machine.boot_id = uuid::Uuid::new_v4();
        machine.begin(&head);
        assert_eq!(head.status("n1")["tries"], 1, "what went well does not count");
    }
}

#[test]
fn only_the_own_arming_can_be_reported_as_done() {
    let (head, machine) = installing("disked");
    let other = Body::Installed { arming: uuid::Uuid::new_v4(), peak_kib: 1, image_bytes: 1 };
    machine.nii("n").unwrap();
    machine.send(vec![machine.event(1, other)]).unwrap();
    assert_eq!(head.state("n1"), "installing");
}

#[test]
fn nobody_is_done_without_its_nii() {
    let (head, machine) = installing("disked");
    assert_eq!(machine.send(vec![machine.event(1, machine.installed())]), Ok(1));
    assert_eq!(head.state("n1"), "installing");
}

#[test]
fn a_report_means_what_the_released_nii_says() {
    let (head, machine) = installing("diskless");
    machine.nii("n").unwrap();
    head.ok(&["node", "set", "n1", "--group", "disked"]);
    head.sql("UPDATE groups SET document = 'broken = '");
    assert_eq!(machine.send(vec![machine.event(1, started("format", 2))]), Ok(1));
    assert_eq!(machine.send(vec![machine.event(2, machine.installed())]), Ok(2));
    assert_eq!(head.state("n1"), "diskless-running");
}

#[test]
fn a_batch_may_fill_a_spool_and_not_more() {
    let (head, machine) = installing("disked");
    let warning = |bytes: usize| Body::Warning { message: "x".repeat(bytes) };
    assert_eq!(machine.send(vec![machine.event(1, warning(1 << 20))]), Ok(1));
    assert_eq!(machine.send(vec![machine.event(2, warning(3 << 20))]), Err(ErrorCode::BadRequest));
    drop(head);
}

/// `plan`: what the node would do to the disks that it reported.
#[test]
fn a_plan_from_the_last_facts() {
    let (head, machine) = installing("disked");
    assert!(head.refused(&["plan", "n1"]).contains("n1 never reported its facts"));
    let mut facts: serde_json::Value =
        serde_json::from_str(include_str!("../../../imageinit/fixtures/facts.json")).unwrap();
    let old =
        json!({"partition": null, "kind": "ext4", "label": "precious", "size": 8 << 20, "used": 3 << 20});
    facts["disks"][0]["contents"] = json!([old]);
    let report = |seq, facts: &serde_json::Value| {
        machine.send(vec![machine.event(seq, Body::Facts { facts: facts.clone() })]).unwrap();
    };
    report(1, &json!({"an older": "version"}));
    report(2, &facts);
    let refused = head.run(&["plan", "n1"]);
    let shown = String::from_utf8(refused.stdout).unwrap();
    assert!(shown.contains("disk system: /dev/vda (8.0 GiB, model QEMU HARDDISK, serial S-vda)"), "{shown}");
    assert!(shown.contains("ext4 `precious`, 3 MiB in use"), "{shown}");
    assert!(shown.contains("the image has no kernel"), "{shown}");
    assert_eq!(refused.status.code(), Some(1));

    let vault = DISKED.replace(
        "{ label = \"root\"",
        "{ label = \"data\", type = \"luks\", size_mib = 64 }, { label = \"root\"",
    );
    let vault = vault.replace(
        "[[storage.filesystems]]",
        "[[storage.luks]]\nname = \"vault\"\ndevice = \"data\"\n[luks_keys]\nvault = \"opensesame\"\n[[storage.filesystems]]",
    );
    head.ok(&["group", "add", "vault", "--file", &head.file("vault.toml", &vault)]);
    head.ok(&["node", "set", "n1", "--group", "vault"]);
    let shown = String::from_utf8(head.run(&["plan", "n1"]).stdout).unwrap();
    assert!(shown.contains("vault"), "{shown}");
    assert!(!shown.contains("passphrase") && !shown.contains("opensesame"), "{shown}");

    head.furnish_package();
    let plan = head.json(&["plan", "n1"]);
    assert_eq!(plan["findings"], json!([]), "{plan}");
    assert_eq!(plan["summary"]["disks"][0]["made"][1]["what"], "xfs on /");
    facts["disks"][0]["size"] = json!(2 << 20);
    report(3, &facts);
    assert!(head.refused(&["plan", "n1"]).contains("would refuse"));
}

/// A node that was taken over has a session, and may not fill the head node's disk with it.
#[test]
fn trust_a_boot_reports_so_much() {
    let (head, mut machine) = installing("disked");
    let message = "x".repeat(1 << 20);
    let warn = |machine: &Machine, number: u64| {
        let body = Body::Warning { message: message.clone() };
        machine.send(vec![machine.event(number, body)])
    };
    let taken = (1..9).take_while(|number| warn(&machine, *number).is_ok()).count();
    assert_eq!(taken, 4);
    assert_eq!(warn(&machine, 9), Err(ErrorCode::Conflict));
    assert_eq!(head.security(), ["too-many-events"; 2]);
    machine.boot_id = uuid::Uuid::new_v4();
    machine.begin(&head);
    assert_eq!(warn(&machine, 1), Ok(1), "another boot is heard");

    // And so on, boot after boot.
    let kept = || {
        head.json(&["events", "n1"])
            .as_array()
            .unwrap()
            .iter()
            .filter(|line| line["kind"] == "warning")
            .count()
    };
    for _ in 0..4 {
        head.ok(&["boot", "install", "n1"]);
        machine.boot_id = uuid::Uuid::new_v4();
        machine.begin(&head);
        assert_eq!((1..5).filter(|number| warn(&machine, *number).is_ok()).count(), 4);
    }
    assert_eq!(kept(), 11 + 4, "old ones go when a boot begins");
}
