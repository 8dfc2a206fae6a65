//! Boot scripts by state and firmware; attempts.

use nii::event::Body;
use nii::session::{ErrorCode, TokenAnswer, TokenRequest};

use crate::head::{Head, MAC, Machine, token_url};

/// A data folder whose scripts are the same each time.
fn fixed() -> Head {
    let head = Head::with_ports(8080, 8443);
    let network = ["--interface", "eth1", "--subnet", "10.1.0.0/24", "--address", "10.1.0.1"];
    head.ok(&[&["network", "add", "prov"][..], &network].concat());
    head.furnish();
    head.ok(&["node", "add", "n1", "--group", "disked", "--mac", MAC, "--ip", "10.1.0.11"]);
    head
}

#[test]
fn scripts_by_state_and_firmware() {
    let head = fixed();
    std::fs::create_dir_all(head.data().join("run/tftp")).unwrap();
    std::fs::write(head.data().join("run/tftp/localboot.efi"), "made by serve").unwrap();
    let show = |platform: &str| head.ok(&["boot", "show", "n1", "--platform", platform]);
    insta::assert_snapshot!("unknown", show("pcbios"));
    head.ok(&["boot", "install", "n1"]);
    insta::assert_snapshot!("armed_pcbios", show("pcbios"));
    insta::assert_snapshot!("armed_efi", show("efi"));
    head.sql("UPDATE nodes SET state = 'installing'");
    assert_eq!(show("pcbios"), head.ok(&["boot", "show", "n1"]));
    assert!(show("efi").contains(" initrd=initrd.img initrd=token "));
    head.sql("UPDATE nodes SET state = 'failed'");
    insta::assert_snapshot!("failed", show("efi"));
    head.sql("UPDATE nodes SET state = 'parked'");
    insta::assert_snapshot!("parked", show("pcbios"));
    head.sql("UPDATE nodes SET state = 'discovered'");
    assert!(show("pcbios").contains("n1 is not armed"));
    head.ok(&["boot", "local", "n1"]);
    insta::assert_snapshot!("local_pcbios", show("pcbios"));
    insta::assert_snapshot!("local_efi", show("efi"));
    std::fs::remove_file(head.data().join("run/tftp/localboot.efi")).unwrap();
    insta::assert_snapshot!("local_efi_without_grub", show("efi"));
    head.sql("UPDATE nodes SET state = 'installed'");
    assert!(show("pcbios").contains("sanboot"));
    head.ok(&["node", "set", "n1", "--group", "diskless"]);
    head.sql("UPDATE nodes SET state = 'diskless-running'");
    assert!(show("pcbios").contains("attempt 1 of 3"));
}

#[test]
fn trust_a_uki_comes_alone_and_its_node_asks_for_the_token() {
    let mut head = Head::new();
    head.ok(&["group", "set", "disked", "uki=true"]);
    head.serve();
    let mut machine = Machine::new(&head);
    let ask = |machine: &Machine| {
        let request = TokenRequest { mac: machine.mac.clone(), uuid: machine.id };
        machine.post::<TokenAnswer>("/api/v1/token", &request).map(|answer| answer.token)
    };
    assert_eq!(ask(&machine), Err(ErrorCode::NotArmed));
    head.ok(&["boot", "install", "n1"]);
    let script = machine.script(&head);
    let beside = ["initrd", "token", "camphor.head", "BOOTIF"];
    assert!(script.contains("\nkernel ") && !beside.iter().any(|word| script.contains(word)), "{script}");
    assert_eq!(ask(&Machine::at(&head, "127.0.0.9", 2)), Err(ErrorCode::Unauthorized));
    let token = ask(&machine).unwrap();
    assert_eq!(ask(&machine), Ok(token.clone()), "a lost answer may be asked for again");
    machine.session = Some(machine.ask(&machine.request(token.expose())).unwrap());
    machine.nii("n").unwrap();
    assert_eq!(head.security(), ["foreign-token-request"]);
    assert_eq!(head.status("n1")["tries"], 1, "script and token are one attempt");
}

#[test]
fn strangers_are_seen_and_told() {
    let mut head = Head::new();
    head.serve();
    let stranger = "52-54-00-AA-BB-CC";
    let script = head.script(stranger, "efi");
    assert!(
        script.starts_with("#!ipxe\n") && script.contains("52:54:00:aa:bb:cc: this machine is no node yet"),
        "{script}"
    );
    let seen = head.json(&["status"]);
    let seen = seen.as_array().unwrap().iter().find(|row| row["node"].is_null()).unwrap();
    assert_eq!(
        (seen["mac"].as_str(), seen["state"].as_str()),
        (Some("52:54:00:aa:bb:cc"), Some("discovered"))
    );
    assert!(
        head.get("/boot/script").text().unwrap().contains("chain --replace --autofree /boot/script?mac=")
    );
    head.ok(&["node", "add", "n2", "--group", "disked", "--mac", stranger]);
    assert_eq!(
        head.json(&["status"]).as_array().unwrap().len(),
        2,
        "it is a node now, and nobody else is there"
    );
    assert_eq!((head.state("n1"), head.state("n2")), ("unknown".to_owned(), "discovered".to_owned()));
    head.script(MAC, "efi");
    assert_eq!(head.state("n1"), "discovered");
}

#[test]
fn a_boot_that_has_not_begun_is_the_same_attempt() {
    let mut head = Head::new();
    head.ok(&["boot", "install", "n1"]);
    head.serve();
    let first = token_url(&head.script(MAC, "pcbios"));
    assert_eq!(first, token_url(&head.script(MAC, "efi")));
    let mut machine = Machine::new(&head);
    machine.begin(&head);
    let second = head.script(MAC, "pcbios");
    assert!(second.contains("attempt 2 of 3"), "a boot while installing is a new attempt");
    assert_ne!(first, token_url(&second));
    assert_eq!(
        machine.nii("n").unwrap_err(),
        ErrorCode::Unauthorized,
        "and ends the session of the one before"
    );
    assert_eq!(head.state("n1"), "installing");
}

#[test]
fn attempts_end() {
    let mut head = Head::new();
    head.ok(&["boot", "install", "n1"]);
    head.serve();
    for _ in 0..3 {
        Machine::new(&head).begin(&head);
    }
    let script = head.script(MAC, "pcbios");
    assert!(script.contains("n1 is parked") && !script.contains("kernel"), "{script}");
    assert_eq!(head.state("n1"), "parked");
    assert!(head.script(MAC, "pcbios").contains("n1 is parked"));
    head.ok(&["boot", "install", "n1"]);
    assert!(head.script(MAC, "pcbios").contains("attempt 1 of 3"));
}

#[test]
fn who_came_to_its_commit_gets_one_more_boot() {
    let mut head = Head::new();
    head.ok(&["boot", "install", "n1"]);
    head.serve();
    let mut machine = Machine::new(&head);
    let boot = |machine: &mut Machine, steps: &[&str]| {
        machine.boot_id = uuid::Uuid::new_v4();
        machine.begin(&head);
        machine.nii("n").unwrap();
        for (seq, step) in (1..).zip(steps) {
            let body = Body::StepStarted { step: (*step).into(), number: 1, of: 9, deadline_s: 60 };
            machine.send(vec![machine.event(seq, body)]).unwrap();
        }
    };
    boot(&mut machine, &["commit"]);
    boot(&mut machine, &[]);
    boot(&mut machine, &["bootloader", "commit", "report"]);
    let script = machine.script(&head);
    assert!(
        script.contains("n1 used up its 3 attempts, but came to its commit") && script.contains("kernel")
    );
    head.sql("UPDATE attempts SET minted_at = minted_at - 31 * 60 * 1000 WHERE begun_at IS NULL");
    assert!(machine.script(&head).contains("n1 is parked"), "one, not more");

    head.ok(&["boot", "install", "n1"]);
    for steps in [&[][..], &["commit"], &["bootloader"]] {
        boot(&mut machine, steps);
    }
    assert!(machine.script(&head).contains("n1 is parked"), "the last that began counts");

    head.ok(&["boot", "install", "n1"]);
    for _ in 0..4 {
        boot(&mut machine, &["commit"]);
    }
    machine.send(vec![machine.event(9, machine.installed())]).unwrap();
    assert_eq!(head.state("n1"), "installed", "what the boot is for");
}

#[test]
fn a_script_comes_even_when_the_group_is_broken() {
    let mut head = Head::new();
    head.ok(&["boot", "install", "n1"]);
    head.serve();
    head.sql("UPDATE groups SET document = 'broken = '");
    let script = head.script(MAC, "pcbios");
    assert!(script.starts_with("#!ipxe\n") && script.contains("asking again"), "{script}");
    head.wait_for_log("group disked:1:10: ");
    assert_eq!(head.state("n1"), "armed", "and status shows what there is");
    for sql in ["UPDATE nodes SET state = 'installed'", "UPDATE nodes SET state = 'local'"] {
        head.sql(sql);
        let script = head.script(MAC, "pcbios");
        assert!(script.contains("n1 boots its local disk"), "{script}");
        assert_eq!(script, head.ok(&["boot", "show", "n1"]));
    }
}
