//! What nodes save from their disks.

use nii::secret::Secret;
use nii::v1::SshHostKey;

use crate::head::{Head, MAC, Machine};

fn key(kind: &str, private: &str) -> SshHostKey {
    SshHostKey {
        kind: kind.into(),
        private: Secret::new(format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{private}\n")),
        public: format!("ssh-{kind} AAAA{private} n1"),
    }
}

fn installing() -> (Head, Machine) {
    let mut head = Head::new();
    head.furnish_package();
    head.ok(&["boot", "install", "n1"]);
    head.serve();
    let mut machine = Machine::new(&head);
    machine.begin(&head);
    (head, machine)
}

/// A boot after a power cut.
fn next_boot(head: &Head) -> Machine {
    let mut machine = Machine::new(head);
    machine.begin(head);
    machine
}

fn given_back(head: &Head, machine: &Machine) -> Vec<SshHostKey> {
    machine.opened_nii(head).secrets.unwrap().ssh_host_keys
}

#[test]
fn host_keys_outlive_a_power_cut_and_no_longer() {
    let (head, machine) = installing();
    let saved = [key("ed25519", "wipedAway"), key("rsa", "alsoWiped")];
    assert_eq!(given_back(&head, &machine), []);
    assert_eq!(machine.escrow(&saved), 204);
    let machine = next_boot(&head);
    assert_eq!(given_back(&head, &machine), saved);
    assert_eq!(machine.escrow(&[]), 204);
    assert_eq!(given_back(&head, &machine), saved, "an empty disk takes nothing away");
    let reversed = [saved[1].clone(), saved[0].clone()];
    assert_eq!(machine.escrow(&reversed), 204, "the same again");
    for other in [&saved[..1], &[key("ed25519", "anotherDisks"), saved[1].clone()]] {
        assert_eq!(machine.escrow(other), 409);
        assert_eq!(given_back(&head, &machine), saved, "a later attempt may see only another disk's");
    }
    assert_eq!(head.security(), ["escrow", "refused-escrow", "refused-escrow"]);
    head.ok(&["node", "set", "n1", "root.ssh_host_keys=generate"]);
    assert_eq!(given_back(&head, &machine), [], "only with `keep`");
    head.ok(&["node", "set", "n1", "--unset", "root.ssh_host_keys"]);
    head.ok(&["boot", "install", "n1"]);
    let machine = next_boot(&head);
    assert_eq!(given_back(&head, &machine), saved, "an arming that came to nothing takes nothing away");
    machine.send(vec![machine.event(1, machine.installed())]).unwrap();
    assert_eq!(machine.escrow(&saved), 403, "not after the install");
    head.ok(&["boot", "install", "n1"]);
    assert_eq!(given_back(&head, &next_boot(&head)), []);
}

/// A root in RAM takes no old system's place; a new system with keys of its own does.
#[test]
fn only_an_install_on_disk_drops_them() {
    let (head, machine) = installing();
    let saved = [key("rsa", "wipedAway")];
    assert_eq!(machine.escrow(&saved), 204);
    let steps = [
        ("diskless", "keep", "diskless-running", 1),
        ("package", "keep", "installed", 0),
        ("package", "generate", "installed", 0),
    ];
    for (group, keys, state, kept) in steps {
        head.ok(&["node", "set", "n1", "--group", group, &format!("root.ssh_host_keys={keys}")]);
        head.ok(&["boot", "install", "n1"]);
        let machine = next_boot(&head);
        machine.opened_nii(&head);
        assert_eq!(machine.escrow(&saved), 204);
        machine.send(vec![machine.event(1, machine.installed())]).unwrap();
        assert_eq!(head.state("n1"), state);
        assert_eq!(head.json(&["escrow", "list"]).as_array().unwrap().len(), kept, "{group}, {keys}");
    }
}

#[test]
fn an_admin_may_drop_it() {
    let (head, machine) = installing();
    let said = head.refused(&["escrow", "drop", "n1"]);
    assert!(said.contains("n1 has nothing in escrow"), "{said}");
    assert_eq!(machine.escrow(&[key("rsa", "tooOld")]), 204);
    let listed = head.json(&["escrow", "list"]);
    assert_eq!(listed[0].as_object().unwrap().keys().collect::<Vec<_>>(), ["kept_at", "node"]);
    assert!(!head.ok(&["escrow", "list"]).contains("tooOld"));
    head.ok(&["escrow", "drop", "n1"]);
    assert_eq!(head.json(&["escrow", "list"]), serde_json::json!([]));
    assert_eq!(head.security(), ["escrow", "escrow-dropped"]);
    let right = [key("rsa", "theRightOne")];
    assert_eq!(machine.escrow(&right), 204);
    assert_eq!(given_back(&head, &machine), right);
}

#[test]
fn nobody_else_reads_it() {
    let (head, machine) = installing();
    assert_eq!(Machine::new(&head).escrow(&[key("rsa", "x")]), 401, "no session");
    assert_eq!(machine.escrow(&[key("ed25519", "wipedAway")]), 204);
    let mut shown = head.log() + &head.ok(&["nii", "n1"]) + &head.ok(&["events", "--output", "json"]);
    shown += &head.ok(&["node", "show", "n1"]);
    assert!(shown.contains("keeps its SSH host keys until it is installed: ed25519"), "{shown}");
    assert_eq!(head.security(), ["escrow"]);
    assert!(!shown.contains("wipedAway"));
    for file in ["camphor.db", "camphor.db-wal"] {
        let bytes = std::fs::read(head.data().join(file)).unwrap();
        assert!(!bytes.windows(9).any(|window| window == b"wipedAway"), "{file}");
    }
}

#[test]
fn what_could_not_be_given_back_is_refused() {
    let (head, machine) = installing();
    assert_eq!(machine.escrow(&[key("dsa", "secretOne")]), 400);
    let answer = machine
        .post::<serde_json::Value>("/api/v1/escrow", &serde_json::json!({"ssh_host_keys": "secretTwo"}));
    assert_eq!(answer, Err(nii::session::ErrorCode::BadRequest));
    assert!(head.security().is_empty() && !head.log().contains("secret"));
}

#[test]
fn a_lost_key_stops_no_install() {
    let (mut head, machine) = installing();
    assert_eq!(machine.escrow(&[key("rsa", "x")]), 204);
    head.stop();
    std::fs::remove_file(head.data().join("keys/escrow.key")).unwrap();
    head.serve();
    let machine = next_boot(&head);
    assert_eq!(given_back(&head, &machine), []);
    head.wait_for_log("opening the host keys kept for n1: keys/escrow.key is not the one");
    let found = [key("rsa", "y")];
    assert_eq!(machine.escrow(&found), 204, "what nobody can open is in nobody's way");
    assert_eq!(given_back(&head, &machine), found);
    assert!(head.script(MAC, "pcbios").contains("attempt 3 of 3"));
}
