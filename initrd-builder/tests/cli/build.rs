//! `build` as a user runs it: the same bytes again, what is inside, what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::common::{Inputs, KERNEL, gnu_cpio, module, stderr};

const NO_TOOLS: &[&str] = &["--tool-set", "none"];

fn listing(dir: &Path, initrd: &[u8]) -> Vec<String> {
    let text = String::from_utf8(gnu_cpio(dir, &["-t"], initrd)).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn contents(dir: &Path, initrd: &[u8], path: &str) -> String {
    String::from_utf8(gnu_cpio(dir, &["-i", "--to-stdout", path], initrd)).unwrap()
}

/// Gives every file below `dir` another time and, where it does not count, another mode.
fn disturb(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            disturb(&path);
        } else {
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(86_400 * 365 * 40)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

/// Walks the headers of a newc archive: inodes count from 1, owner, group and time are 0.
fn nothing_of_the_host(archive: &[u8]) {
    let (mut at, mut inode) = (0, 0);
    loop {
        let field = |n: usize| {
            let digits = &archive[at + 6 + 8 * n..][..8];
            usize::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap()
        };
        if field(0) == 0 {
            assert!(inode > 50, "the trailer comes after everything");
            return;
        }
        inode += 1;
        assert_eq!(
            [field(0), field(2), field(3), field(5)],
            [inode, 0, 0, 0],
            "inode, uid, gid, mtime at {at}"
        );
        at = (at + 110 + field(11)).next_multiple_of(4) + field(6).next_multiple_of(4);
    }
}

#[test]
fn same_inputs_same_bytes_wherever_and_whenever() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Inputs::new(a.path()).built(&["--tool-set", "ext4,xfs,vfat"]);
    let deep = b.path().join("another/much/deeper/place");
    fs::create_dir_all(&deep).unwrap();
    let inputs = Inputs::new(&deep);
    disturb(&deep);
    let second = inputs.built(&["--tool-set", "ext4,xfs,vfat"]);
    assert!(first == second, "{} and {} bytes differ", first.len(), second.len());
    assert_eq!(first.len() % 4, 0);

    let plain = zstd::decode_all(first.as_slice()).unwrap();
    nothing_of_the_host(&plain);
    let host = a.path().to_str().unwrap().as_bytes();
    assert!(!plain.windows(host.len()).any(|window| window == host), "a path of the host is inside");
}

#[test]
fn modules_with_all_they_need_and_their_indexes() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = Inputs::new(dir.path());
    let output = inputs.build(&["--tool-set", "none", "--module", "xfs,ext4"]);
    let warning = "warning: module e1000: 1 of its 2 firmware files not found: nic/gone.fw\n";
    assert_eq!((output.status.success(), stderr(&output).as_str()), (true, warning));
    let initrd = fs::read(inputs.path("out.img")).unwrap();

    let base = format!("usr/lib/modules/{KERNEL}");
    let inside: Vec<String> = listing(dir.path(), &initrd)
        .into_iter()
        .filter_map(|path| Some(path.strip_prefix(&base)?.to_owned()).filter(|path| path.contains('.')))
        .collect();
    let want = [
        "/kernel/crypto/crc32c_generic.ko",
        "/kernel/fs/xfs.ko",
        "/kernel/lib/libcrc32c.ko",
        "/kernel/net/e1000.ko",
        "/modules.alias",
        "/modules.builtin",
        "/modules.dep",
        "/modules.softdep",
    ];
    assert_eq!(inside, want);
    let text = |name: &str| contents(dir.path(), &initrd, &format!("{base}/{name}"));
    assert_eq!(
        text("modules.dep"),
        "kernel/fs/xfs.ko: kernel/lib/libcrc32c.ko\nkernel/lib/libcrc32c.ko:\nkernel/crypto/crc32c_generic.ko:\n\
         kernel/net/e1000.ko:\n"
    );
    assert_eq!(text("modules.alias"), "alias crc32c crc32c_generic\nalias fs-xfs xfs\n");
    assert_eq!(text("modules.softdep"), "softdep libcrc32c pre: crc32c\n");
    let packed = gnu_cpio(dir.path(), &["-i", "--to-stdout", &format!("{base}/kernel/fs/xfs.ko")], &initrd);
    assert_eq!(packed, module("license=GPL\0name=xfs\0"), "the module is stored decompressed");
    assert_eq!(contents(dir.path(), &initrd, "usr/lib/firmware/nic/good.fw"), "firmware");
}

#[test]
fn layout_nodes_trust_and_added_files() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = Inputs::new(dir.path());
    inputs.put("site.conf", b"site");
    let add = format!("{}:/etc/site.conf", inputs.path("site.conf").display());
    let initrd = inputs.built(&["--tool-set", "none", "--add", &add]);
    let long = String::from_utf8(gnu_cpio(dir.path(), &["-tvn"], &initrd)).unwrap();
    let line = |name: &str| {
        let ends = format!(" {name}");
        long.lines().find(|line| line.ends_with(&ends)).unwrap_or_else(|| panic!("{name} in {long}"))
    };
    for (name, starts, has) in [
        ("dev/console", "crw-------", "5,   1"),
        ("dev/null", "crw-rw-rw-", "1,   3"),
        ("dev/kmsg", "crw-r--r--", "1,  11"),
        ("init", "-rwxr-xr-x", ""),
        ("tmp", "drwxrwxrwt", ""),
        ("root", "drwx------", ""),
        ("newroot", "drwxr-xr-x", ""),
        ("sbin -> usr/sbin", "lrwxrwxrwx", ""),
        ("lib64 -> usr/lib64", "lrwxrwxrwx", ""),
        ("etc/camphor/trust.json", "-rw-r--r--", ""),
    ] {
        assert!(line(name).starts_with(starts) && line(name).contains(has), "{}", line(name));
    }
    assert_eq!(contents(dir.path(), &initrd, "etc/site.conf"), "site");
    assert!(contents(dir.path(), &initrd, "etc/camphor/trust.json").contains("time_floor"));
}

#[test]
fn packed_tools_run_in_the_initrd_alone() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = Inputs::new(dir.path());
    let initrd = inputs.built(&["--tool-set", "ext4,xfs,vfat", "--tool", "blkid"]);
    let root = dir.path().join("unpacked");
    fs::create_dir(&root).unwrap();
    gnu_cpio(&root, &["-id", "-f", "dev/*"], &initrd);
    assert!(root.join("etc/mke2fs.conf").is_file());
    fs::write(root.join("disk"), vec![0; 1 << 20]).unwrap();
    let runs: [&[&str]; 4] = [
        &["/usr/sbin/mkfs.ext4", "-q", "-F", "/disk"],
        &["/sbin/mkfs.xfs", "-V"],
        &["/sbin/mkfs.vfat", "-I", "/disk"],
        &["/sbin/blkid", "-p", "/disk"],
    ];
    for run in runs {
        let output = chroot(&root, run);
        assert!(output.status.success(), "{run:?}: {output:?}");
    }
}

/// Runs a program with the unpacked initrd as `/`, also without being root.
fn chroot(root: &Path, run: &[&str]) -> std::process::Output {
    Command::new("unshare").args(["--map-root-user", "chroot"]).arg(root).args(run).output().unwrap()
}

/// Copies a program of this machine and its libraries into `root`, the libraries all into `libs`.
fn transplant(root: &Path, program: &str, libs: &str) {
    let ldd = Command::new("ldd").arg(program).output().unwrap();
    let copy = |from: &str, to: String| {
        let to = root.join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    };
    copy(program, program.to_owned());
    for line in String::from_utf8(ldd.stdout).unwrap().lines() {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [name, "=>", path, _] if name.starts_with("libc.") => copy(path, path.to_owned()),
            [name, "=>", path, _] => copy(path, format!("{libs}/{name}")),
            [loader, _] if loader.starts_with('/') => copy(loader, loader.to_owned()),
            _ => {}
        }
    }
}

#[test]
fn libraries_that_only_the_configuration_leads_to() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = Inputs::new(dir.path());
    let tools = inputs.path("tools");
    transplant(&tools, "/usr/sbin/mkfs.xfs", "/opt/vendor/lib");
    transplant(&tools, "/bin/sh", "/opt/vendor/lib");
    let args = ["--tools-root", tools.to_str().unwrap(), "--tool-set", "xfs"];
    let error = inputs.refused(&args);
    assert!(
        error.contains("library libblkid.so.1 is not in") && error.contains("/usr/sbin/mkfs.xfs needs it"),
        "{error}"
    );

    inputs.put("tools/etc/ld.so.conf", b"include /etc/ld.so.conf.d/*.conf\n");
    inputs.put("tools/etc/ld.so.conf.d/vendor.conf", b"/opt/vendor/lib\n");
    let initrd = inputs.built(&args);
    let root = dir.path().join("unpacked");
    fs::create_dir(&root).unwrap();
    gnu_cpio(&root, &["-id", "-f", "dev/*"], &initrd);
    let output = chroot(&root, &["/usr/sbin/mkfs.xfs", "-V"]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn what_is_refused_and_what_is_said_about_it() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = Inputs::new(dir.path());
    let says = |args: &[&str], what: &[&str]| {
        let error = inputs.refused(args);
        assert!(what.iter().all(|what| error.contains(what)), "{error}");
    };
    fs::create_dir(inputs.path("empty")).unwrap();
    let empty = inputs.path("empty").display().to_string();
    says(
        &["--tools-root", &empty, "--tool-set", "xfs"],
        &["tool mkfs.xfs is not in", "install xfsprogs (Debian, Ubuntu)"],
    );
    says(&["--tool-set", "none", "--module", "nvme,xfs"], &["kernel 9.9.9-test has no module nvme:"]);
    says(&["--firmware", "/nowhere"], &["--firmware /nowhere is no folder"]);
    inputs.put("key.pem", b"-----BEGIN PRIVATE KEY-----\nSECRET\n");
    let key = inputs.path("key.pem").display().to_string();
    says(&["--tool-set", "none", "--add", &format!("{key}:/etc/key")], &["looks like a private key"]);
    says(&["--tool-set", "none", "--add", &key], &["not of the form SRC:DEST"]);

    inputs.put("trust.json", br#"{"ca_key":"-----BEGIN EC PRIVATE KEY-----"}"#);
    says(NO_TOOLS, &["checking the trust anchors", "looks like a private key"]);
    inputs.put("trust.json", b"{}");
    fs::copy(std::env::current_exe().unwrap(), inputs.path("init")).unwrap();
    says(NO_TOOLS, &["is not static", "musl"]);
    inputs.put("init", b"#!/bin/sh\n");
    inputs.put(&format!("root/boot/config-{KERNEL}"), b"# CONFIG_RD_ZSTD is not set\n");
    says(NO_TOOLS, &["cannot unpack a zstd initrd"]);
    fs::remove_file(inputs.path(&format!("root/lib/modules/{KERNEL}/modules.dep"))).unwrap();
    says(NO_TOOLS, &["reading modules.dep", "depmod -b"]);
    fs::remove_dir_all(inputs.path("root/lib")).unwrap();
    says(NO_TOOLS, &["kernel 9.9.9-test has no modules in"]);
}
