//! Package installs: document, boot script, NII, scripts, refusal, steps.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nii::event::Body;
use nii::session::ErrorCode;
use serde_json::json;

use crate::head::{HASH, Head, MAC, Machine, PACKAGE};

fn armed() -> Head {
    let mut head = Head::new();
    head.furnish_package();
    head.ok(&["boot", "install", "n1"]);
    head.serve();
    head
}

#[test]
fn the_installer_is_booted_with_our_segment_and_token() {
    let head = Head::with_ports(8080, 8443);
    let network = ["--interface", "eth1", "--subnet", "10.1.0.0/24", "--address", "10.1.0.1"];
    head.ok(&[&["network", "add", "prov"][..], &network].concat());
    head.furnish();
    head.ok(&["node", "add", "n1", "--group", "disked", "--mac", MAC, "--ip", "10.1.0.11"]);
    head.furnish_package();
    head.ok(&["boot", "install", "n1"]);
    insta::assert_snapshot!("efi", head.ok(&["boot", "show", "n1", "--platform", "efi"]));
    insta::assert_snapshot!("pcbios", head.ok(&["boot", "show", "n1", "--platform", "pcbios"]));
    head.ok(&["node", "set", "n1", "package.stage2=http://10.1.0.1/stage2"]);
    let script = head.ok(&["boot", "show", "n1"]);
    assert!(
        script.contains(" inst.stage2=http://10.1.0.1/stage2 ") && !script.contains("rocky9"),
        "{script}"
    );
}

#[test]
fn the_files_of_the_boot_are_served() {
    let head = armed();
    let script = head.script(MAC, "pcbios");
    let url = |name: &str| {
        let line = script.lines().find(|line| line.contains(&format!("--name {name} "))).unwrap();
        line.split(' ').find(|word| word.starts_with("http")).unwrap().to_owned()
    };
    let get = |name: &str| crate::head::plain().get(url(name)).send().unwrap().bytes().unwrap();
    assert_eq!(get("segment.img"), b"our segment\0\0\0\0\0"[..], "padded: the token comes behind it");
    assert_eq!(get("initrd.img"), b"an initrd.\0\0\0\0\0\0"[..], "the stock bytes, and the end mark of lz4");
    assert_eq!(head.json(&["netboot", "list"])[0]["name"], "stock");
    assert_eq!(head.json(&["netboot", "list"])[1]["segment"], json!(null));
}

#[test]
fn a_netboot_must_fit_its_group() {
    let mut head = Head::new();
    head.furnish_package();
    head.ok(&["node", "set", "n1", "netboot=tiny"]);
    let said = head.refused(&["boot", "install", "n1"]);
    assert!(said.contains("the netboot tiny has no segment") && said.contains("--segment FILE"), "{said}");
    head.ok(&["node", "set", "n1", "--group", "disked", "netboot=stock"]);
    let said = head.refused(&["boot", "install", "n1"]);
    assert!(said.contains("the netboot stock is a distribution's installer"), "{said}");
    head.ok(&["node", "set", "n1", "--group", "package", "--unset", "netboot"]);
    head.ok(&["boot", "install", "n1"]);
    head.add_stock("stock", &[]);
    head.serve();
    let script = head.script(MAC, "pcbios");
    assert!(script.contains("the netboot stock has no segment") && !script.contains("kernel --"), "{script}");
    assert_eq!(head.status("n1")["tries"], 0);
}

/// A node that has its boot script may still be fetching.
#[test]
fn replaced_files_stay_for_a_while() {
    let head = armed();
    let script = head.script(MAC, "pcbios");
    let line = script.lines().find(|line| line.contains("--name segment.img ")).unwrap();
    let url = line.split(' ').find(|word| word.starts_with("http")).unwrap();
    let status = || crate::head::plain().get(url).send().unwrap().status();
    let replace = |text: &str| head.add_stock("stock", &["--segment", &head.file("segment", text)]);
    replace("a newer segment");
    assert_eq!(status(), 200);
    let digest = url.rsplit('/').nth(1).unwrap();
    let folder = std::fs::File::open(head.data().join("boot").join(digest)).unwrap();
    folder.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(7200)).unwrap();
    replace("one more segment");
    assert_eq!(status(), 404);
}

#[test]
fn what_a_node_uses_is_not_removed() {
    let head = Head::new();
    let root = head.path("root");
    head.ok(&["image", "import", "own", root.to_str().unwrap()]);
    head.add_stock("own", &[]);
    head.ok(&["node", "set", "n1", "netboot=own", "image.name=own"]);
    for kind in ["netboot", "image"] {
        let said = head.refused(&[kind, "rm", "own"]);
        assert!(said.contains(&format!("the node n1 uses the {kind} own")), "{said}");
    }
    head.ok(&["node", "set", "n1", "--unset", "netboot", "--unset", "image.name"]);
    head.ok(&["netboot", "rm", "own"]);
    head.ok(&["image", "rm", "own"]);
}

#[test]
fn the_nii_has_the_package_sections() {
    let head = armed();
    head.ok(&["node", "set", "n1", "--uid", "4711"]);
    head.ok(&["script", "add", "site.ks", &head.file("ks", "{{ nii }}")]);
    head.ok(&["group", "set", "package", "package.template=site.ks"]);
    let mut machine = Machine::new(&head);
    machine.begin(&head);
    let nii = machine.opened_nii(&head);
    assert_eq!(nii.node.uid.as_deref(), Some("4711"));
    let package = nii.package.clone().unwrap();
    assert_eq!(package.environment.as_deref(), Some("minimal-environment"));
    let users: Vec<&str> = package.users.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(users, ["ann", "bob"]);
    let secrets = nii.secrets.clone().unwrap();
    assert_eq!(secrets.user_password_hashes.len(), 1);
    assert_eq!(secrets.user_password_hashes["bob"].expose(), "$6$saltsaltsalt$bobs");
    assert_eq!(secrets.root_password_hash.unwrap().expose(), HASH);
    assert_eq!(nii.scripts[1].interpreter.as_deref(), Some("/usr/bin/python3"));
    let remote = |url: &str, digest: nii::digest::Digest| {
        let (status, bytes) = machine.get(url);
        assert_eq!((status, nii::digest::Digest::of(&bytes)), (200, digest), "{url}");
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(remote(&nii.scripts[0].url, nii.scripts[0].digest), "#!/bin/sh\necho welcome\n");
    let template = package.template.unwrap();
    assert_eq!(remote(&template.url, template.digest), "{{ nii }}");
    for shown in [head.ok(&["nii", "n1"]), head.ok(&["group", "show", "package"])] {
        assert!(!shown.contains("$6$") && shown.contains("bob"), "{shown}");
    }
}

#[test]
fn scripts_are_for_sessions_and_stay_for_those_who_were_promised_them() {
    let head = armed();
    let mut machine = Machine::new(&head);
    machine.begin(&head);
    let url = machine.opened_nii(&head).scripts[0].url.clone();
    assert_eq!(Machine::new(&head).get(&url).0, 401, "no session");
    assert_eq!(head.get(&url).status(), 404, "not on the plain side");
    head.ok(&["script", "add", "motd", &head.file("motd2", "#!/bin/sh\necho again\n")]);
    assert_eq!(machine.get(&url), (200, b"#!/bin/sh\necho welcome\n".to_vec()));
    assert_ne!(machine.opened_nii(&head).scripts[0].url, url, "the next NII has the new one");
    assert_eq!(head.ok(&["script", "show", "motd"]), "#!/bin/sh\necho again\n");
    assert_eq!(head.json(&["script", "list"]).as_array().unwrap().len(), 2);
    for wrong in ["0".repeat(64).as_str(), "..%2f..%2fkeys%2fca.key", "x", &url.to_uppercase()[13..]] {
        assert_eq!(machine.get(&format!("/api/v1/file/{wrong}")).0, 404, "{wrong}");
    }
    let said = head.refused(&["script", "rm", "motd"]);
    assert!(said.contains("the group package uses the script motd"), "{said}");
    head.ok(&[
        "node",
        "set",
        "n1",
        "scripts=[{ name = \"register\", phase = \"pre\", interpreter = \"sh\" }]",
    ]);
    head.ok(&["group", "set", "package", "scripts=[]"]);
    let said = head.refused(&["script", "rm", "register"]);
    assert!(said.contains("the node n1 uses the script register"), "{said}");
    head.ok(&["script", "rm", "motd"]);
    assert_eq!(machine.get(&url).0, 404, "with all its versions");
    assert_eq!(std::fs::read_dir(head.data().join("scripts")).unwrap().count(), 1);
}

#[test]
fn bad_scripts_are_refused() {
    let head = Head::new();
    let refused = |name: &str, text: &str| head.refused(&["script", "add", name, &head.file("s", text)]);
    assert!(refused("../x", "x").contains("is no name for a script"));
    assert!(refused("x", "").contains("is empty"));
    assert!(refused("x", &"x".repeat((1 << 20) + 1)).contains("has more than 1024 KiB"));
    assert!(head.refused(&["script", "add", "x", "/nonexistent"]).contains("reading /nonexistent"));
    assert!(head.refused(&["script", "rm", "x"]).contains("there is no script `x`"));
    assert!(head.refused(&["script", "show", "x"]).contains("there is no script `x`"));
    head.ok(&["script", "add", "x", &head.file("s", &"x".repeat(1 << 20))]);
}

#[test]
fn somebody_must_run_a_script() {
    let head = Head::new();
    head.furnish_package();
    let said = head.refused(&["node", "set", "n1", "scripts=[{ name = \"register\", phase = \"pre\" }]"]);
    assert!(said.contains("scripts[0]: needs an `interpreter`"), "{said}");
    let said = head.refused(&["script", "add", "motd", &head.file("s", "echo welcome\n")]);
    assert!(said.contains("the group package runs the script motd by its first line"), "{said}");
    assert_eq!(head.ok(&["script", "show", "motd"]), "#!/bin/sh\necho welcome\n");
    head.ok(&["script", "add", "register", &head.file("s", "print(2)\n")]);
}

#[test]
fn bad_package_documents_are_refused_with_line_and_reason() {
    let head = Head::new();
    head.furnish_package();
    let mirrorlist = "source = { mirrorlist = \"http://10.1.0.1/list\" }";
    let cases: &[(&str, &str, &str)] = &[
        ("version = \"9.6\"", "version = \"nine\"", "package.os.version: `nine` is no version"),
        ("family = \"rhel\"", "family = \"suse\"", "unknown variant `suse`"),
        ("environment =", "enviroment =", "package.enviroment: this key is not known"),
        ("name = \"bob\"", "name = \"bob\"\nshel = 1", "package.users[1].shel: this key is not known"),
        ("$6$saltsaltsalt$bobs", "hunter2", "package.users[1].password_hash: is no crypt(5) hash"),
        ("name = \"bob\"", "name = \"ann\"", "package.users[1].name: another account"),
        ("source = { url = \"http://10.1.0.1/rocky9\" }", mirrorlist, "package: `stage2` is needed"),
        (
            "http://10.1.0.1/rocky9",
            "http://10.1.0.1/$releasever",
            "package.source.url: goes on the installer's",
        ),
        ("dd2.rpm", "dd 2.rpm", "package.driver_disks[1]: goes on the installer's"),
        ("http://10.1.0.1/updates.img", "updates.img", "package.updates: goes on the installer's"),
        ("name = \"motd\"", "name = \"mott\"", "scripts[0].name: there is no script `mott`"),
        ("phase = \"post\"", "phase = \"past\"", "unknown variant `past`"),
        ("name = \"register\"", "name = \"motd\"", "scripts[1].name: another script is named `motd`"),
        (
            "environment =",
            "template = \"x.ks\"\nenvironment =",
            "package.template: there is no script `x.ks`",
        ),
        ("type = \"package\"", "type = \"disked\"", "package: is for package installs"),
    ];
    for (i, (from, to, reason)) in cases.iter().enumerate() {
        let text = PACKAGE.replace(from, to);
        assert_ne!(text, PACKAGE, "{from}");
        let said =
            head.refused(&["group", "set", "package", "--file", &head.file(&format!("{i}.toml"), &text)]);
        assert!(said.contains(reason), "{said}");
        let place = said.lines().find(|line| line.contains(reason)).unwrap();
        let place = place.split(&format!("{i}.toml:")).nth(1).unwrap();
        let line: usize = place.split(':').next().unwrap().parse().unwrap();
        assert!((2..=text.lines().count()).contains(&line), "{said}");
        assert!(!said.contains("hunter2"), "a secret is not repeated");
    }
    let said = head.refused(&["node", "set", "n1", "--uid", "a b"]);
    assert!(said.contains("node.uid: must be letters"), "{said}");
    let long = format!("netboot_args=[\"a={}\"]", "x".repeat(1800));
    let said = head.refused(&["node", "set", "n1", &long]);
    assert!(said.contains("netboot_args: make a kernel command line of"), "{said}");
}

/// They would win over camphor's own.
#[test]
fn arguments_that_camphor_sets_are_refused() {
    let head = Head::new();
    head.furnish_package();
    let cases = [
        ("inst.ks", "leave it out"),
        ("ks", "leave it out"),
        ("camphor.nii", "leave it out"),
        ("niihost", "leave it out"),
        ("inst.repo", "use package.source"),
        ("repo", "use package.source"),
        ("method", "use package.source"),
        ("stage2", "use package.stage2"),
        ("updates", "use package.updates"),
        ("inst.dd", "use package.driver_disks"),
        ("dd", "use package.driver_disks"),
    ];
    for (key, instead) in cases {
        let said = head.refused(&["node", "set", "n1", &format!("netboot_args=[\"{key}=http://x\"]")]);
        let reason = format!("netboot_args[0]: `{key}` is set by camphor; {instead}");
        assert!(said.contains(&reason), "{said}");
    }
}

/// Boot scripts are for everybody on the network.
#[test]
fn urls_of_boot_scripts_have_no_password() {
    let head = Head::new();
    head.furnish_package();
    let cases = [
        ("updates", "=http://ann:pw@10.1.0.1/u.img"),
        ("stage2", "=http://ann:pw@10.1.0.1?x"),
        ("driver_disks", "=[\"https://ann@10.1.0.1/dd.rpm\"]"),
        ("source", ".url=ftp://ann:pw@10.1.0.1/rocky9"),
    ];
    for (key, value) in cases {
        let said = head.refused(&["node", "set", "n1", &format!("package.{key}{value}")]);
        assert!(said.contains(&format!("package.{key}")) && said.contains("has a user name in it"), "{said}");
    }
    head.ok(&["node", "set", "n1", "package.updates=http://10.1.0.1/u@1.img"]);
}

#[test]
fn a_boot_interface_may_be_a_bonds_member() {
    let head = Head::new();
    head.furnish_package();
    let said = head.refused(&["node", "set", "n1", "network.addressing=none"]);
    assert!(said.contains("network.addressing: leaves the boot interface to a bond or a VLAN"), "{said}");
    let bond = "[{ match = { name = \"bond0\" }, ipv4 = \"dhcp\", \
         bond = { mode = \"802.3ad\", members = [{ mac = \"boot\" }, { name = \"eth1\" }] } }, \
         { match = { name = \"bond0.7\" }, ipv4 = \"dhcp\", vlan = { id = 7, parent = { name = \"bond0\" } } }]";
    let interfaces = format!("network.interfaces={bond}");
    head.ok(&["node", "set", "n1", "network.addressing=none", &interfaces]);
    let nii: serde_json::Value = serde_json::from_str(&head.ok(&["nii", "n1"])).unwrap();
    let listed = nii["network"]["interfaces"].as_array().unwrap();
    assert_eq!((listed.len(), &listed[0]["bond"]["members"][0]), (2, &json!({"mac": MAC})));
    let vlan = interfaces.replace("id = 7", "id = 5000");
    let said = head.refused(&["node", "set", "n1", &vlan]);
    assert!(said.contains("network.interfaces[1].vlan.id: "), "{said}");
    let said = head.refused(&["node", "set", "n1", "network.mtu=9000"]);
    assert!(said.contains("network.mtu: is the boot interface's"), "{said}");
}

#[test]
fn an_install_by_anaconda_goes_on_and_ends() {
    let head = armed();
    let mut machine = Machine::new(&head);
    machine.begin(&head);
    machine.opened_nii(&head);
    let started = |step: &str, number: u32, deadline_s: u32| Body::StepStarted {
        step: step.into(),
        number,
        of: 14,
        deadline_s,
    };
    let alive = || Body::Alive { step: "anaconda".into() };
    machine.send(vec![machine.event(1, started("anaconda", 9, 14_400))]).unwrap();
    assert_eq!(head.status("n1")["lost"], false);
    machine.send((2..=6).map(|seq| machine.event(seq, alive())).collect()).unwrap();
    let lines = head.json(&["events", "n1"]);
    let kept: Vec<_> = lines.as_array().unwrap().iter().filter(|line| line["kind"] == "alive").collect();
    assert_eq!((kept.len(), kept[0]["seq"].as_u64()), (1, Some(6)), "of signs of life only the last is kept");
    assert!(head.ok(&["events", "n1"]).contains("anaconda goes on"));
    head.sql(
        "UPDATE attempts SET report = json_set(report, '$.due', json_extract(report, '$.due') - 211000)",
    );
    assert_eq!(head.status("n1")["lost"], true, "no sign of life for three minutes");
    assert!(head.ok(&["status"]).contains("lost at step 9 (anaconda)"));
    machine.send(vec![machine.event(7, alive())]).unwrap();
    assert_eq!(head.status("n1")["lost"], false);
    // Another process of the node may be heard of first.
    machine.send(vec![machine.event(9, started("finish", 10, 60))]).unwrap();
    assert_eq!(machine.send(vec![machine.event(8, alive())]), Ok(9));
    assert_eq!(head.status("n1")["step"]["name"], "finish");
    machine.send(vec![machine.event(10, machine.installed())]).unwrap();
    assert_eq!(head.state("n1"), "installed");
    assert!(head.script(MAC, "pcbios").contains("sanboot"), "and boots its disk");
    assert_eq!(machine.nii("n").unwrap_err(), ErrorCode::NotArmed);
}

#[test]
fn a_package_install_in_a_group_that_changes_is_what_its_nii_says() {
    let head = armed();
    let mut machine = Machine::new(&head);
    machine.begin(&head);
    machine.opened_nii(&head);
    head.ok(&["node", "set", "n1", "--group", "diskless"]);
    machine.send(vec![machine.event(1, machine.installed())]).unwrap();
    assert_eq!(head.state("n1"), "installed");
}

/// `cmdline`, a `%pre` outside any root whose failure is the end, and nothing that installs.
#[test]
fn every_release_reads_the_refusal() {
    const RELEASES: [&str; 6] = ["RHEL8", "RHEL9", "RHEL10", "F42", "F43", "F44"];
    let head = armed();
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    let python = target.join("pykickstart/bin/python3");
    assert!(python.exists(), "{} is missing: run `cargo xtask setup` first", python.display());
    let mut child = Command::new(python)
        .args(["-W", "error", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/refuse.py")])
        .args(RELEASES)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = head.get("/boot/refuse.ks").bytes().unwrap();
    child.stdin.take().unwrap().write_all(&text).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let expected = RELEASES.map(|release| format!("{release} ['cmdline'] [(True, True, False)]\n"));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected.concat());
}

#[test]
fn the_refusals_script_fails_and_says_why() {
    let head = armed();
    let text = head.get("/boot/refuse.ks").text().unwrap();
    let (_, script) = text.split_once("--interpreter=/bin/sh\n").unwrap();
    let (script, _) = script.split_once("%end").unwrap();
    // Not on the consoles of the machine that runs the tests.
    let script = script.replace("/dev/console /dev/tty1 ", "");
    let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("STOPPED") && said.contains("Nothing was written"), "{said}");
}
