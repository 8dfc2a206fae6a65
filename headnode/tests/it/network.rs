//! Networks: what changes them, and what of that is refused. And several of them at once, with relays (needs root).

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::head::{Head, MAC, wait_for};
use crate::lab::{Lab, ip, mac};

const PROV: &[&str] = &["--interface", "br0", "--subnet", "10.1.0.0/24", "--address", "10.1.0.1"];

fn added() -> Head {
    let head = Head::with_ports(8080, 8443);
    head.ok(&[&["network", "add", "prov"][..], PROV].concat());
    head.furnish();
    head.ok(&["node", "add", "n1", "--group", "disked", "--mac", MAC, "--ip", "10.1.0.11"]);
    head
}

fn show(head: &Head) -> serde_json::Value {
    head.json(&["network", "show", "prov"])
}

#[test]
fn a_network_is_changed_with_its_difference_shown() {
    let head = added();
    let output =
        head.run(&["network", "set", "prov", "--range", "10.1.0.100-10.1.0.200", "--domain", "c.example"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("network prov:\n"), "{said}");
    assert!(
        said.contains("+range = \"10.1.0.100-10.1.0.200\"") && said.contains("+domain = \"c.example\""),
        "{said}"
    );
    assert_eq!(
        (show(&head)["range"].as_str(), show(&head)["domain"].as_str()),
        (Some("10.1.0.100-10.1.0.200"), Some("c.example"))
    );
    head.ok(&["network", "unset", "prov", "range", "domain"]);
    assert!(show(&head)["range"].is_null() && show(&head)["domain"].is_null());
    let again = head.run(&["network", "set", "prov", "--interface", "br0"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("nothing changes"));
}

#[test]
fn an_editor_changes_a_network() {
    let head = added();
    let edit = |script: &str| {
        let editor = head.file("editor", &format!("#!/bin/sh\n{script} \"$1\"\n"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_headnode"));
        command.arg("--data-dir").arg(head.data()).args(["network", "edit", "prov"]);
        command.env("VISUAL", format!("sh {editor}")).stdin(Stdio::null());
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    assert!(edit("sed -i s/managed/external/").0);
    assert_eq!(show(&head)["dhcp"], "external");
    let (done, said) = edit("sed -i s/interface/interfaze/");
    assert!(!done && said.contains("interfaze"), "{said}");
    let (done, said) = edit("sed -i s,10.1.0.0/24,10.1.0.1/24,");
    assert!(!done && said.contains("has host bits set"), "{said}");
    assert_eq!(show(&head)["subnet"], "10.1.0.0/24");
}

#[test]
fn nobody_is_stranded() {
    let head = added();
    head.ok(&["node", "add", "n2", "--group", "disked", "--mac", "52:54:00:00:00:02", "--ip", "10.1.0.12"]);
    head.ok(&["node", "add", "n3", "--group", "disked", "--mac", "52:54:00:00:00:03"]);
    head.ok(&["host", "add", "switch", "--ip", "10.1.0.250"]);
    let elsewhere = ["network", "set", "prov", "--subnet", "10.5.0.0/24", "--address", "10.5.0.1"];
    let said = head.refused(&elsewhere);
    assert!(said.contains("n[1-2],switch of the network prov") || said.contains("switch"), "{said}");
    assert!(said.contains("10.5.0.0/24") && !said.contains("n3"), "{said}");
    let said = head.refused(&["network", "set", "prov", "--subnet", "10.1.0.0/25"]);
    assert!(said.contains("switch of the network prov") && !said.contains("n1"), "{said}");
    let said = head.refused(&["network", "set", "prov", "--address", "10.1.0.11"]);
    assert!(said.contains("n1 of the network prov"), "{said}");
    assert_eq!(show(&head)["subnet"], "10.1.0.0/24");
    for (args, why) in [
        (&["--gateway", "10.9.0.1"][..], "is no host's address"),
        (&["--range", "10.1.0.1-10.1.0.9"], "contains the head node's"),
        (&["--address", "10.9.0.1"], "needs --gateway IP and --mac-proof none"),
    ] {
        let said = head.refused(&[&["network", "set", "prov"], args].concat());
        assert!(said.contains(why), "{said}");
    }
    let other = ["network", "add", "other", "--interface", "br1", "--subnet", "10.1.0.128/25", "--address"];
    let said = head.refused(&[&other[..], &["10.1.0.129"]].concat());
    assert!(said.contains("overlaps 10.1.0.0/24 of the network prov"), "{said}");
}

#[test]
fn plugins_are_told_of_networks() {
    let head = added();
    let log = head.path("told");
    let plugin = head.data().join("plugins.d/50-log");
    fs::create_dir_all(plugin.parent().unwrap()).unwrap();
    let script = format!(
        "#!/bin/sh\ncat > {0}.json\necho \"$1\" >> {0}\n[ \"$1\" = finished ] || cp {0}.json {0}.input\n",
        log.display()
    );
    fs::write(&plugin, script).unwrap();
    assert!(Command::new("chmod").arg("755").arg(&plugin).status().unwrap().success());
    let told = || -> serde_json::Value {
        assert_eq!(fs::read_to_string(&log).unwrap_or_default(), "updated\nfinished\n");
        fs::remove_file(&log).unwrap();
        serde_json::from_slice(&fs::read(log.with_extension("input")).unwrap()).unwrap()
    };
    head.ok(&["network", "set", "prov", "--domain", "c.example"]);
    let input = told();
    assert_eq!(input["changed"][0]["names"][0], "n1.c.example", "{input}");
    head.ok(&[
        "network",
        "add",
        "b",
        "--interface",
        "br1",
        "--subnet",
        "10.2.0.0/24",
        "--address",
        "10.2.0.1",
    ]);
    let input = told();
    assert_eq!(input["networks"][0]["name"], "b");
    assert!(input["changed"].as_array().unwrap().is_empty());
    head.ok(&["network", "rm", "b"]);
    assert_eq!(told()["networks"].as_array().unwrap().len(), 1);
}

/// A process that ends with the test.
struct Guest(Child);

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A namespace beside those of the lab.
struct Router(String);

impl Drop for Router {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// What a machine's iPXE is given: its address and boot file.
fn lease(lab: &Lab, head: &Head, interface: &str) -> (String, String) {
    let said = head.path(&format!("lease-{interface}"));
    let _ = fs::remove_file(&said);
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = bound ] && echo \"$ip $boot_file$bootfile\" > {}\nexit 0\n",
        said.display()
    );
    let script = head.program(&format!("bound-{interface}"), &text);
    let mut command = lab.inside(&lab.machines, "busybox");
    command.args(["udhcpc", "-f", "-q", "-n", "-i", interface, "-s", &script, "-t", "15", "-T", "1"]);
    // iPXE's user class and architecture.
    command.args(["-O", "bootfile", "-x", "0x4d:69505845", "-x", "0x5d:0007"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().unwrap().success(), "{}", head.log());
    let said = fs::read_to_string(said).unwrap();
    let (address, file) = said.trim().split_once(' ').unwrap();
    (address.to_owned(), file.to_owned())
}

fn dnsmasq(head: &Head) -> String {
    head.log().rsplit("dnsmasq-dhcp[").next().unwrap().split(']').next().unwrap().to_owned()
}

#[test]
fn machines_behind_a_relay_boot() {
    let lab = Lab::new(1);
    let head = &mut Head::with_ports(8080, 8443);
    head.ok(&[&["network", "add", "prov"][..], PROV].concat());
    let far =
        ["--interface", "br0", "--subnet", "10.9.0.0/24", "--address", "10.1.0.1", "--gateway", "10.9.0.254"];
    head.ok(&[&["network", "add", "far"][..], &far, &["--mac-proof", "none"]].concat());
    head.furnish();
    let far_mac = "52:54:00:bb:00:01";
    head.ok(&["node", "add", "f1", "--group", "disked", "--mac", far_mac, "--ip", "10.9.0.11"]);
    assert_eq!(head.json(&["node", "show", "f1"])["network"], "far");

    let router = Router(lab.head.replace("-h", "-r"));
    ip(&format!("netns add {}\n", router.0), &[]);
    let r0 = format!("link add v9 type veth peer name r0 netns {}\nlink set v9 master br0 up\n", router.0);
    ip(&format!("{r0}route add 10.9.0.0/24 via 10.1.0.254\n"), &["-n", &lab.head]);
    let peer = format!("peer name far1 address {far_mac} netns {}", lab.machines);
    ip(
        &format!(
            "link set lo up\nlink add r1 type veth {peer}\naddr add 10.1.0.254/24 dev r0\n\
             addr add 10.9.0.254/24 dev r1\nlink set r0 up\nlink set r1 up\n"
        ),
        &["-n", &router.0],
    );
    ip("link set far1 up\n", &["-n", &lab.machines]);
    let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
    assert!(lab.inside(&router.0, "sh").args(["-c", forward]).status().unwrap().success());

    head.serve_by(lab.headnode(head, &["serve"]));
    let mut relay = lab.inside(&router.0, "dnsmasq");
    relay.args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--pid-file="]);
    relay.args(["--dhcp-relay=10.9.0.254,10.1.0.1", "--log-facility=-"]);
    let _relay = Guest(relay.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let (address, file) = lease(&lab, head, "far1");
    assert_eq!(address, "10.9.0.11", "{}", head.log());
    assert!(file.starts_with("http://10.1.0.1:8080/boot/script?mac="), "{file}");
    // By its gateway it reaches what it was told.
    ip("addr add 10.9.0.11/24 dev far1\nroute add default via 10.9.0.254\n", &["-n", &lab.machines]);
    let url =
        format!("http://10.1.0.1:8080/boot/script?mac={}&platform=efi&uuid=x", far_mac.replace(':', "-"));
    let fetched = lab.inside(&lab.machines, "curl").args(["-sS", "--max-time", "20", &url]).output().unwrap();
    let script = String::from_utf8(fetched.stdout).unwrap();
    assert!(script.starts_with("#!ipxe") && script.contains("f1"), "{script}");
    // The near ones are served as ever.
    assert!(lab.headnode(head, &["doctor"]).status().unwrap().success());
    head.stop();
}

#[test]
fn what_is_new_on_one_network_is_nothing_to_another() {
    let lab = Lab::new(1);
    let head = &mut Head::with_ports(8080, 8443);
    let peer = format!("peer name b1 address {} netns {}", mac(99), lab.machines);
    ip(
        &format!("link add br1 type veth {peer}\naddr add 10.2.0.1/24 dev br1\nlink set br1 up\n"),
        &["-n", &lab.head],
    );
    ip("link set b1 up\n", &["-n", &lab.machines]);
    head.ok(&[&["network", "add", "a"][..], PROV, &["--range", "10.1.0.100-10.1.0.200"]].concat());
    head.ok(&[
        "network",
        "add",
        "b",
        "--interface",
        "br1",
        "--subnet",
        "10.2.0.0/24",
        "--address",
        "10.2.0.1",
    ]);
    head.furnish();
    head.serve_by(lab.headnode(head, &["serve"]));
    let (first, file) = lease(&lab, head, "m1");
    assert!(
        first.starts_with("10.1.0.1") && file.starts_with("http://10.1.0.1:8080/boot/script?"),
        "{first} {file}"
    );
    let leases = || fs::read_to_string(head.data().join("run/leases")).unwrap();
    let held = leases().lines().find(|line| line.contains(&first)).unwrap().to_owned();
    let pid = dnsmasq(head);

    let before = head.log().matches("run/hosts").count();
    head.ok(&[
        "node",
        "add",
        "b7",
        "--group",
        "disked",
        "--network",
        "b",
        "--mac",
        &mac(99),
        "--ip",
        "10.2.0.77",
    ]);
    wait_for("the reservation", || head.log().matches("run/hosts").count() > before);
    let (address, file) = lease(&lab, head, "b1");
    assert_eq!(address, "10.2.0.77");
    assert!(file.starts_with("http://10.2.0.1:8080/boot/script?"), "{file}");
    assert_eq!(dnsmasq(head), pid, "it was not started anew");
    assert!(leases().lines().any(|line| line == held), "{held} is in {}", leases());
    head.stop();
}
