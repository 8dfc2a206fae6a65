//! `headnode doctor` in a namespace where one thing after another is broken: it finds that, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::head::{Head, kill, wait_for};
use crate::lab::{Lab, ip};

/// A head node that nothing ails, with a network on the bridge of a lab.
fn well() -> (Lab, Head) {
    let lab = Lab::new(1);
    let head = Head::with_ports(8080, 8443);
    let network = ["--interface", "br0", "--subnet", "10.1.0.0/24", "--address", "10.1.0.1"];
    head.ok(&[&["network", "add", "prov"][..], &network, &["--range", "10.1.0.100-10.1.0.200"]].concat());
    (lab, head)
}

/// What doctor finds, and whether it was content.
fn examine(lab: &Lab, head: &Head, args: &[&str]) -> (Vec<Value>, bool) {
    examine_folder(lab, &head.data(), args)
}

fn examine_folder(lab: &Lab, data: &Path, args: &[&str]) -> (Vec<Value>, bool) {
    let mut command = lab.inside(&lab.head, env!("CARGO_BIN_EXE_headnode"));
    command.arg("--data-dir").arg(data).args(["doctor", "--output", "json"]).args(args);
    let output = command.output().unwrap();
    let found = serde_json::from_slice(&output.stdout);
    let found = found.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (found, output.status.success())
}

fn line(finding: &Value) -> String {
    let word = |key: &str| finding[key].as_str().unwrap_or_default();
    format!("{} {} {}", word("check"), word("about"), word("what"))
}

/// The problems, a line each.
fn problems(found: &[Value]) -> Vec<String> {
    let problems = found.iter().filter(|finding| finding["level"] == "problem");
    for problem in problems.clone() {
        assert!(problem["todo"].as_str().is_some_and(|todo| !todo.is_empty()), "{problem}");
    }
    problems.map(line).collect()
}

/// There is one problem, and its line has these words.
fn has_only(lab: &Lab, head: &Head, args: &[&str], words: &[&str]) {
    let (found, content) = examine(lab, head, args);
    let problems = problems(&found);
    let right = problems.len() == 1 && words.iter().all(|word| problems[0].contains(word));
    assert!(right && !content, "{words:?}: {problems:#?}");
}

fn shell(lab: &Lab, line: &str) {
    assert!(lab.inside(&lab.head, "sh").args(["-c", line]).status().unwrap().success(), "{line}");
}

/// A process in the lab; ended when dropped.
struct Guest(Child);

impl Guest {
    fn start(lab: &Lab, namespace: &str, words: &str) -> Self {
        let mut words = words.split(' ');
        let mut command = lab.inside(namespace, words.next().unwrap());
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A small file system; gone when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(path: PathBuf, size: &str) -> Self {
        fs::create_dir(&path).unwrap();
        let options = format!("size={size},mode=0700");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).status();
        assert!(mount.unwrap().success());
        Self(path)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_machine_boots_in_a_network_of_its_own() {
    let (lab, head) = well();
    let (found, content) = examine(&lab, &head, &[]);
    assert_eq!(problems(&found), [""; 0]);
    assert!(content);
    let tested = |word: &str| {
        found.iter().any(|finding| finding["check"] == "self-test" && line(finding).contains(word))
    };
    assert!(tested("BIOS: offered 10.1.0.1") && tested("undionly.kpxe, 7"), "{found:#?}");
    assert!(tested("UEFI: offered") && tested("snponly.efi") && tested("iPXE: offered"), "{found:#?}");
    // Every check says something.
    for check in ["store", "disk", "clock", "keys", "certificate", "interface", "port", "firewall", "dnsmasq"]
    {
        assert!(found.iter().any(|finding| finding["check"] == check), "{check}");
    }
}

/// Where only nodes get addresses.
#[test]
fn a_network_without_a_range_is_tested_too() {
    let (lab, head) = well();
    head.ok(&["network", "unset", "prov", "range"]);
    let (found, _) = examine(&lab, &head, &[]);
    assert_eq!(problems(&found), [""; 0]);
    assert!(found.iter().any(|finding| line(finding).contains("BIOS: offered 10.1.0.2 ")), "{found:#?}");
}

#[test]
fn a_running_serve_is_left_alone() {
    let (lab, mut head) = well();
    head.furnish();
    head.ok(&["node", "add", "n1", "--group", "disked", "--mac", "52:54:00:aa:00:01", "--ip", "10.1.0.11"]);
    head.serve_by(lab.headnode(&head, &["serve"]));
    head.wait_for_log("dnsmasq-dhcp[");
    let leases = || fs::read_to_string(head.data().join("run/leases")).unwrap_or_default();
    let (before, pid) = (leases(), head.pid());
    let (found, content) = examine(&lab, &head, &["--probe"]);
    assert_eq!(problems(&found), [""; 0]);
    assert!(content);
    let said = |words: &str| found.iter().any(|finding| line(finding).contains(words));
    assert!(said(&format!("port 10.1.0.1:8080 served by headnode (process {pid})")), "{found:#?}");
    assert!(said("port DHCP, UDP 67 served by dnsmasq") && said("answers with a script"), "{found:#?}");
    assert!(said("10.1.0.1:8443 its certificate is for this address"), "{found:#?}");
    assert_eq!(leases(), before);
    let status = head.json(&["status"]);
    assert_eq!(status.as_array().unwrap().len(), 1, "the machine of the test is nobody: {status}");
    head.stop();
}

#[test]
fn interfaces_are_looked_at() {
    let (lab, head) = well();
    ip("addr del 10.1.0.1/24 dev br0\n", &["-n", &lab.head]);
    has_only(&lab, &head, &[], &["interface br0", "has not the address 10.1.0.1"]);
    ip("link set br0 down\n", &["-n", &lab.head]);
    has_only(&lab, &head, &[], &["interface br0", "down"]);
    ip("link del br0\n", &["-n", &lab.head]);
    has_only(&lab, &head, &[], &["interface br0", "no such interface"]);
}

#[test]
fn who_holds_a_port_is_named() {
    let (lab, head) = well();
    for (words, about) in [
        ("busybox httpd -f -p 8443", "port 10.1.0.1:8443 held by busybox (process "),
        (
            "python3 -c s=__import__('socket').socket(2,2);s.bind(('',67));__import__('signal').pause()",
            "port DHCP, UDP 67 held by python3 (process ",
        ),
    ] {
        let guest = Guest::start(&lab, &lab.head, words);
        let is_there = || problems(&examine(&lab, &head, &[]).0).iter().any(|line| line.starts_with(about));
        wait_for(about, is_there);
        if about.contains("67") {
            has_only(&lab, &head, &[], &[about]);
        }
        drop(guest);
    }
    wait_for("the ports", || examine(&lab, &head, &[]).1);
}

#[test]
fn what_serve_takes_from_the_distribution_is_looked_for() {
    let (lab, head) = well();
    has_only(&lab, &head, &["--dnsmasq", "/nowhere/dnsmasq"], &["dnsmasq /nowhere/dnsmasq", "not there"]);
    let ipxe = head.path("ipxe");
    fs::create_dir(&ipxe).unwrap();
    fs::copy("/usr/lib/ipxe/snponly.efi", ipxe.join("snponly.efi")).unwrap();
    let dir = ipxe.to_str().unwrap();
    has_only(&lab, &head, &["--ipxe-dir", dir], &["ipxe undionly.kpxe", "not in", dir]);
}

/// The real dnsmasq, with one line of its configuration wrong.
#[test]
fn a_wrong_boot_is_found() {
    let (lab, head) = well();
    for (edit, words) in [
        ("s/,snponly.efi$/,other.efi/", "UEFI is told to boot `other.efi`, not snponly.efi"),
        ("s/^enable-tftp$//", "fetching undionly.kpxe by TFTP from 10.1.0.1 as BIOS"),
        ("s,/boot/script,/boot/other,", "iPXE is told to boot `http://10.1.0.1:8080/boot/other?"),
    ] {
        let lines = format!(
            "#!/bin/sh\nfor word; do case $word in *.conf) sed -i '{edit}' $word;; esac; done\nexec /usr/sbin/dnsmasq \"$@\"\n"
        );
        let wrapper = head.program("dnsmasq", &lines);
        has_only(&lab, &head, &["--dnsmasq", &wrapper], &["self-test br0 (prov)", words]);
    }
}

#[test]
fn keys_are_nobody_elses() {
    let (lab, head) = well();
    let mode = |mode: &str, path: PathBuf| {
        assert!(Command::new("chmod").arg(mode).arg(path).status().unwrap().success());
    };
    mode("640", head.data().join("keys/nii.key"));
    has_only(&lab, &head, &[], &["keys", "nii.key", "mode 0640"]);
    mode("600", head.data().join("keys/nii.key"));
    fs::rename(head.data().join("keys/token.key"), head.path("token.key")).unwrap();
    has_only(&lab, &head, &[], &["keys", "token.key"]);
    fs::rename(head.path("token.key"), head.data().join("keys/token.key")).unwrap();
    fs::remove_file(head.data().join("keys/root.key")).unwrap();
    assert!(examine(&lab, &head, &[]).1, "the root key may be elsewhere");
}

#[test]
fn an_expired_authority_is_said() {
    let (lab, head) = well();
    let mut params = rcgen::CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(2004, 1, 1);
    params.not_after = rcgen::date_time_ymd(2024, 1, 1);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let expired = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
    let path = head.data().join("keys/trust.json");
    let mut trust: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    trust["ca_pem"] = expired.into();
    fs::write(&path, trust.to_string()).unwrap();
    has_only(&lab, &head, &[], &["certificate the cluster's authority", "expired on 2024-01-01"]);
}

#[test]
fn a_certificate_from_before_a_network_is_said() {
    let (lab, mut head) = well();
    head.serve_by(lab.headnode(&head, &["serve", "--listen", "0.0.0.0"]));
    ip("link add br1 type bridge\naddr add 10.2.0.1/24 dev br1\nlink set br1 up\n", &["-n", &lab.head]);
    let network = ["--interface", "br1", "--subnet", "10.2.0.0/24", "--address", "10.2.0.1"];
    head.ok(&[&["network", "add", "later"][..], &network].concat());
    has_only(&lab, &head, &[], &["certificate 10.2.0.1:8443", "not for this address"]);
    head.stop();
}

#[test]
fn a_small_disk_and_a_full_one_are_said() {
    let (lab, head) = well();
    let small = Small::mount(head.path("small"), "48m");
    let data = small.0.join("data");
    assert!(Command::new("cp").arg("-a").arg(head.data()).arg(&data).status().unwrap().success());
    let (found, content) = examine_folder(&lab, &data, &[]);
    let said = problems(&found);
    assert!(!content && said.len() == 1 && said[0].contains("MiB free of 48 MiB"), "{said:#?}");
    // To the last byte.
    let target = format!("of={}", small.0.join("fill").display());
    let fill = Command::new("dd").args(["if=/dev/zero", "bs=4k", "status=none", &target]).status();
    assert!(!fill.unwrap().success());
    let (found, content) = examine_folder(&lab, &data, &[]);
    let said = problems(&found);
    assert!(!content && said.iter().any(|line| line.contains(" 0 MiB free of 48 MiB")), "{said:#?}");
    assert!(said.iter().all(|line| line.starts_with("disk ") || line.starts_with("store ")), "{said:#?}");
}

#[test]
fn the_store_and_its_files_are_read() {
    let (lab, head) = well();
    head.furnish();
    assert!(examine(&lab, &head, &[]).1);
    let kernel = fs::read_dir(head.data().join("boot")).unwrap().map(|entry| entry.unwrap().path());
    let kernel = kernel.map(|folder| folder.join("vmlinuz")).find(|path| path.exists()).unwrap();
    let bytes = fs::read(&kernel).unwrap();
    fs::write(&kernel, b"a kernex").unwrap();
    has_only(&lab, &head, &[], &["files netboot tiny", "is not what was added"]);
    fs::write(&kernel, bytes).unwrap();
    let image = fs::read_dir(head.data().join("images")).unwrap().next().unwrap().unwrap().path();
    let data = fs::OpenOptions::new().write(true).open(image.join("data.tar.zst")).unwrap();
    let length = data.metadata().unwrap().len();
    data.set_len(length - 1).unwrap();
    has_only(&lab, &head, &[], &["files image tiny", &format!("has {} bytes, not {length}", length - 1)]);
    data.set_len(length).unwrap();
    let database = head.data().join("camphor.db");
    let mut bytes = fs::read(&database).unwrap();
    bytes[4096..].fill(0xff);
    fs::write(&database, bytes).unwrap();
    let _ = fs::remove_file(head.data().join("camphor.db-wal"));
    let (found, content) = examine(&lab, &head, &[]);
    let said = problems(&found);
    assert!(!content && said.iter().all(|line| line.starts_with("store ")) && !said.is_empty(), "{said:#?}");
}

#[test]
fn a_firewall_is_read() {
    let (lab, head) = well();
    shell(
        &lab,
        "nft add table inet f && nft 'add chain inet f in { type filter hook input priority 0; policy drop; }'",
    );
    shell(
        &lab,
        "nft add rule inet f in iifname lo accept && nft add rule inet f in tcp dport 8080-8443 accept",
    );
    has_only(&lab, &head, &[], &["firewall br0 (prov)", "drops udp 67, udp 69"]);
    shell(&lab, "nft add rule inet f in ip saddr 10.0.0.0/8 accept");
    let (found, content) = examine(&lab, &head, &[]);
    let unsure = found.iter().any(|finding| line(finding).starts_with("firewall br0 (prov) could not tell"));
    assert!(content && unsure, "{found:#?}");
    shell(&lab, "nft add rule inet f in iifname br0 accept && nft insert rule inet f in iifname br0 accept");
    let (found, _) = examine(&lab, &head, &[]);
    assert!(found.iter().any(|finding| line(finding).contains("lets DHCP, TFTP and HTTP in")), "{found:#?}");
}

#[test]
fn another_dhcp_server_is_heard() {
    let (lab, head) = well();
    ip("addr add 10.1.0.9/24 dev m1\n", &["-n", &lab.machines]);
    let leases = head.path("leases");
    let words = format!(
        "dnsmasq --keep-in-foreground --conf-file=/dev/null --port=0 --no-ping --interface=m1 --bind-dynamic \
         --dhcp-range=10.1.0.50,10.1.0.60 --dhcp-leasefile={}",
        leases.display()
    );
    let _other = Guest::start(&lab, &lab.machines, &words);
    wait_for("the other's offer", || {
        let (found, _) = examine(&lab, &head, &["--probe"]);
        problems(&found) == ["dhcp br0 10.1.0.9 offers addresses, too"]
    });
    assert_eq!(fs::read_to_string(leases).unwrap_or_default(), "", "no address was taken");
    assert!(examine(&lab, &head, &[]).1, "it is not asked for without --probe");
}

/// What dnsmasq of `serve` is, when it does not run.
#[test]
fn a_dead_dnsmasq_is_said() {
    let (lab, mut head) = well();
    head.serve_by(lab.headnode(&head, &["serve"]));
    head.wait_for_log("dnsmasq-dhcp[");
    let log = head.log();
    let pid: u32 = log.split("dnsmasq-dhcp[").nth(1).unwrap().split(']').next().unwrap().parse().unwrap();
    // Stopped, it still has its ports; so its server is.
    kill("-STOP", head.pid());
    kill("-KILL", pid);
    let (found, _) = examine(&lab, &head, &[]);
    let said = problems(&found);
    kill("-CONT", head.pid());
    assert!(
        said.iter().any(|line| line.contains("UDP 67 `headnode serve` runs without its dnsmasq")),
        "{said:#?}"
    );
}
