//! What import makes of directories and tarballs: the manifest, the files, and nothing when it fails.

use std::fs;
use std::path::Path;

use image::pack::{ImportOptions, import};
use image::sign::{PublicKey, SecretKey};
use nii::digest::Digest;
use nii::manifest::{Kernel, Manifest, Os};

use crate::support::{pack, run, scratch, through_image};

/// A tree that looks like a root filesystem. `/etc/os-release` is a link, as on most systems.
fn root(root: &Path) {
    let elf =
        |machine: u16| [&b"\x7fELF\x02\x01\x01"[..], &[0; 11], &machine.to_le_bytes(), &[0; 100]].concat();
    for (path, content) in [
        (
            "usr/lib/os-release",
            &b"PRETTY_NAME=\"Test \\\"OS\\\" 1\"\nID=test\nID_LIKE=\"debian fedora\"\nVERSION_ID='1.5'\n"[..],
        ),
        ("usr/bin/a", &elf(183)),
        ("usr/bin/b", &elf(183)),
        ("usr/bin/c", &elf(62)),
        ("boot/vmlinuz-6.1.0", b"kernel"),
        ("boot/initrd.img-6.1.0", b"initrd"),
        ("usr/lib/modules/6.1.0/modules.dep", b""),
        ("usr/lib/modules/6.2.0/vmlinuz", b"kernel"),
        ("usr/lib/modules/6.2.0/modules.dep", b""),
        ("boot/initramfs-6.2.0.img", b"initrd"),
        ("boot/vmlinuz-0-rescue", b"kernel"),
        ("boot/initrd.img-9.9-without-kernel", b"initrd"),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fs::create_dir(root.join("etc")).unwrap();
    std::os::unix::fs::symlink("../usr/lib/os-release", root.join("etc/os-release")).unwrap();
    std::os::unix::fs::symlink("usr/lib", root.join("lib")).unwrap();
}

fn kernel(version: &str, modules: bool, vmlinuz: &str, initrd: Option<&str>) -> Kernel {
    let (vmlinuz, initrd) = (Some(vmlinuz.to_owned()), initrd.map(str::to_owned));
    Kernel { version: version.to_owned(), modules, vmlinuz, initrd }
}

#[test]
fn image_unit_manifest_says_what_is_inside() {
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    root(&tree);
    let manifest = through_image(&tree, &scratch.path().join("store"), &scratch.path().join("out")).manifest;
    let os = Os {
        id: "test".to_owned(),
        id_like: vec!["debian".to_owned(), "fedora".to_owned()],
        version_id: "1.5".to_owned(),
        pretty_name: "Test \"OS\" 1".to_owned(),
    };
    assert_eq!((manifest.arch.as_str(), manifest.os.clone()), ("aarch64", os));
    let wanted = [
        kernel("0-rescue", false, "boot/vmlinuz-0-rescue", None),
        kernel("6.1.0", true, "boot/vmlinuz-6.1.0", Some("boot/initrd.img-6.1.0")),
        kernel("6.2.0", true, "usr/lib/modules/6.2.0/vmlinuz", Some("boot/initramfs-6.2.0.img")),
    ];
    assert_eq!(manifest.kernels, wanted);
    assert!(manifest.serves_kernel("6.2.0") && !manifest.serves_kernel("0-rescue"));
    // find(1) would count the same: 12 files, 2 links, 8 directories, the root.
    assert_eq!(manifest.inodes, 23);
}

/// Directories that an archive does not name are made all the same, and count.
#[test]
fn image_unit_implied_directories_count() {
    let scratch = scratch();
    let (tree, archive) = (scratch.path().join("tree"), scratch.path().join("a.tar"));
    root(&tree);
    let names = ["usr/bin/a", "usr/lib/os-release", "boot/vmlinuz-6.1.0"];
    let args = ["--no-recursion", "-C", tree.to_str().unwrap(), "-cf", archive.to_str().unwrap()];
    run("tar", &[&args[..], &names].concat());
    let image = through_image(&archive, &scratch.path().join("store"), &scratch.path().join("out"));
    assert_eq!(image.manifest.inodes, 1 + 3 + 4);
}

/// The same tar bytes, whatever they are wrapped in; and `zstd -d` gives them back.
#[test]
fn image_unit_import_of_each_compression() {
    let scratch = scratch();
    let key = SecretKey::generate().unwrap();
    let (tree, archive) = (scratch.path().join("tree"), scratch.path().join("a.tar"));
    root(&tree);
    fs::write(tree.join("large"), (0..700_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>()).unwrap();
    let archive_arg = archive.to_str().unwrap();
    run("tar", &["-C", tree.to_str().unwrap(), "-cf", archive_arg, "."]);
    let plain = pack(&archive, &scratch.path().join("plain"), &key);
    assert!(plain.manifest.chunks > 2);
    for (program, suffix) in [("gzip", "gz"), ("bzip2", "bz2"), ("xz", "xz"), ("zstd", "zst")] {
        run(program, &["-k", archive_arg]);
        let image =
            pack(&archive.with_extension(format!("tar.{suffix}")), &scratch.path().join(suffix), &key);
        assert_eq!(image.digest, plain.digest, "{program}");
    }
    let (data, out) = (plain.path.join("data.tar.zst"), scratch.path().join("out.tar"));
    run("zstd", &["-dq", data.to_str().unwrap(), "-o", out.to_str().unwrap()]);
    assert!(fs::read(out).unwrap() == fs::read(&archive).unwrap());
    let manifest = fs::read(plain.path.join("manifest.json")).unwrap();
    assert_eq!(Digest::of(&manifest), plain.digest);
    assert_eq!(Manifest::parse(&manifest).unwrap(), plain.manifest);
    let signature = fs::read_to_string(plain.path.join("manifest.json.minisig")).unwrap();
    assert!(key.public().verify(&manifest, &signature).unwrap().contains(&plain.digest.to_string()));
}

/// A second import of the same replaces the first: here, by a newer key's signature. A failed one leaves nothing.
#[test]
fn image_unit_import_replaces_or_leaves_nothing() {
    let scratch = scratch();
    let (tree, store) = (scratch.path().join("tree"), scratch.path().join("store"));
    root(&tree);
    let (old, new) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
    let first = pack(&tree, &store, &old);
    fs::write(first.path.join("data.tar.zst"), "damaged").unwrap();
    let second = pack(&tree, &store, &new);
    assert_eq!(first.path, second.path);
    let signed_by = |key: &PublicKey| {
        let read = |name| fs::read(second.path.join(name)).unwrap();
        key.verify(&read("manifest.json"), &String::from_utf8(read("manifest.json.minisig")).unwrap()).is_ok()
    };
    assert!(signed_by(&new.public()) && !signed_by(&old.public()));
    assert_eq!(fs::metadata(second.path.join("data.tar.zst")).unwrap().len(), second.manifest.stored_size);
    let entries = || fs::read_dir(&store).unwrap().count();
    assert_eq!(entries(), 1);
    let bad = scratch.path().join("bad.tar");
    for content in [&b"not a tar archive at all"[..], &[b'x'; 2000], &[0; 300], b"\x1f\x8b\x08\0broken"] {
        fs::write(&bad, content).unwrap();
        import(&bad, &store, &new, &ImportOptions::new("bad"), &mut |_| {}).unwrap_err();
        assert_eq!(entries(), 1);
    }
    import(&tree, &store, &new, &ImportOptions::new("bad\nname"), &mut |_| {}).unwrap_err();
    assert_eq!(entries(), 1);
}

/// The sum for the preflight of diskless nodes is not below what a tmpfs really takes, nor far above.
#[test]
fn image_unit_ram_bytes() {
    struct Mounted(std::path::PathBuf);
    impl Drop for Mounted {
        fn drop(&mut self) {
            run("umount", &[self.0.to_str().unwrap()]);
        }
    }
    let scratch = scratch();
    let [tree, mount] = ["tree", "mount"].map(|name| scratch.path().join(name));
    root(&tree);
    for number in 0..500 {
        fs::write(tree.join(format!("{number}")), vec![1; number * 10]).unwrap();
    }
    let sparse = fs::File::create(tree.join("sparse")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", 5000).unwrap();
    fs::create_dir(&mount).unwrap();
    run("mount", &["-t", "tmpfs", "tmpfs", mount.to_str().unwrap()]);
    let mounted = Mounted(mount);
    let image = through_image(&tree, &scratch.path().join("store"), &mounted.0);
    let stat = rustix::fs::statvfs(&mounted.0).unwrap();
    let used = (stat.f_blocks - stat.f_bfree) * stat.f_frsize;
    let promised = image.manifest.ram_bytes;
    assert!(used <= promised && promised < used + 1024 * 700, "{used} {promised}");
    // tmpfs counts its own root, as we do.
    assert_eq!(stat.f_files - stat.f_ffree, image.manifest.inodes);
}

/// A mounted filesystem below a directory is not part of it; a socket cannot be.
#[test]
fn image_unit_what_a_directory_leaves_out() {
    let scratch = scratch();
    let tree = scratch.path().join("tree");
    root(&tree);
    let _socket = std::os::unix::net::UnixListener::bind(tree.join("etc/socket")).unwrap();
    let image = pack(&tree, &scratch.path().join("store"), &SecretKey::generate().unwrap());
    assert_eq!(image.report.sockets, ["etc/socket"]);
    assert!(image.report.mounts.is_empty());
}
