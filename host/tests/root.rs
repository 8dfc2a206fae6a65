//! Files, passwords and programs of a new root in a tmpfs. Needs root, and busybox as a static program.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use host::{Applied, Machine};
use nii::secret::Secret;
use plan::op::{Content, Guard};
use plan::{Act, Op};
use support::{Kept, MIB, Target, machine};

/// A new root in RAM.
struct Root {
    target: Target,
    watch: Kept,
}

impl Root {
    fn new() -> Self {
        let mut root = Self { target: Target::new(), watch: Kept::default() };
        root.apply(Act::MountTmpfs { size: 64 * MIB, inodes: 1000 });
        root.apply(Act::MountTmpfs { size: 64 * MIB, inodes: 1000 });
        root
    }

    fn path(&self, below: &str) -> PathBuf {
        self.target.path().join(below)
    }

    fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap()
    }

    fn try_apply(&mut self, op: &Op) -> anyhow::Result<Applied> {
        Ok(machine(self.target.path()).apply(op, &mut self.watch)?)
    }

    fn apply(&mut self, act: Act) {
        assert_eq!(self.try_apply(&Op::new(act, "test")).unwrap(), Applied::Done);
    }

    fn refusal(&mut self, act: Act) -> String {
        format!("{:#}", self.try_apply(&Op::new(act, "test")).unwrap_err())
    }

    fn mode(&self, below: &str) -> u32 {
        fs::symlink_metadata(self.path(below)).unwrap().permissions().mode() & 0o7777
    }
}

fn write(path: &str, text: &str) -> Act {
    Act::WriteFile { path: path.into(), content: Content::Text(text.into()), mode: 0o644, uid: 0, gid: 0 }
}

#[test]
fn the_tmpfs_has_its_limits() {
    let root = Root::new();
    let stat = rustix::fs::statvfs(root.target.path()).unwrap();
    assert_eq!((stat.f_blocks * stat.f_frsize, stat.f_files), (64 * MIB, 1000));
    assert_eq!(root.mode(""), 0o755);
}

#[test]
fn files_have_owner_and_mode_and_replace_what_was_there() {
    let mut root = Root::new();
    let secret = Content::Secret(Secret::new("hidden"));
    let act = Act::WriteFile { path: "/etc/a/b/key".into(), content: secret, mode: 0o600, uid: 12, gid: 34 };
    root.apply(act.clone());
    root.apply(act);
    let status = fs::metadata(root.path("etc/a/b/key")).unwrap();
    assert_eq!((status.uid(), status.gid(), root.mode("etc/a/b/key")), (12, 34, 0o600));
    assert_eq!((root.read("etc/a/b/key").as_str(), root.mode("etc/a/b")), ("hidden", 0o755));
    symlink("b/key", root.path("etc/a/link")).unwrap();
    root.apply(write("etc/a/link", "new"));
    assert_eq!((root.read("etc/a/link").as_str(), root.read("etc/a/b/key").as_str()), ("new", "hidden"));
    assert_eq!(fs::read_dir(root.path("etc/a")).unwrap().count(), 2, "nothing temporary stays");
    assert!(root.refusal(write("etc/a", "x")).contains("Is a directory"));
    assert!(root.refusal(write("../x", "x")).contains(".."));
}

#[test]
fn no_link_leads_out() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("passwd"), "host").unwrap();
    let mut root = Root::new();
    // What a hostile image might bring.
    symlink(outside.path(), root.path("etc")).unwrap();
    symlink("../../../../../../../..", root.path("up")).unwrap();
    let host_file = outside.path().join("passwd");
    for path in ["etc/passwd".to_owned(), format!("up{}", host_file.display())] {
        // The link's target is looked for inside the root, where there is none; making it is no use either.
        let _ = root.try_apply(&Op::new(write(&path, "changed"), "test"));
        let _ = root.try_apply(&Op::new(Act::Remove { path: path.clone() }, "test"));
        let _ = root.try_apply(&Op::new(Act::Symlink { path: path.clone(), target: "x".into() }, "test"));
        assert_eq!(fs::read_to_string(&host_file).unwrap(), "host");
    }
    assert!(
        root.refusal(Act::CopyFile { from: "etc/passwd".into(), to: "copy".into() })
            .contains("opening etc/passwd")
    );
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    fs::remove_file(root.path("etc")).unwrap();
    symlink("/usr/etc", root.path("etc")).unwrap();
    fs::create_dir_all(root.path("usr/etc")).unwrap();
    root.apply(write("etc/hostname", "n001"));
    assert_eq!(root.read("usr/etc/hostname"), "n001");
}

#[test]
fn directories_links_copies_removals() {
    let mut root = Root::new();
    root.apply(Act::Mkdir { path: "root/.ssh".into(), mode: 0o700 });
    assert_eq!((root.mode("root"), root.mode("root/.ssh")), (0o755, 0o700));
    fs::set_permissions(root.path("root/.ssh"), fs::Permissions::from_mode(0o755)).unwrap();
    root.apply(Act::Mkdir { path: "root/.ssh".into(), mode: 0o700 });
    assert_eq!(root.mode("root/.ssh"), 0o700);

    for target in ["/usr/share/zoneinfo/UTC", "../usr/share/zoneinfo/Europe/Berlin"] {
        root.apply(Act::Symlink { path: "etc/localtime".into(), target: target.into() });
        assert_eq!(fs::read_link(root.path("etc/localtime")).unwrap(), Path::new(target));
    }

    root.apply(write("boot/vmlinuz-1", "kernel"));
    symlink("vmlinuz-1", root.path("boot/vmlinuz")).unwrap();
    root.apply(Act::CopyFile { from: "boot/vmlinuz".into(), to: "efi/linux/vmlinuz".into() });
    assert_eq!((root.read("efi/linux/vmlinuz").as_str(), root.mode("efi/linux/vmlinuz")), ("kernel", 0o644));

    for name in ["ssh_host_rsa_key", "ssh_host_rsa_key.pub", "sshd_config"] {
        root.apply(write(&format!("etc/ssh/{name}"), ""));
    }
    fs::create_dir(root.path("etc/ssh/ssh_host_dir")).unwrap();
    for path in ["etc/ssh/ssh_host_*", "etc/ssh/ssh_host_*", "no/such/*", "no/such/file", "boot/vmlinuz"] {
        root.apply(Act::Remove { path: path.into() });
    }
    let mut left: Vec<_> =
        fs::read_dir(root.path("etc/ssh")).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["ssh_host_dir", "sshd_config"]);
    assert!(root.path("boot/vmlinuz-1").exists() && !root.path("boot/vmlinuz").exists());
}

#[test]
fn guards_skip_and_requirements_fail() {
    let mut root = Root::new();
    root.apply(write("usr/bin/tool", ""));
    symlink("/nowhere", root.path("dangling")).unwrap();
    let guarded = |guard: Guard| Op::new(write("written", ""), "test").when(guard);
    let skipped = root.try_apply(&guarded(Guard::has("usr/bin/tool").but_not("dangling"))).unwrap();
    assert_eq!(skipped, Applied::Skipped("the root has dangling".into()));
    let skipped = root.try_apply(&guarded(Guard::has("usr/bin/other"))).unwrap();
    assert_eq!(skipped, Applied::Skipped("the root has no usr/bin/other".into()));
    assert!(!root.path("written").exists());
    assert_eq!(root.try_apply(&guarded(Guard::has("usr/bin/tool").but_not("etc/x"))).unwrap(), Applied::Done);
    assert!(root.path("written").exists());

    let require = |any: &[&str]| Act::Require {
        any: any.iter().map(ToString::to_string).collect(),
        missing: "the image has no boot loader".into(),
    };
    root.apply(require(&["usr/sbin/grub", "usr/bin/tool"]));
    assert!(root.refusal(require(&["usr/sbin/grub"])).contains("the image has no boot loader"));
}

#[test]
fn passwords_keep_the_files_owner_and_mode() {
    let mut root = Root::new();
    let text = "root:*:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n";
    let content = Content::Secret(Secret::new(text));
    root.apply(Act::WriteFile { path: "etc/shadow".into(), content, mode: 0o640, uid: 0, gid: 42 });
    let hash = Some(Secret::new("$6$salt$hash"));
    root.apply(Act::SetPassword { user: "root".into(), hash: hash.clone() });
    assert_eq!(root.read("etc/shadow"), text.replacen('*', "$6$salt$hash", 1));
    assert_eq!((root.mode("etc/shadow"), fs::metadata(root.path("etc/shadow")).unwrap().gid()), (0o640, 42));
    root.apply(Act::SetPassword { user: "root".into(), hash: None });
    assert_eq!(root.read("etc/shadow"), text);
    let error = root.refusal(Act::SetPassword { user: "nobody".into(), hash });
    assert!(error.contains("set password of nobody") && !error.contains("$6$"), "{error}");
}

#[test]
fn programs_run_inside_the_root() {
    let mut root = Root::new();
    fs::create_dir_all(root.path("bin")).unwrap();
    fs::copy("/bin/busybox", root.path("bin/busybox")).unwrap();
    symlink("busybox", root.path("bin/sh")).unwrap();
    root.apply(Act::MountKernelFs);
    let run = |script: &str| Act::Run { argv: ["sh", "-c", script].map(str::to_owned).to_vec() };
    root.apply(run("echo $PATH $LANG; pwd; echo to stderr >&2; read x || echo no input; echo > /made"));
    assert!(root.path("made").exists());
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin C";
    assert_eq!(root.watch.lines, [path, "/", "to stderr", "no input"]);
    let error = root.refusal(run("for i in $(busybox seq 1 50); do echo line $i; done; exit 3"));
    assert!(error.contains("running sh -c") && error.contains("exit status: 3"), "{error}");
    assert!(
        error.contains("line 50") && error.contains("line 11") && !error.contains("line 10\n"),
        "{error}"
    );
    let missing = root.refusal(Act::Run { argv: vec!["grub-install".into()] });
    assert!(missing.contains("there is no program grub-install"), "{missing}");
    // What stays behind must neither hold us up, nor the unmount.
    root.apply(run("busybox sleep 1000 & busybox setsid busybox sleep 1000 & echo started"));
    root.apply(Act::Unmount);
    assert_eq!(fs::read_dir(root.target.path()).unwrap().count(), 0);
}

#[test]
fn nothing_is_written_where_no_root_is_mounted() {
    let mut root = Root { target: Target::new(), watch: Kept::default() };
    assert!(root.refusal(write("etc/hostname", "n001")).contains("is not mounted"));
    assert!(root.refusal(Act::Run { argv: vec!["sh".into()] }).contains("is not mounted"));
    assert_eq!(fs::read_dir(root.target.path()).unwrap().count(), 0);
}
