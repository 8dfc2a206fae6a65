//! What `installer finish` does in a root, on a tmpfs: accounts, scripts, the runner of the first boot. Needs root, and
//! busybox as a static program.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use host::{Applied, Machine};
use nii::Nii;
use nii::digest::Digest;
use plan::facts::Facts;
use plan::{Act, Op, Plan, package};
use support::{Kept, MIB, Target, machine};
use tempfile::TempDir;
use uuid::Uuid;

const SITE: &str = "#!/bin/sh\necho \"site in $NII_RACK\" >> /made\n";
const JOIN: &str = "#!/bin/sh\necho join >> /made\n";

/// A root as anaconda leaves it, the scripts as `prepare` leaves them, and the plan of the rest.
struct Node {
    target: Target,
    scripts: TempDir,
    plan: Plan,
    watch: Kept,
}

impl Node {
    fn new() -> Self {
        let mut text = include_str!("../../installer/fixtures/node.json").to_owned();
        for (name, content) in [("EARLY", ""), ("SITE", SITE), ("JOIN", JOIN)] {
            text = text.replace(name, &Digest::of(content.as_bytes()).to_string());
        }
        let (nii, _) = nii::read(text.as_bytes(), nii::Strictness::Strict).unwrap();
        let plan = plan(&nii);
        let scripts = tempfile::tempdir().unwrap();
        for (path, content) in [("post/01-site", SITE), ("first-boot/01-join", JOIN)] {
            let path = scripts.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let mut node = Self { target: Target::new(), scripts, plan, watch: Kept::default() };
        node.try_apply(&Op::new(Act::MountTmpfs { size: 64 * MIB, inodes: 1000 }, "test")).unwrap();
        for folder in ["bin", "etc", "usr/share/zoneinfo/Europe"] {
            fs::create_dir_all(node.path(folder)).unwrap();
        }
        fs::copy("/bin/busybox", node.path("bin/busybox")).unwrap();
        symlink("busybox", node.path("bin/sh")).unwrap();
        fs::write(node.path("usr/share/zoneinfo/Europe/Berlin"), "TZif").unwrap();
        fs::write(node.path("etc/shadow"), "root:!!:1::::::\nalice:!!:1::::::\n").unwrap();
        node
    }

    fn path(&self, below: &str) -> PathBuf {
        self.target.path().join(below)
    }

    fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap()
    }

    /// Applies an op; scripts are where this test put them.
    fn try_apply(&mut self, op: &Op) -> anyhow::Result<Applied> {
        let mut op = op.clone();
        if let Act::Deliver { from, .. } = &mut op.act {
            *from = from.replace(package::SCRIPTS, self.scripts.path().to_str().unwrap());
        }
        Ok(machine(self.target.path()).apply(&op, &mut self.watch)?)
    }

    fn stage(&mut self, name: &str) -> Result<(), String> {
        let ops = self.plan.ops(name).to_vec();
        assert!(!ops.is_empty(), "there is no stage {name}");
        ops.iter().try_for_each(|op| self.try_apply(op).map(drop)).map_err(|error| format!("{error:#}"))
    }

    fn run(&mut self, argv: &[&str]) {
        let argv = argv.iter().map(ToString::to_string).collect();
        self.try_apply(&Op::new(Act::Run { argv }, "test")).unwrap();
    }
}

fn plan(nii: &Nii) -> Plan {
    let facts: Facts = serde_json::from_str(include_str!("../../installer/fixtures/facts.json")).unwrap();
    let (arming, attempt) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let inputs = |facts| package::Inputs { facts, nii, arming, attempt, head: None };
    let before = package::prepare(&inputs(&facts)).unwrap();
    let after = package::after(&facts, &before);
    package::finish(&inputs(&after)).unwrap()
}

#[test]
fn the_root_becomes_this_nodes_own() {
    let mut node = Node::new();
    node.stage("configure").unwrap();
    let shadow = node.read("etc/shadow");
    let expected = "root:$6$salt$planted.password.hash:1::::::\nalice:$6$salt$planted.users.hash:1::::::\n";
    assert_eq!(shadow, expected);
    assert_eq!(node.read("root/.ssh/authorized_keys"), "ssh-ed25519 AAAA admin@head\n");
    assert!(node.read("etc/profile.nii").contains("export NII_RACK='R07'\n"));
    node.stage("post-scripts").unwrap();
    assert_eq!(node.read("made"), "site in R07\n");
    let script = node.path("var/lib/camphor/scripts/post/01-site");
    assert_eq!(fs::metadata(script).unwrap().permissions().mode() & 0o7777, 0o700);
}

#[test]
fn first_boot_scripts_run_once() {
    let mut node = Node::new();
    node.stage("configure").unwrap();
    node.stage("first-boot").unwrap();
    let link = node.path("etc/systemd/system/multi-user.target.wants/camphor-first-boot.service");
    assert_eq!(fs::canonicalize(link).unwrap(), node.path("etc/systemd/system/camphor-first-boot.service"));
    for _ in 0..2 {
        node.run(&["sh", "/var/lib/camphor/first-boot"]);
    }
    assert_eq!(node.read("made"), "join\n");
}

#[test]
fn a_post_script_that_fails_is_named_with_its_last_words() {
    let mut node = Node::new();
    node.stage("configure").unwrap();
    let failing = "#!/bin/sh\necho the mirror is gone\nexit 3\n";
    fs::write(node.scripts.path().join("post/01-site"), failing).unwrap();
    let other = node.stage("post-scripts").unwrap_err();
    assert!(other.contains("post/01-site has the digest ") && other.contains("and the NII says"), "{other}");
    for stage in &mut node.plan.stages {
        for op in &mut stage.ops {
            if let Act::Deliver { digest, .. } = &mut op.act {
                *digest = Digest::of(failing.as_bytes());
            }
        }
    }
    let error = node.stage("post-scripts").unwrap_err();
    assert!(error.contains("/var/lib/camphor/scripts/post/01-site"), "{error}");
    assert!(error.contains("exit status: 3") && error.contains("the mirror is gone"), "{error}");
}
