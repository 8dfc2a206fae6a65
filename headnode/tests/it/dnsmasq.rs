//! The real dnsmasq, in a network namespace of its own (needs root).

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::head::{Head, MAC, is_alive, kill, wait_for};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A namespace with a bridge; gone when dropped.
struct Namespace(String);

impl Namespace {
    fn new() -> Self {
        let name = format!("camphor-{}-hn{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        ip(&["netns", "add", &name]);
        let namespace = Self(name);
        for words in
            ["link set lo up", "link add br0 type bridge", "addr add 10.1.0.1/24 dev br0", "link set br0 up"]
        {
            let words: Vec<&str> = words.split(' ').collect();
            ip(&[&["-n", &namespace.0][..], &words].concat());
        }
        namespace
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.0]);
    }
}

fn ip(args: &[&str]) {
    assert!(Command::new("ip").args(args).status().unwrap().success(), "{args:?}");
}

fn started(namespace: &Namespace) -> Head {
    let mut head = head();
    head.serve_by(serve(namespace, &head));
    head
}

fn head() -> Head {
    let head = Head::with_ports(8080, 8443);
    let network = [
        "--interface",
        "br0",
        "--subnet",
        "10.1.0.0/24",
        "--address",
        "10.1.0.1",
        "--range",
        "10.1.0.100-10.1.0.200",
    ];
    head.ok(&[&["network", "add", "prov"][..], &network].concat());
    head.furnish();
    head
}

fn serve(namespace: &Namespace, head: &Head) -> Command {
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", &namespace.0, env!("CARGO_BIN_EXE_headnode"), "serve", "--data-dir"])
        .arg(head.data());
    command
}

/// The last dnsmasq that said something.
fn dnsmasq(head: &Head) -> String {
    let log = head.log();
    let pid = log.rsplit("dnsmasq-dhcp[").next().unwrap().split(']').next().unwrap();
    pid.to_owned()
}

#[test]
fn it_lives_and_dies_with_serve() {
    let namespace = Namespace::new();
    let mut head = started(&namespace);
    assert!(head.log().contains("dhcp on br0"), "{}", head.log());
    head.wait_for_log("dnsmasq-dhcp[");
    let first = dnsmasq(&head);
    kill("-KILL", first.parse().unwrap());
    head.wait_for_log("dnsmasq runs again");
    wait_for("the second one's words", || dnsmasq(&head) != first);
    let second = dnsmasq(&head);
    head.stop();
    assert!(!is_alive(&second), "SIGTERM ends both");

    let head = started(&namespace);
    head.wait_for_log("dnsmasq-dhcp[");
    let third = dnsmasq(&head);
    kill("-KILL", head.pid());
    wait_for("dnsmasq to die with serve", || !is_alive(&third));
}

/// A signal at the moment of dnsmasq's start, which dnsmasq outlives, dies of, or has not come to hear.
#[test]
fn a_serve_that_is_ended_while_it_starts_ends_well() {
    let namespace = Namespace::new();
    let head = head();
    for dnsmasq in ["exec /usr/sbin/dnsmasq \"$@\"", "exit 1", "exec sleep 300"] {
        let program = head.program("dnsmasq", &format!("#!/bin/sh\nkill -TERM $PPID\n{dnsmasq}\n"));
        let output = serve(&namespace, &head).args(["--dnsmasq", &program]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.contains("SIGTERM: ending"), "{dnsmasq}: {said}");
    }
    let output = serve(&namespace, &head).args(["--dnsmasq", "/bin/false"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("dnsmasq did not start"), "{said}");
}

#[test]
fn a_new_node_is_known_at_once() {
    let namespace = Namespace::new();
    let head = started(&namespace);
    head.ok(&["node", "add", "n1", "--group", "disked", "--mac", MAC, "--ip", "10.1.0.11"]);
    wait_for("the reservation to be read", || head.log().matches("run/hosts").count() >= 2);
    assert_eq!(
        std::fs::read_to_string(head.data().join("run/hosts")).unwrap(),
        format!("{MAC},10.1.0.11,n1\n")
    );
}

#[test]
fn a_missing_dnsmasq_is_said_at_once() {
    let head = Head::with_ports(8080, 8443);
    let network = ["--interface", "lo", "--subnet", "127.0.0.0/8", "--address", "127.0.0.77"];
    head.ok(&[&["network", "add", "prov"][..], &network].concat());
    let said = head.refused(&["serve", "--dnsmasq", "/nowhere/dnsmasq"]);
    assert!(said.contains("there is no /nowhere/dnsmasq: install it"), "{said}");
}
