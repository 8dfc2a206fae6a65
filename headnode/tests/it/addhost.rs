//! addhost with real DHCP clients (needs root).

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::process::Stdio;

use serde_json::Value;

use crate::head::{DISKED, Head, kill, wait_for};
use crate::lab::{Addhost, Lab, ip, mac};

pub const MACHINES: usize = 50;

/// A head node on `br0` with the group `compute`.
pub fn furnished(dhcp: &str) -> Head {
    let head = Head::with_ports(8080, 8443);
    let network = ["--interface", "br0", "--subnet", "10.1.0.0/24", "--address", "10.1.0.1"];
    let more = ["--range", "10.1.0.100-10.1.0.200", "--dhcp", dhcp];
    head.ok(&[&["network", "add", "prov"][..], &network, &more].concat());
    head.furnish();
    let text =
        format!("{DISKED}\n[addhost]\nnames = \"compute-#RR-#NN\"\naddresses = \"10.1.0.11-10.1.0.99\"\n");
    head.ok(&["group", "add", "compute", "--file", &head.file("compute.toml", &text)]);
    head
}

/// MAC → name and address.
pub type Nodes = BTreeMap<String, (String, String)>;

pub fn nodes(head: &Head) -> Nodes {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let list = head.json(&["node", "list"]);
    let node = |node: &Value| (text(&node["mac"]), (text(&node["name"]), text(&node["address"])));
    list.as_array().unwrap().iter().map(node).collect()
}

/// What was acknowledged.
pub fn added(said: &[String]) -> Nodes {
    let words = |line: &String| -> Option<(String, (String, String))> {
        let [name, mac, address] = line.strip_prefix("added ")?.split(' ').collect::<Vec<_>>()[..] else {
            return None;
        };
        Some((mac.into(), (name.into(), address.into())))
    };
    said.iter().filter_map(words).collect()
}

/// Every machine once, with the lowest names and addresses, in whatever order.
pub fn assert_complete(nodes: &Nodes) {
    let macs: BTreeSet<String> = nodes.keys().cloned().collect();
    assert_eq!(macs, (1..=MACHINES).map(mac).collect());
    let names: BTreeSet<&str> = nodes.values().map(|(name, _)| name.as_str()).collect();
    let expected: Vec<String> = (0..MACHINES).map(|rank| format!("compute-00-{rank:02}")).collect();
    assert_eq!(names, expected.iter().map(String::as_str).collect());
    let addresses: BTreeSet<Ipv4Addr> = nodes.values().map(|(_, address)| address.parse().unwrap()).collect();
    assert_eq!(addresses, (11..).take(MACHINES).map(|host| Ipv4Addr::new(10, 1, 0, host)).collect());
}

/// Beside a real dnsmasq, which gives all of them leases; plugins hear of each once.
#[test]
fn addhost_finds_fifty_machines_in_one_go() {
    let mut lab = Lab::new(MACHINES);
    let mut head = furnished("managed");
    head.serve_by(lab.headnode(&head, &["serve"]));
    let heard = head.path("heard");
    plugin(&head, &format!("#!/bin/sh\n{{ echo \"$1\"; cat; echo; }} >> {}\n", heard.display()));
    let mut addhost = Addhost::start(&lab, &head, &["--group", "compute", "--batch", "--count", "50"]);
    addhost.wait_for("listening on br0");
    (1..=MACHINES).for_each(|machine| lab.switch_on(machine));
    let said = addhost.ended();
    assert!(said.contains(&"finished: 50 nodes added".to_owned()), "{said:#?}");
    let about = "heard 52:54:00:aa:00:01 (UEFI x86-64, PXEClient, 00000000-0000-0000-0000-000000000001)";
    assert!(said.iter().any(|line| line == about), "{said:#?}");
    let nodes = nodes(&head);
    assert_eq!(nodes, added(&said));
    assert_complete(&nodes);
    let states = head.json(&["status"]);
    assert!(
        states
            .as_array()
            .unwrap()
            .iter()
            .filter(|node| node["node"] != Value::Null)
            .all(|node| node["state"] == "armed")
    );
    let heard = std::fs::read_to_string(heard).unwrap();
    let changed = changed(&heard, "added");
    assert_eq!(changed.len(), MACHINES, "each once");
    assert_eq!(
        changed.into_iter().collect::<BTreeSet<String>>(),
        nodes.values().map(|(name, _)| name.clone()).collect()
    );
    assert_eq!(heard.lines().filter(|line| *line == "finished").count(), 1, "{heard}");
    wait_for("dnsmasq's reservations", || {
        std::fs::read_to_string(head.data().join("run/hosts")).unwrap().lines().count() == MACHINES
    });
}

/// The nodes that calls with a verb were about.
fn changed(heard: &str, verb: &str) -> Vec<String> {
    let lines: Vec<&str> = heard.lines().collect();
    let inputs =
        lines.windows(2).filter(|pair| pair[0] == verb).map(|pair| serde_json::from_str(pair[1]).unwrap());
    let names = |input: Value| -> Vec<String> {
        let nodes = input["changed"].as_array().unwrap();
        nodes.iter().map(|node| node["name"].as_str().unwrap().to_owned()).collect()
    };
    inputs.flat_map(names).collect()
}

pub fn plugin(head: &Head, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = head.data().join("plugins.d");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("10-hear");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn addhost_asks_about_each_machine() {
    let mut lab = Lab::new(4);
    let head = furnished("external");
    // Whoever answers to an address keeps it.
    ip("addr add 10.1.0.11/24 dev m4\n", &["-n", &lab.machines]);
    head.ok(&["host", "add", "compute-00-00", "--ip", "10.1.0.12"]);
    let mut addhost = Addhost::start(&lab, &head, &["--group", "compute"]);
    addhost.wait_for("listening on");
    lab.switch_on(1);
    addhost.wait_for("heard 52:54:00:aa:00:01");
    addhost.answer("y");
    assert_eq!(addhost.wait_for("added "), "added compute-00-01 52:54:00:aa:00:01 10.1.0.13");
    lab.switch_on(2);
    addhost.wait_for("heard 52:54:00:aa:00:02");
    for answer in ["e", "compute-00-00", "login1", "10.1.0.11", "10.1.0.13", "10.1.0.40", "y"] {
        addhost.answer(answer);
    }
    addhost.wait_for("the name compute-00-00 is taken");
    addhost.wait_for("52:54:00:aa:00:04 answers to 10.1.0.11");
    addhost.wait_for("the address 10.1.0.13 is taken");
    assert_eq!(addhost.wait_for("added "), "added login1 52:54:00:aa:00:02 10.1.0.40");
    lab.switch_on(3);
    addhost.wait_for("heard 52:54:00:aa:00:03");
    addhost.answer("n");
    addhost.answer("q");
    addhost.wait_for("finished: 2 nodes added");
    addhost.ended();
    assert_eq!(nodes(&head).len(), 2);
}

#[test]
fn addhost_ends_cleanly_on_ctrl_c() {
    let mut lab = Lab::new(1);
    let head = furnished("external");
    let heard = head.path("heard");
    plugin(&head, &format!("#!/bin/sh\necho $1 >> {}\n", heard.display()));
    let mut addhost =
        Addhost::start(&lab, &head, &["--group", "compute", "--yes", "--output", "json", "--no-install"]);
    lab.switch_on(1);
    let line: Value = serde_json::from_str(&addhost.wait_for("{\"said\":\"added\"")).unwrap();
    assert_eq!(line["node"], "compute-00-00");
    // `ip netns exec` became the program.
    kill("-INT", addhost.child.id());
    let said = addhost.ended();
    assert_eq!(said.last().unwrap(), "{\"said\":\"finished\",\"added\":1}");
    assert_eq!(std::fs::read_to_string(heard).unwrap(), "added\nfinished\n");
    assert_eq!(head.state("compute-00-00"), "unknown");
}

#[test]
fn addhost_replaces_a_machine_and_nothing_else() {
    let mut lab = Lab::new(2);
    let head = furnished("external");
    head.ok(&[
        "node",
        "add",
        "n1",
        "--group",
        "compute",
        "--mac",
        "52:54:00:bb:00:01",
        "--ip",
        "10.1.0.20",
        "--uid",
        "7",
    ]);
    let mut addhost = Addhost::start(&lab, &head, &["--replace", "n1", "--batch"]);
    addhost.wait_for("listening on");
    // What an admin changes meanwhile stays.
    head.ok(&["node", "set", "n1", "attempts=9"]);
    lab.switch_on(1);
    let said = addhost.ended();
    assert!(
        said.contains(&"replaced n1: 52:54:00:aa:00:01 (before: 52:54:00:bb:00:01)".to_owned()),
        "{said:#?}"
    );
    let node = head.json(&["node", "show", "n1"]);
    assert_eq!(
        (node["mac"].as_str(), node["address"].as_str()),
        (Some("52:54:00:aa:00:01"), Some("10.1.0.20"))
    );
    assert_eq!((node["uid"].as_str(), node["state"].as_str()), (Some("7"), Some("armed")));
    assert!(head.security().contains(&"replaced".to_owned()));
    assert_eq!(head.status("n1")["attempts"], 9);
    // The same machine with another interface is no new one.
    let mut addhost = Addhost::start(&lab, &head, &["--group", "compute", "--batch"]);
    addhost.wait_for("listening on");
    let mut same = lab.inside(&lab.machines, "busybox");
    same.args([
        "udhcpc",
        "-V",
        "PXEClient",
        "-f",
        "-n",
        "-i",
        "m2",
        "-s",
        "/bin/true",
        "-t",
        "1",
        "-T",
        "1",
        "-x",
    ]);
    let mut same = same.arg(format!("0x61:00{:032x}", 1)).stderr(Stdio::null()).spawn().unwrap();
    let refused = addhost.wait_for("refused 52:54:00:aa:00:02");
    same.wait().unwrap();
    assert!(
        refused.contains("which is the node n1 already") && refused.contains("--replace n1"),
        "{refused}"
    );
}

/// Jobs run under the node's name, whatever machine it is.
#[test]
fn addhost_asks_the_site_before_it_replaces() {
    let mut lab = Lab::new(1);
    let head = furnished("external");
    let busy = "commands.before_reinstall=[\"sh\", \"-c\", \"echo $0 is busy; exit 1\", \"{node}\"]";
    head.ok(&["node", "add", "n1", "--group", "compute", "--mac", "52:54:00:bb:00:01", busy]);
    lab.switch_on(1);
    let replace = |more: &[&str]| {
        let args = ["addhost", "--interface", "br0", "--replace", "n1", "--batch"];
        lab.headnode(&head, &[&args[..], more].concat()).output().unwrap()
    };
    let said = replace(&[]);
    let (status, said) = (said.status, String::from_utf8_lossy(&said.stderr).into_owned());
    assert!(!status.success() && said.contains("refuses") && said.contains("n1 is busy"), "{said}");
    assert_eq!(head.json(&["node", "show", "n1"])["mac"], "52:54:00:bb:00:01", "nothing changed");
    assert!(replace(&["--no-install"]).status.success(), "nothing is installed");
    assert_eq!(head.json(&["node", "show", "n1"])["mac"], mac(1));
}

/// A storage server or a BMC that asks for an address must not be installed over.
#[test]
fn addhost_leaves_alone_what_does_not_boot_from_the_network() {
    let mut lab = Lab::new(3);
    let head = furnished("external");
    head.ok(&["node", "add", "n1", "--group", "compute", "--mac", "52:54:00:bb:00:01"]);
    let renew = |lab: &Lab| {
        let mut client = lab.inside(&lab.machines, "busybox");
        client.args(["udhcpc", "-f", "-n", "-i", "m1", "-s", "/bin/true", "-t", "1", "-T", "1"]);
        client.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    };
    let heard = "heard 52:54:00:aa:00:01";
    let mut addhost = Addhost::start(&lab, &head, &["--group", "compute", "--batch", "--count", "1"]);
    addhost.wait_for("listening on");
    renew(&lab);
    let said = addhost.wait_for(heard);
    assert!(said.ends_with("no network boot, left alone (--any takes it)"), "{said}");
    lab.switch_on(2);
    assert_eq!(added(&addhost.ended()).into_keys().collect::<Vec<_>>(), [mac(2)]);
    let mut addhost = Addhost::start(&lab, &head, &["--replace", "n1", "--batch", "--no-install"]);
    addhost.wait_for("listening on");
    renew(&lab);
    addhost.wait_for(heard);
    lab.switch_on(3);
    addhost.ended();
    let node = head.json(&["node", "show", "n1"]);
    assert_eq!((node["mac"].as_str(), node["state"].as_str()), (Some(&*mac(3)), Some("local")));
    let mut addhost =
        Addhost::start(&lab, &head, &["--group", "compute", "--batch", "--count", "1", "--any"]);
    addhost.wait_for("listening on");
    renew(&lab);
    assert_eq!(added(&addhost.ended()).into_keys().collect::<Vec<_>>(), [mac(1)]);
}

#[test]
fn addhost_takes_who_waits_for_a_boot_script() {
    let lab = Lab::new(1);
    let mut head = furnished("external");
    head.serve_by(lab.headnode(&head, &["serve"]));
    ip("addr add 10.1.0.150/24 dev m1\n", &["-n", &lab.machines]);
    let ask_as = |machine: usize, uuid: &str| {
        let url = format!("http://10.1.0.1:8080/boot/script?mac={}&uuid={uuid}", mac(machine));
        let output = lab.inside(&lab.machines, "curl").args(["-s", &url]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let ask = || ask_as(1, "00112233-4455-6677-8899-aabbccddeeff");
    assert!(ask().contains("no node yet (headnode addhost)"));
    // Boards whose maker set no id are not one machine.
    ask_as(2, "00000000-0000-0000-0000-000000000000");
    ask_as(3, "00000000-0000-0000-0000-000000000000");
    let addhost = Addhost::start(&lab, &head, &["--group", "compute", "--batch", "--count", "3"]);
    let said = addhost.ended();
    assert_eq!(added(&said)[&mac(1)], ("compute-00-00".into(), "10.1.0.11".into()));
    assert!(ask().contains("installing compute-00-00, attempt 1 of 3"), "without another power cycle");
}

/// The site's own server answers; where ours should, that is said. A relay's machines belong to the network behind it.
#[test]
fn addhost_hears_other_servers_and_relays() {
    let mut lab = Lab::new(2);
    let head = furnished("managed");
    let far =
        ["--interface", "br9", "--subnet", "10.2.0.0/24", "--address", "10.2.0.1", "--mac-proof", "none"];
    head.ok(&[&["network", "add", "far"][..], &far].concat());
    head.ok(&["group", "unset", "compute", "addhost.addresses"]);
    ip("addr add 10.1.0.9/24 dev m2\n", &["-n", &lab.machines]);
    let mut addhost = Addhost::start(&lab, &head, &["--group", "compute", "--batch"]);
    addhost.wait_for("listening on");
    let lease = format!(
        "start 10.1.0.160\nend 10.1.0.170\ninterface m2\nlease_file {0}\npidfile {0}.pid\n",
        head.path("leases").display()
    );
    let mut server = lab.inside(&lab.machines, "busybox");
    let mut server = server
        .args(["udhcpd", "-f", &head.file("udhcpd.conf", &lease)])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    lab.switch_on(1);
    addhost.wait_for("another DHCP server, 10.1.0.9, gives out addresses on br0");
    server.kill().unwrap();
    server.wait().unwrap();

    let mut discover = vec![0; 236];
    discover[..3].copy_from_slice(&[1, 1, 6]);
    discover[24..28].copy_from_slice(&[10, 2, 0, 254]);
    discover[28..34].copy_from_slice(&[0x52, 0x54, 0, 0xbb, 0, 9]);
    discover.extend([99, 130, 83, 99, 53, 1, 1, 93, 2, 0, 7, 255]);
    std::fs::write(head.path("discover"), discover).unwrap();
    let mut relay = lab.inside(&lab.machines, "bash");
    let relayed = format!("cat {} > /dev/udp/10.1.0.1/67", head.path("discover").display());
    assert!(relay.args(["-c", &relayed]).status().unwrap().success());
    assert_eq!(
        addhost.wait_for("heard 52:54:00:bb:00:09"),
        "heard 52:54:00:bb:00:09 (UEFI x86-64, by the relay 10.2.0.254)"
    );
    assert_eq!(addhost.wait_for("added "), "added compute-00-01 52:54:00:bb:00:09 10.2.0.2");
    assert_eq!(head.json(&["node", "show", "compute-00-01"])["network"], "far");
}

#[test]
fn addhost_reads_a_file_whole_or_not_at_all() {
    let lab = Lab::new(0);
    let head = furnished("external");
    let text =
        "52:54:00:bb:00:01\n52:54:00:bb:00:02,10.1.0.11,login1,asset-7\n52:54:00:bb:00:03,,compute-00-00\n";
    let file = head.file("macs", text);
    let run = |args: &[&str]| lab.headnode(&head, args).output().unwrap();
    let said = run(&["addhost", "--group", "compute", "--rack", "0", "--file", &file]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8(said.stdout).unwrap();
    assert_eq!(
        said,
        "added compute-00-01 52:54:00:bb:00:01 10.1.0.12\nadded login1 52:54:00:bb:00:02 10.1.0.11\n\
         added compute-00-00 52:54:00:bb:00:03 10.1.0.13\nfinished: 3 nodes added\n"
    );
    assert_eq!(head.json(&["node", "show", "login1"])["uid"], "asset-7");
    let before = nodes(&head);
    for (text, reason) in [
        ("52:54:00:bb:00:04\n52:54:00:bb:00:01\n", "52:54:00:bb:00:01 is the node compute-00-01 already"),
        ("52:54:00:bb:00:04\n52:54:00:bb:00:04\n", "52:54:00:bb:00:04 is the node compute-00-02 already"),
        ("52:54:00:bb:00:04,,login1\n", ":1: the name login1 is taken"),
        ("52:54:00:bb:00:04,10.1.0.11\n", ":1: the address 10.1.0.11 is taken"),
        ("52:54:00:bb:00:04,10.9.0.11\n", ":1: there is no network for it"),
        ("52:54:00\n", ":1: `52:54:00` is no MAC address"),
    ] {
        let said = run(&["addhost", "--group", "compute", "--file", &head.file("macs", text)]);
        let said = String::from_utf8(said.stderr).unwrap();
        assert!(said.contains(reason), "{said}");
        assert_eq!(nodes(&head), before);
    }
}

#[test]
fn addhost_says_what_is_wrong_before_it_listens() {
    let head = furnished("external");
    let cases = [
        (&["--group", "compute", "--interface", "eth9"][..], "there is no network on eth9"),
        (&["--group", "none", "--interface", "br0"], "there is no group `none`"),
        (&["--replace", "n9", "--interface", "br0"], "there is no node `n9`"),
        (&["--group", "compute", "--interface", "br0"], "opening a packet socket on br0"),
    ];
    for (args, reason) in cases {
        let said = head.refused(&[&["addhost"][..], args].concat());
        assert!(said.contains(reason), "{said}");
    }
    head.ok(&["group", "set", "compute", "addhost.names=c#N"]);
    let said = head.refused(&["addhost", "--group", "compute", "--interface", "br0", "--rack", "2"]);
    assert!(said.contains("has no #R"), "{said}");
    let said = head.refused(&["group", "set", "compute", "addhost.names=c"]);
    assert!(said.contains("addhost.names: `c` needs one #N"), "{said}");
}

#[test]
fn hosts_have_names_and_addresses_of_their_own() {
    let head = furnished("external");
    head.ok(&["host", "add", "switch1", "--ip", "10.1.0.2"]);
    head.ok(&["host", "add", "--file", &head.file("hosts", "nas1:10.1.0.3\n# a comment\nnas2:10.1.0.4\n")]);
    let names = head.json(&["host", "list"]);
    let names: Vec<&str> =
        names.as_array().unwrap().iter().map(|host| host["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["nas1", "nas2", "switch1"]);
    for args in [
        &["host", "add", "switch1", "--ip", "10.1.0.9"][..],
        &["host", "add", "other", "--ip", "10.1.0.2"],
        &["host", "add", "other", "--ip", "10.2.0.2"],
        &["host", "add", "other", "--ip", "10.1.0.1"],
        &["node", "add", "nas1", "--group", "compute", "--mac", "52:54:00:bb:00:01"],
        &["node", "add", "n1", "--group", "compute", "--mac", "52:54:00:bb:00:01", "--ip", "10.1.0.3"],
    ] {
        head.refused(args);
    }
    head.ok(&["host", "rm", "nas1"]);
    head.ok(&["node", "add", "nas1", "--group", "compute", "--mac", "52:54:00:bb:00:01", "--ip", "10.1.0.3"]);
    assert!(head.refused(&["host", "add", "nas1", "--ip", "10.1.0.9"]).contains("a node has this name"));
}
