//! A made-up kernel, and running `initrd-builder` on it. No root needed.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The made-up kernel's release.
pub const KERNEL: &str = "9.9.9-test";

/// A folder with all inputs of a build.
pub struct Inputs {
    pub dir: PathBuf,
}

impl Inputs {
    /// A kernel where `xfs` needs `libcrc32c`, which wishes `crc32c` (an alias of `crc32c_generic`); `e1000` names
    /// firmware that is there and firmware that is not; `ext4` is built in. A different compression for each.
    pub fn new(dir: &Path) -> Self {
        let inputs = Self { dir: dir.to_owned() };
        let modules = format!("root/lib/modules/{KERNEL}");
        inputs.put(
            &format!("{modules}/modules.dep"),
            b"kernel/fs/xfs.ko.xz: kernel/lib/libcrc32c.ko.zst\nkernel/lib/libcrc32c.ko.zst:\n\
              kernel/crypto/crc32c_generic.ko.gz:\nkernel/net/e1000.ko:\nkernel/net/unused.ko:\n",
        );
        inputs.put(
            &format!("{modules}/modules.alias"),
            b"# x\nalias crc32c crc32c_generic\nalias fs-xfs xfs\nalias a b\n",
        );
        inputs.put(
            &format!("{modules}/modules.softdep"),
            b"# x\nsoftdep libcrc32c pre: crc32c\nsoftdep unused pre: xfs\n",
        );
        inputs.put(&format!("{modules}/modules.builtin"), b"kernel/fs/ext4/ext4.ko\n");
        let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
        xz.write_all(&module("license=GPL\0name=xfs\0")).unwrap();
        inputs.put(&format!("{modules}/kernel/fs/xfs.ko.xz"), &xz.finish().unwrap());
        let zst = zstd::encode_all(module("name=libcrc32c\0").as_slice(), 1).unwrap();
        inputs.put(&format!("{modules}/kernel/lib/libcrc32c.ko.zst"), &zst);
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&module("name=crc32c_generic\0")).unwrap();
        inputs.put(&format!("{modules}/kernel/crypto/crc32c_generic.ko.gz"), &gz.finish().unwrap());
        inputs.put(
            &format!("{modules}/kernel/net/e1000.ko"),
            &module("firmware=nic/good.fw\0firmware=nic/gone.fw\0"),
        );
        inputs.put(&format!("{modules}/kernel/net/unused.ko"), &module(""));
        let firmware = zstd::encode_all(b"firmware".as_slice(), 1).unwrap();
        inputs.put("root/lib/firmware/nic/good.fw.zst", &firmware);
        inputs.put("init", b"#!/bin/sh\n");
        inputs.put("trust.json", br#"{"root_keys":[],"image_keys":[],"ca_pem":"","time_floor":0}"#);
        inputs
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn put(&self, name: &str, data: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, data).unwrap();
    }

    /// `build` with further arguments; the result is `out.img`.
    pub fn build(&self, further: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_initrd-builder"));
        command.args(["build", "--kernel-version", KERNEL, "--modules"]).arg(self.path("root"));
        command.arg("--init").arg(self.path("init")).arg("--trust").arg(self.path("trust.json"));
        command.arg("--output").arg(self.path("out.img")).args(further).output().unwrap()
    }

    /// A `build` that must succeed: the bytes.
    pub fn built(&self, further: &[&str]) -> Vec<u8> {
        let output = self.build(further);
        assert!(output.status.success(), "{}", stderr(&output));
        fs::read(self.path("out.img")).unwrap()
    }

    /// A `build` that must fail: what it says.
    pub fn refused(&self, further: &[&str]) -> String {
        let output = self.build(further);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(!self.path("out.img").exists(), "a failed build leaves nothing");
        stderr(&output)
    }
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs `initrd-builder` with `args`.
pub fn run(args: &[&str], files: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_initrd-builder")).args(args).args(files).output().unwrap()
}

/// GNU cpio's reading of an initrd of ours: `args` are its own, the archive comes on its stdin.
pub fn gnu_cpio(dir: &Path, args: &[&str], initrd: &[u8]) -> Vec<u8> {
    let plain = zstd::decode_all(initrd).unwrap();
    let mut child = Command::new("cpio")
        .args(["--quiet", "--no-absolute-filenames"])
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&plain).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "cpio {args:?}: {output:?}");
    output.stdout
}

/// A minimal ELF64 file with a `.modinfo` section: what this program reads of a kernel module (elf(5)).
pub fn module(modinfo: &str) -> Vec<u8> {
    let names = b"\0.modinfo\0.shstrtab\0";
    let (info_at, names_at) = (64, 64 + modinfo.len());
    let headers_at = (names_at + names.len()).next_multiple_of(8);
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // Type REL, machine x86-64, version, entry, program headers, section headers, flags, sizes and counts.
    file.extend([1, 0, 62, 0, 1, 0, 0, 0]);
    file.extend([0; 16]);
    file.extend((headers_at as u64).to_le_bytes());
    file.extend([0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 64, 0, 3, 0, 2, 0]);
    file.extend(modinfo.as_bytes());
    file.extend(names);
    file.resize(headers_at, 0);
    file.extend([0; 64]);
    for (name, kind, at, size) in [(1u32, 1u32, info_at, modinfo.len()), (10, 3, names_at, names.len())] {
        file.extend(name.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend([0; 16]);
        file.extend((at as u64).to_le_bytes());
        file.extend((size as u64).to_le_bytes());
        file.extend([0; 8]);
        file.extend(1u64.to_le_bytes());
        file.extend([0; 8]);
    }
    file
}
