//! `serve` as the user of its data folder, with the capabilities of `headnode/systemd/camphor-headnode.service` and no other
//! right (needs root, to give them up).

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;

use crate::head::{Head, wait_for};
use crate::lab::{Lab, mac};

/// A user that may own files and nothing else.
const USER: u32 = 64_321;
/// `CAP_NET_BIND_SERVICE`, `CAP_NET_ADMIN`, `CAP_NET_RAW` (`linux/capability.h`).
const MASK: u64 = 1 << 10 | 1 << 12 | 1 << 13;

/// The words of the unit's `AmbientCapabilities`, as setpriv has them.
fn capabilities() -> Vec<String> {
    let unit = include_str!("../../systemd/camphor-headnode.service");
    let of = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    assert_eq!(of("AmbientCapabilities="), of("CapabilityBoundingSet="));
    let names = of("AmbientCapabilities=").split(' ');
    names.map(|name| name.strip_prefix("CAP_").unwrap().to_ascii_lowercase()).collect()
}

/// A head node with a managed network, whose data folder is the user's, and a program that the user can run.
fn head() -> Head {
    let head = Head::with_ports(8080, 8443);
    let network = ["--interface", "br0", "--subnet", "10.1.0.0/24", "--address", "10.1.0.1"];
    head.ok(&[&["network", "add", "prov"][..], &network, &["--range", "10.1.0.100-10.1.0.200"]].concat());
    head.furnish();
    fs::copy(env!("CARGO_BIN_EXE_headnode"), head.path("headnode")).unwrap();
    fs::set_permissions(head.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let owner = format!("{USER}:{USER}");
    assert!(Command::new("chown").args(["-R", &owner]).arg(head.data()).status().unwrap().success());
    head
}

/// `serve`, where the bridge is, with these capabilities only.
fn serve(lab: &Lab, head: &Head, capabilities: &[String]) -> Command {
    let user = USER.to_string();
    let sets = capabilities.iter().map(|name| format!(",+{name}")).collect::<String>();
    let sets = format!("-all{sets}");
    let mut command = lab.inside(&lab.head, "setpriv");
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--no-new-privs"]);
    command.args(["--inh-caps", &sets, "--ambient-caps", &sets, "--bounding-set", &sets]);
    command.arg(head.path("headnode")).args(["serve", "--data-dir"]).arg(head.data());
    command
}

/// User and capabilities of a process: effective, permitted, bounding.
fn rights(pid: &str) -> (Vec<u32>, Vec<u64>) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let of = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_owned();
    let users = of("Uid:").split_whitespace().map(|user| user.parse().unwrap()).collect();
    let sets = ["CapEff:", "CapPrm:", "CapBnd:"];
    (users, sets.iter().map(|set| u64::from_str_radix(&of(set), 16).unwrap()).collect())
}

#[test]
fn trust_serve_needs_no_root() {
    let mut lab = Lab::new(1);
    let mut head = head();
    head.serve_by(serve(&lab, &head, &capabilities()));
    head.wait_for_log("dnsmasq-dhcp[");
    let log = head.log();
    let dnsmasq = log.split("dnsmasq-dhcp[").nth(1).unwrap().split(']').next().unwrap();
    for pid in [&head.pid().to_string(), dnsmasq] {
        assert_eq!(rights(pid), (vec![USER; 4], vec![MASK; 3]), "{pid}");
    }

    // A machine gets an address, its loader by TFTP, and its script.
    lab.switch_on(1);
    wait_for("a lease", || {
        fs::read_to_string(head.data().join("run/leases")).is_ok_and(|leases| leases.contains(&mac(1)))
    });
    crate::lab::ip("addr add 10.1.0.99/24 dev m1\n", &["-n", &lab.machines]);
    let ask = |words: &[&str]| lab.inside(&lab.machines, "busybox").args(words).output().unwrap();
    let loader = head.path("loader");
    let fetched = ask(&["tftp", "-g", "-r", "localboot.efi", "-l", loader.to_str().unwrap(), "10.1.0.1"]);
    assert!(fetched.status.success(), "{fetched:?}");
    assert_eq!(fs::read(&loader).unwrap(), fs::read(head.data().join("run/tftp/localboot.efi")).unwrap());
    let url = format!("http://10.1.0.1:8080/boot/script?mac={}&platform=efi&uuid=x", mac(1));
    let script = ask(&["wget", "-q", "-O", "-", &url]);
    assert!(String::from_utf8_lossy(&script.stdout).starts_with("#!ipxe"), "{script:?}");
    head.stop();
}

#[test]
fn trust_in_a_lesser_serve_is_told_what_it_lacks() {
    let lab = Lab::new(1);
    let head = head();
    let lacking: Vec<_> = capabilities().into_iter().filter(|name| name != "net_admin").collect();
    let output = serve(&lab, &head, &lacking).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("NET_ADMIN"), "{said}");
}

/// What root's commands make belongs to the user of the folder, and root serves nobody else's.
#[test]
fn trust_in_root_leaves_nothing_that_serve_cannot_read() {
    let lab = Lab::new(1);
    let mut head = head();
    fs::write(head.path("root/etc/shadow"), "root:*:::::::\n").unwrap();
    fs::set_permissions(head.path("root/etc/shadow"), fs::Permissions::from_mode(0o600)).unwrap();
    head.ok(&["image", "import", "other", head.path("root").to_str().unwrap()]);
    head.ok(&["script", "add", "hello", &head.file("hello", "#!/bin/sh\n")]);
    head.ok(&["keys", "rotate", "ca"]);
    head.ok(&["keys", "rotate", "nii"]);
    head.ok(&["node", "add", "n1", "--group", "disked", "--mac", &mac(1)]);
    let mut folders = vec![head.data()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().uid(), USER, "{:?}", entry.path());
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    let said = head.refused(&["serve"]);
    assert!(said.contains("run `serve` as that user"), "{said}");
    head.ok(&["boot", "install", "n1"]);
    let events = head.ok(&["events"]);
    assert!(events.contains("uid 0"), "who typed is told: {events}");
    head.serve_by(serve(&lab, &head, &capabilities()));
    head.stop();
}
