//! Plugins: real ones, good and bad, and what the shipped ones write, read by the programs that it is for.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nii::event::Body;
use serde_json::{Value, json};

use crate::head::{Head, Machine, is_alive, wait_for};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGq1HyNwWQWVUVtAwHXNtkVAsEwLcXRXWRd2mPzF1rZ0";

/// A plugin of the site's own.
fn plugin(head: &Head, name: &str, script: &str) {
    let folder = head.data().join("plugins.d");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What a plugin is to do when it fails, and how long it has.
fn settings(head: &Head, name: &str, text: &str) {
    fs::write(head.data().join("plugins.d").join(format!("{name}.toml")), text).unwrap();
}

/// The lines of the events that plugins are in.
fn calls(head: &Head) -> Vec<Value> {
    let lines = head.json(&["events"]);
    lines.as_array().unwrap().iter().filter(|line| line["kind"] == "plugin").cloned().collect()
}

#[test]
fn verbs_come_in_order_with_the_whole_cluster() {
    let head = Head::new();
    let out = head.path("told");
    plugin(&head, "20-second", &format!("echo second $1 >> {}", out.display()));
    plugin(
        &head,
        "10-first",
        &format!("cat > {0}.$1.json; echo first $1 $CAMPHOR_PLUGIN >> {0}", out.display()),
    );
    head.ok(&["node", "add", "n2", "--group", "disked", "--mac", "52:54:00:00:00:02", "--ip", "127.0.0.12"]);
    head.ok(&["node", "set", "n2", "attributes.rack=r1", "--yes"]);
    head.ok(&["node", "rm", "n2", "--yes"]);
    let lines = fs::read_to_string(&out).unwrap();
    let expected: Vec<String> = ["added", "finished", "updated", "finished", "removed", "finished"]
        .iter()
        .flat_map(|verb| [format!("first {verb} 10-first"), format!("second {verb}")])
        .collect();
    assert_eq!(lines.lines().collect::<Vec<_>>(), expected);

    let told = |verb: &str| -> Value {
        let text = fs::read_to_string(head.path(&format!("told.{verb}.json"))).unwrap();
        assert!(!text.contains("$6$"), "no secret");
        serde_json::from_str(&text).unwrap()
    };
    let updated = told("updated");
    assert_eq!((&updated["version"], &updated["verb"]), (&json!(1), &json!("updated")));
    assert_eq!(updated["changed"][0]["attributes"], json!({"rack": "r1"}));
    assert_eq!(updated["nodes"].as_array().unwrap().len(), 2);
    assert_eq!(updated["networks"][0]["name"], "lo");
    let group = &updated["groups"].as_array().unwrap().iter().find(|g| g["name"] == "disked").unwrap();
    assert_eq!(group["nodes"], json!(["n1", "n2"]));
    let removed = told("removed");
    assert_eq!(removed["changed"][0]["mac"], "52:54:00:00:00:02", "what it was");
    assert_eq!(removed["nodes"].as_array().unwrap().len(), 1);
}

#[test]
fn bad_plugins_harm_nothing_else() {
    let head = Head::new();
    let (child, done) = (head.path("child"), head.path("done"));
    plugin(&head, "10-hangs", "echo going to sleep; sleep 1000");
    settings(&head, "10-hangs", "deadline_s = 1");
    plugin(&head, "20-crashes", "kill -SEGV $$");
    plugin(&head, "30-shouts", "head -c 300000000 /dev/zero | tr '\\0' 'x'; printf '\\033[2J\\377'; exit 3");
    // A child in its group, and one that left it; both hold its output.
    let leaves = format!("sleep 1000 & echo $! > {0}; setsid sh -c 'sleep 5' & exit 0", child.display());
    plugin(&head, "40-leaves-children", &leaves);
    plugin(&head, "50-reads-nothing", "exec <&-; exit 0");
    plugin(&head, "60-no-program", "");
    fs::write(head.data().join("plugins.d/60-no-program"), "#!/nowhere/at/all\n").unwrap();
    plugin(&head, "99-good", &format!("echo done > {}", done.display()));
    let began = Instant::now();
    head.ok(&["plugin", "run", "n1"]);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert!(done.exists(), "the last one is called all the same");
    let left = fs::read_to_string(&child).unwrap();
    wait_for("its children to end with it", || !is_alive(left.trim()));

    let calls = calls(&head);
    let failure = |name: &str| {
        let call =
            calls.iter().find(|call| call["body"]["plugin"] == name && call["body"]["verb"] == "updated");
        call.unwrap_or_else(|| panic!("{name}"))["body"]["failure"].clone()
    };
    assert_eq!(failure("10-hangs"), "took longer than 1 s");
    assert_eq!(failure("20-crashes"), "was ended by signal 11");
    assert_eq!(failure("30-shouts"), "ended with status 3");
    assert_eq!(failure("40-leaves-children"), Value::Null);
    assert_eq!(failure("50-reads-nothing"), Value::Null);
    assert!(failure("60-no-program").as_str().unwrap().starts_with("starting "));
    for call in &calls {
        let output = call["body"]["output"].as_str().unwrap();
        assert!(output.len() < 20_000, "{}", output.len());
    }
    let shown = head.ok(&["events", "n1"]);
    assert!(
        !shown.contains('\u{1b}') && shown.contains("10-hangs updated n1: took longer than 1 s"),
        "{shown}"
    );
}

#[test]
fn a_required_one_fails_the_command() {
    let head = Head::new();
    plugin(&head, "10-switch", "echo no route to the switch >&2; exit 1");
    plugin(&head, "20-other", "exit 1");
    let add = |name: &str, mac: &str| head.run(&["node", "add", name, "--group", "disked", "--mac", mac]);
    let best_effort = add("n2", "52:54:00:00:00:02");
    assert!(best_effort.status.success());
    let said = String::from_utf8_lossy(&best_effort.stderr).into_owned();
    assert!(said.contains("plugin 10-switch (added): ended with status 1: no route to the switch"), "{said}");
    settings(&head, "10-switch", "policy = \"required\"");
    let required = add("n3", "52:54:00:00:00:03");
    let said = String::from_utf8_lossy(&required.stderr).into_owned();
    assert_eq!(required.status.code(), Some(1));
    assert!(said.contains("the store is changed, but the required plugin 10-switch failed"), "{said}");
    assert!(head.ok(&["node", "show", "n3"]).contains("52:54:00:00:00:03"), "the store has it");
    settings(&head, "20-other", "required = true");
    let said = head.refused(&["plugin", "run", "n1"]);
    assert!(said.contains("10-switch, 20-other") && said.contains("20-other.toml"), "{said}");
}

#[test]
fn a_plugin_may_use_the_command() {
    let head = Head::new();
    let data = head.data();
    plugin(
        &head,
        "10-tags",
        &format!(
            "[ $1 = added ] || exit 0\n\"$HEADNODE\" --data-dir {} --yes node set n2 attributes.seen=yes",
            data.display()
        ),
    );
    head.ok(&["node", "add", "n2", "--group", "disked", "--mac", "52:54:00:00:00:02"]);
    assert!(head.ok(&["node", "show", "n2"]).contains("seen"));
}

#[test]
fn an_upgraded_program_is_found_by_plugins() {
    let mut head = Head::new();
    let (program, new, told) = (head.path("headnode"), head.path("new"), head.path("told"));
    fs::copy(env!("CARGO_BIN_EXE_headnode"), &program).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_headnode"), &new).unwrap();
    let note = format!("test $1 = updated && \"$HEADNODE\" --version && echo $HEADNODE > {}", told.display());
    plugin(&head, "10-note", &note);
    let mut serve = Command::new(&program);
    serve.arg("serve").arg("--data-dir").arg(head.data());
    head.serve_by(serve);
    let noted = |expected: &str| fs::read_to_string(&told).is_ok_and(|told| told.trim() == expected);
    wait_for("the first call", || noted(program.to_str().unwrap()));
    fs::remove_file(&told).unwrap();
    fs::rename(&new, &program).unwrap();
    head.ok(&["boot", "install", "n1"]);
    wait_for("a call after the upgrade", || noted(program.to_str().unwrap()));
    fs::remove_file(&program).unwrap();
    head.ok(&["boot", "local", "n1"]);
    wait_for("a call without the program's file", || noted(&format!("/proc/{}/exe", head.pid())));
}

/// Some nodes, groups and a host, with attributes and host keys; the shipped plugins write into a scratch folder.
fn cluster() -> Head {
    let head = Head::new();
    head.ok(&[
        "group",
        "set",
        "--yes",
        "disked",
        "attributes.slurm=CPUs=4 RealMemory=2000",
        "network.domain=c.example",
    ]);
    for n in 2..=3 {
        let (name, mac) = (format!("n{n}"), format!("52:54:00:00:00:0{n}"));
        let ip = format!("127.0.0.1{n}");
        head.ok(&[
            "node",
            "add",
            &name,
            "--group",
            "disked",
            "--mac",
            &mac,
            "--ip",
            &ip,
            "attributes.rack=r1",
        ]);
    }
    head.ok(&["node", "add", "diskless-1", "--group", "diskless", "--mac", "52:54:00:00:01:01"]);
    fs::create_dir_all(head.path("etc")).unwrap();
    fs::write(head.path("etc/hosts"), "127.0.0.1 localhost\n").unwrap();
    head
}

/// Installs a shipped plugin with a target in the scratch folder, calls it, and gives the target.
fn shipped(head: &Head, name: &str, target: &str) -> PathBuf {
    let script = PathBuf::from(head.ok(&["plugin", "install", name]).trim());
    let path = head.path(target);
    let text = fs::read_to_string(&script).unwrap();
    let line = |line: &str| match line {
        line if line.starts_with("target=") => format!("target={}\n", path.display()),
        line if line.starts_with("then=") => format!("then='echo then >> {}.then'\n", path.display()),
        line => format!("{line}\n"),
    };
    fs::write(&script, text.lines().map(line).collect::<String>()).unwrap();
    settings(head, &format!("50-{name}"), "policy = \"required\"");
    head.ok(&["plugin", "run"]);
    path
}

fn ran(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {out}{err}");
    format!("{out}{err}")
}

fn command(program: &str, args: &[&dyn AsRef<std::ffi::OsStr>]) -> Command {
    let mut command = Command::new(program);
    command.args(args.iter().map(|arg| arg.as_ref()));
    command
}

#[test]
fn hosts_are_found_by_the_c_library() {
    let head = cluster();
    let hosts = shipped(&head, "hosts", "etc/hosts");
    assert!(fs::read_to_string(&hosts).unwrap().starts_with("127.0.0.1 localhost\n"), "theirs stays");
    // A mount namespace, which ends with the shell.
    let script = format!("mount --bind {} /etc/hosts && getent ahostsv4 n2.c.example", hosts.display());
    assert!(ran(command("unshare", &[&"--mount", &"sh", &"-c", &script])).starts_with("127.0.0.12 "));
    let then = fs::read_to_string(head.path("etc/hosts.then")).unwrap();
    head.ok(&["plugin", "run"]);
    assert_eq!(fs::read_to_string(head.path("etc/hosts.then")).unwrap(), then, "nothing changed");
    head.ok(&["node", "rm", "n2", "--yes"]);
    assert!(!fs::read_to_string(&hosts).unwrap().contains("n2.c.example"));
}

#[test]
fn dnsmasq_reads_its_reservations() {
    let head = cluster();
    let file = shipped(&head, "dnsmasq", "reservations");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("52:54:00:00:00:02,127.0.0.12,n2\n"), "{text}");
    // As configuration each line is checked, which it is not in a file of its own.
    let conf = head
        .file("dnsmasq.conf", &text.lines().map(|line| format!("dhcp-host={line}\n")).collect::<String>());
    ran(command("dnsmasq", &[&"--test", &"-C", &conf]));
}

#[test]
fn dhcp_servers_take_their_reservations() {
    let head = cluster();
    let dhcpd = shipped(&head, "dhcpd", "dhcpd-hosts.conf");
    let subnet = "subnet 127.0.0.0 netmask 255.0.0.0 {}";
    let conf = head.file("dhcpd.conf", &format!("{subnet}\ninclude \"{}\";\n", dhcpd.display()));
    let (leases, pid) = (head.file("leases", ""), head.path("pid"));
    ran(command("dhcpd", &[&"-t", &"-4", &"-cf", &conf, &"-lf", &leases, &"-pf", &pid]));
    assert_eq!(fs::read_to_string(&dhcpd).unwrap().matches("hardware ethernet").count(), 3);

    let kea = shipped(&head, "kea", "kea.json");
    let reservations: Value = serde_json::from_slice(&fs::read(&kea).unwrap()).unwrap();
    assert_eq!(
        reservations[1],
        json!({"hw-address": "52:54:00:00:00:02", "ip-address": "127.0.0.12", "hostname": "n2"})
    );
    let conf = format!(
        "{{ \"Dhcp4\": {{ \"reservations-global\": true, \"lease-database\": {{ \"type\": \"memfile\", \"persist\": false }},
         \"subnet4\": [ {{ \"subnet\": \"127.0.0.0/8\" }} ], \"reservations\": <?include \"{}\"?> }} }}",
        kea.display()
    );
    let conf = head.file("kea.conf", &conf);
    let mut check = command("kea-dhcp4", &[&"-t", &conf]);
    check.env("KEA_PIDFILE_DIR", head.path("")).env("KEA_LOCKFILE_DIR", "none");
    ran(check);
}

#[test]
fn pdsh_ansible_and_slurm_know_the_nodes() {
    let head = cluster();
    let genders = shipped(&head, "genders", "genders");
    let genders = genders.to_str().unwrap();
    ran(command("nodeattr", &[&"-f", &genders, &"-k"]));
    assert_eq!(ran(command("nodeattr", &[&"-f", &genders, &"-c", &"rack=r1"])).trim(), "n2,n3");
    assert_eq!(ran(command("nodeattr", &[&"-f", &genders, &"-c", &"diskless"])).trim(), "diskless-1");

    let inventory = shipped(&head, "ansible", "inventory.yaml");
    let list = ran(command("ansible-inventory", &[&"-i", &inventory, &"--list"]));
    let list: Value =
        serde_json::from_str(&list[list.find('{').unwrap()..]).unwrap_or_else(|_| panic!("{list}"));
    assert_eq!(list["disked"]["hosts"], json!(["n1", "n2", "n3"]));
    assert_eq!(list["_meta"]["hostvars"]["n2"]["ansible_host"], "127.0.0.12");
    assert_eq!(list["_meta"]["hostvars"]["n2"]["camphor_attributes"]["rack"], "r1");

    let slurm = shipped(&head, "slurm", "slurm.conf");
    let cluster = "ClusterName=c\nSlurmctldHost=head(127.0.0.1)\nAuthType=auth/none\nCredType=cred/none\n";
    let conf = head.file("cluster.conf", &format!("{cluster}include {}\n", slurm.display()));
    // It reads the configuration, looks for this node in it, and ends.
    for name in ["n1", "n2", "n3"] {
        ran(command("slurmd", &[&"-f", &conf, &"-N", &name, &"-G"]));
    }
    let slurm = fs::read_to_string(slurm).unwrap();
    let nodes: Vec<&str> = slurm.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(nodes[1], "NodeName=n2 NodeAddr=127.0.0.12 CPUs=4 RealMemory=2000");
    assert_eq!(nodes.len(), 3, "{slurm}");
}

#[test]
fn boot_menus_follow_what_serve_hears() {
    let mut head = cluster();
    let (pxelinux, grub) = (shipped(&head, "pxelinux", "pxelinux.cfg"), shipped(&head, "grub", "grub"));
    fs::write(pxelinux.join("default"), "theirs").unwrap();
    let menu = |folder: &Path, name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let n1 = || menu(&pxelinux, "01-52-54-00-00-00-01");
    assert!(n1().contains("nothing to boot for n1"));
    head.serve();
    head.ok(&["boot", "install", "n1"]);
    wait_for("the menu", || n1().contains("KERNEL http://127.0.0.1:"));
    let (text, grub_text) = (n1(), menu(&grub, "grub.cfg-01-52-54-00-00-00-01"));
    assert!(
        text.contains("  APPEND camphor.head=http://127.0.0.1:") && text.contains("console=ttyS0"),
        "{text}"
    );
    assert!(
        grub_text.contains("initrd '(http,127.0.0.1,") && grub_text.contains("'console=ttyS0'"),
        "{grub_text}"
    );
    assert!(grub_text.contains("if linux '(http,") && grub_text.contains("\nconfigfile "), "{grub_text}");
    assert!(text.contains("TIMEOUT 100\nONTIMEOUT camphor\n"), "{text}");
    head.ok(&["lock", "n1", "--reason", "a job runs"]);
    wait_for("the menu of a locked node", || n1().contains("n1 boots its local disk\n  LOCALBOOT -1"));
    let check_grub = || {
        for entry in fs::read_dir(&grub).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.extension().is_some() {
                ran(command("grub-script-check", &[&entry]));
            }
        }
    };
    check_grub();
    head.ok(&["unlock", "n1"]);
    wait_for("the menu again", || n1().contains("KERNEL http://127.0.0.1:"));
    check_grub();
    head.ok(&["group", "set", "disked", "rescue={netboot = \"tiny\", args = [\"rescue.shell\"]}"]);
    head.ok(&["boot", "rescue", "n1"]);
    wait_for("the menu of a rescue", || n1().contains("  APPEND rescue.shell\n"));
    check_grub();
    let rescue = [n1(), menu(&grub, "grub.cfg-01-52-54-00-00-00-01")];
    assert!(rescue.iter().all(|text| text.contains("/initrd.img") && !text.contains("token")), "{rescue:#?}");
    head.ok(&["boot", "install", "n1"]);
    wait_for("the menu of an install", || n1().contains("/boot/token/of/"));
    // The menu's token is one that opens a session.
    let mut machine = Machine::new(&head);
    let mut words = text.split([',', '\n', ' ']);
    let url = words.find(|word| word.contains("/boot/token/of/")).unwrap();
    let token = machine.token_at(url).unwrap();
    machine.session = Some(machine.ask(&machine.request(&token)).unwrap());
    machine.nii("n").unwrap();
    let keys = vec![format!("{KEY} root@n1"), "ssh-rsa *,evil".to_owned()];
    machine
        .send(vec![machine.event(1, Body::HostKeys { keys }), machine.event(2, machine.installed())])
        .unwrap();
    wait_for("the menu of an installed node", || n1().contains("n1 boots its local disk\n  LOCALBOOT -1"));
    let known = shipped(&head, "known-hosts", "ssh_known_hosts");
    let found = ran(command("ssh-keygen", &[&"-F", &"n1.c.example", &"-f", &known]));
    assert!(found.contains(KEY) && !found.contains("evil"), "{found}");
    head.ok(&["node", "rm", "n1", "--yes"]);
    assert!(!pxelinux.join("01-52-54-00-00-00-01").exists() && pxelinux.join("default").exists());
}

#[test]
fn a_site_has_its_own_template() {
    let head = cluster();
    let own = head.file("own.j2", "{% for node in nodes %}{{ node.name }} {% endfor %}\n");
    let input = head.ok(&["plugin", "input"]);
    let rendered = |template: &str| {
        let file = fs::File::open(head.file("input.json", &input)).unwrap();
        Command::new(env!("CARGO_BIN_EXE_headnode"))
            .args(["plugin", "render", template])
            .stdin(file)
            .output()
            .unwrap()
    };
    assert_eq!(String::from_utf8(rendered(&own).stdout).unwrap(), "diskless-1 n1 n2 n3 ");
    let shipped = String::from_utf8(rendered("hosts").stdout).unwrap();
    let copy = head.file("copy.j2", &head.ok(&["plugin", "template", "hosts"]));
    assert_eq!(String::from_utf8(rendered(&copy).stdout).unwrap(), shipped);
    let bad = head.file("bad.j2", "\n{{ nodes[0].nmae }}\n");
    let output = rendered(&bad);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("bad.j2"), "{output:?}");
    assert!(head.ok(&["plugin", "list"]).contains("ansible"));
}
