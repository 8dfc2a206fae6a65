//! `list`, `size`, `diff`: on our own initrds, and on one put together as distributions do.

use std::fs;

use crate::common::{Inputs, run};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn list_and_size_of_several_segments() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = Inputs::new(dir.path());
    let ours = inputs.built(&["--tool-set", "none"]);
    // As a distribution ships it: an uncompressed archive, zeros, then the compressed one.
    let mut file = zstd::decode_all(ours.as_slice()).unwrap();
    let first = file.len();
    file.resize(first.next_multiple_of(512) + 512, 0);
    file.extend(&ours);
    fs::write(inputs.path("two.img"), &file).unwrap();

    let list = run(&["list"], &[&inputs.path("two.img")]);
    let out = text(&list.stdout);
    assert!(list.status.success() && out.starts_with("segment 1: plain, "), "{out}");
    assert!(out.contains("\nsegment 2: zstd, "), "{out}");
    assert_eq!(out.matches("crw------- 0:0       5,1 dev/console\n").count(), 2, "{out}");
    assert_eq!(out.matches("lrwxrwxrwx 0:0         7 lib -> usr/lib\n").count(), 2, "{out}");

    let size = run(&["size"], &[&inputs.path("two.img")]);
    let out = text(&size.stdout);
    assert!(size.status.success(), "{out}");
    for word in ["init ", "modules ", "firmware ", "libraries ", "tools ", "other ", "all ", "largest:"] {
        assert!(out.contains(&format!("\n{word}")), "{word} in {out}");
    }
}

#[test]
fn diff_says_what_changed_and_exits_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = Inputs::new(dir.path());
    inputs.built(&["--tool-set", "none"]);
    let (a, b) = (inputs.path("a.img"), inputs.path("b.img"));
    fs::rename(inputs.path("out.img"), &a).unwrap();
    let same = run(&["diff"], &[&a, &a]);
    assert_eq!(
        (same.status.code(), text(&same.stdout).as_str()),
        (Some(0), "0 entries differ; 0 bytes less, 0 bytes more\n")
    );

    inputs.put("trust.json", b"{}");
    inputs.built(&["--tool-set", "none", "--module-set", "fs"]);
    fs::rename(inputs.path("out.img"), &b).unwrap();
    let diff = run(&["diff"], &[&a, &b]);
    let out = text(&diff.stdout);
    assert_eq!(diff.status.code(), Some(1), "{out}");
    assert!(out.contains("- -rw-r--r-- 320 usr/lib/modules/9.9.9-test/kernel/net/e1000.ko\n"), "{out}");
    assert!(out.contains("~ etc/camphor/trust.json (59 -> 2 bytes)\n"), "{out}");
}

#[test]
fn what_is_no_initrd_is_an_error_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.img");
    fs::write(&file, b"\0\0\0\0hello").unwrap();
    let output = run(&["list"], &[&file]);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.contains("x.img: reading the segment at byte 4: neither a cpio archive"), "{error}");
}
