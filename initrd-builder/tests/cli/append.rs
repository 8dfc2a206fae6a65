//! `append` as a user runs it: behind any initrd, the same bytes again, what is refused.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use crate::common::{run, stderr};

const TRUST: &str = r#"{"root_keys":[],"image_keys":[],"ca_pem":"","time_floor":0}"#;

fn append(dir: &Path, further: &[&str]) -> Output {
    fs::write(dir.join("installer"), "#!/bin/sh\n").unwrap();
    fs::write(dir.join("trust.json"), TRUST).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_initrd-builder"));
    command.current_dir(dir).args(["append", "--installer", "installer", "--trust", "trust.json"]);
    command.args(["--output", "out.img"]).args(further).output().unwrap()
}

fn appended(dir: &Path, further: &[&str]) -> Vec<u8> {
    let output = append(dir, further);
    assert!(output.status.success(), "{}", stderr(&output));
    fs::read(dir.join("out.img")).unwrap()
}

fn listed(path: &Path) -> String {
    let output = run(&["list"], &[path]);
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// A newc archive with one file, as GNU cpio makes it.
fn archive(dir: &Path, name: &str) -> Vec<u8> {
    fs::write(dir.join(name), name).unwrap();
    let line = format!("echo {name} | cpio --quiet -o -H newc");
    let output = Command::new("sh").args(["-c", &line]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(plain).unwrap();
    gzip.finish().unwrap()
}

fn xz(plain: &[u8]) -> Vec<u8> {
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    xz.write_all(plain).unwrap();
    xz.finish().unwrap()
}

/// An lz4 stream in the kernel's ("legacy") format, of one block that is all literals.
fn lz4(plain: &[u8]) -> Vec<u8> {
    let mut block = vec![0xf0];
    let mut rest = plain.len() - 15;
    while rest >= 255 {
        block.push(255);
        rest -= 255;
    }
    block.push(rest as u8);
    block.extend_from_slice(plain);
    let mut stream = vec![0x02, 0x21, 0x4c, 0x18];
    stream.extend((block.len() as u32).to_le_bytes());
    stream.extend(block);
    stream
}

#[test]
fn whatever_is_in_front_stays_as_it_is_and_the_result_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let plain = archive(dir.path(), "stock-file");
    let mut microcode = archive(dir.path(), "microcode");
    microcode.extend(gzip(&plain));
    let stocks = [
        ("plain", plain.clone()),
        ("gzip", gzip(&plain)),
        ("xz", xz(&plain)),
        ("zstd", zstd::encode_all(plain.as_slice(), 1).unwrap()),
        ("lz4", lz4(&plain)),
        ("microcode and gzip", microcode),
    ];
    let segment = appended(dir.path(), &[]);
    for (kind, stock) in stocks {
        // A byte more gives every alignment in turn.
        for zeros in 0..4 {
            let mut stock = stock.clone();
            stock.resize(stock.len() + zeros, 0);
            fs::write(dir.path().join("stock.img"), &stock).unwrap();
            let result = appended(dir.path(), &["--initrd", "stock.img"]);
            assert!(result.starts_with(&stock), "{kind}: the stock bytes come first, unchanged");
            assert!(result.ends_with(&segment), "{kind}: then the segment, the same as alone");
            assert_eq!((result.len() % 4, (result.len() - segment.len()) % 4), (0, 0), "{kind}");
        }
        let list = listed(&dir.path().join("out.img"));
        assert!(list.contains(" stock-file\n"), "{kind}: {list}");
        assert!(list.contains(" usr/libexec/camphor/installer\n"), "{kind}: {list}");
    }
}

#[test]
fn the_token_behind_it_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = appended(dir.path(), &[]);
    served.extend(archive(dir.path(), "token"));
    fs::write(dir.path().join("served.img"), served).unwrap();
    let list = listed(&dir.path().join("served.img"));
    assert!(list.contains("segment 2: plain") && list.ends_with(" token\n"), "{list}");
}

#[test]
fn same_inputs_same_bytes() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_eq!(appended(a.path(), &[]), appended(b.path(), &[]));
}

#[test]
fn kusu_heads_are_named_in_the_anchors() {
    let dir = tempfile::tempdir().unwrap();
    let segment = appended(dir.path(), &["--allow-kusu", "10.1.0.1,kusu.example"]);
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(segment.as_slice()), &mut plain).unwrap();
    let text = String::from_utf8_lossy(&plain);
    assert!(text.contains(r#""allow_kusu":["10.1.0.1","kusu.example"]"#));
    let refused = append(dir.path(), &["--allow-kusu", "http://kusu/"]);
    assert!(stderr(&refused).contains("is no host name or address"));
}

#[test]
fn refused_with_a_reason_and_nothing_written() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("text"), "hello").unwrap();
    fs::write(dir.path().join("key.json"), r#"{"ca":"-----BEGIN PRIVATE KEY-----"}"#).unwrap();
    let cases: &[(&[&str], &str)] =
        &[(&["--initrd", "text"], "text is no initrd"), (&["--initrd", "absent"], "reading absent")];
    for (further, why) in cases {
        let output = append(dir.path(), further);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
    }
    for (installer, trust, why) in
        [("text", "trust.json", "text is no program"), ("installer", "key.json", "private key")]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_initrd-builder"));
        command.current_dir(dir.path()).args(["append", "--installer", installer, "--trust", trust]);
        let output = command.args(["--output", "out.img"]).output().unwrap();
        assert!(!output.status.success() && stderr(&output).contains(why), "{}", stderr(&output));
    }
    assert!(!dir.path().join("out.img").exists());
}
