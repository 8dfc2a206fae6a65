//! Everything that a root filesystem can hold, packed by GNU tar in each of its formats (and by libarchive), and by our
//! own walk: what we unpack must be what GNU tar unpacks, and what was packed. Zero differences.

use std::path::Path;

use crate::support::{compare, run, scratch, through_image, torture};

/// What PAX needs to hold everything.
const ALL: [&str; 3] = ["--xattrs", "--xattrs-include=*", "--acls"];

fn same(what: &str, wanted: &Path, found: &Path) {
    let differences = compare::differences(wanted, found);
    assert!(differences.is_empty(), "{what}: {} differences\n{}", differences.len(), differences.join("\n"));
}

/// Packs with GNU tar and `format`, unpacks with GNU tar and with ours, and compares.
fn against_gnu_tar(format: &[&str], whole: bool) {
    let scratch = scratch();
    let [tree, archive, theirs, ours] =
        ["tree", "archive.tar", "theirs", "ours"].map(|name| scratch.path().join(name));
    torture::make(&tree);
    let extended: &[&str] = if whole { &ALL } else { &[] };
    let [tree_arg, archive_arg, theirs_arg] = [&tree, &archive, &theirs].map(|path| path.to_str().unwrap());
    run(
        "tar",
        &[format, extended, &["--sparse", "--numeric-owner", "-C", tree_arg, "-cf", archive_arg, "."]]
            .concat(),
    );
    std::fs::create_dir(&theirs).unwrap();
    run("tar", &[extended, &["--numeric-owner", "-p", "-C", theirs_arg, "-xf", archive_arg]].concat());
    let image = through_image(&archive, &scratch.path().join("store"), &ours);
    same("ours against GNU tar's", &theirs, &ours);
    if whole {
        same("ours against the tree", &tree, &ours);
        let wanted = ["security", "system", "trusted", "user"];
        assert_eq!(image.manifest.xattr_namespaces, wanted);
    }
    assert_eq!(image.report.privileged.iter().filter(|file| file.mode & 0o6000 != 0).count(), 3);
}

#[test]
fn image_unit_torture_gnu() {
    against_gnu_tar(&["--format=gnu"], false);
}

#[test]
fn image_unit_torture_oldgnu() {
    against_gnu_tar(&["--format=oldgnu"], false);
}

#[test]
fn image_unit_torture_pax_sparse_00() {
    against_gnu_tar(&["--format=posix", "--sparse-version=0.0"], true);
}

#[test]
fn image_unit_torture_pax_sparse_01() {
    against_gnu_tar(&["--format=posix", "--sparse-version=0.1"], true);
}

#[test]
fn image_unit_torture_pax_sparse_10() {
    against_gnu_tar(&["--format=posix", "--sparse-version=1.0"], true);
}

/// libarchive writes attributes in two forms, base64 and raw, and device numbers in its own keywords.
#[test]
fn image_unit_torture_libarchive() {
    let scratch = scratch();
    let [tree, archive, ours] = ["tree", "archive.tar", "ours"].map(|name| scratch.path().join(name));
    torture::make(&tree);
    let args = ["--format=pax", "--xattrs", "--acls", "--numeric-owner", "-C", tree.to_str().unwrap()];
    run("bsdtar", &[&args[..], &["-cf", archive.to_str().unwrap(), "."]].concat());
    through_image(&archive, &scratch.path().join("store"), &ours);
    // It writes -1000000 s + 0.5 s as "-1000000.5": wrong before it comes to us.
    let differences = compare::differences(&tree, &ours);
    let known = ["\"block\": mtime", "\"empty-dir\": mtime"];
    let wrong = differences.iter().filter(|line| !known.iter().any(|known| line.starts_with(known)));
    assert_eq!(wrong.collect::<Vec<_>>(), [""; 0]);
}

/// ACLs may be stored by name. The image's own users count, not those of the machine that packs or unpacks.
#[test]
fn image_unit_acl_by_name() {
    let scratch = scratch();
    let [tree, archive, ours] = ["tree", "archive.tar", "ours"].map(|name| scratch.path().join(name));
    std::fs::create_dir_all(tree.join("etc")).unwrap();
    std::fs::write(tree.join("file"), "").unwrap();
    run("setfacl", &["-m", "user:daemon:rwx,group:daemon:r--", tree.join("file").to_str().unwrap()]);
    let pack = || {
        run(
            "tar",
            &["--acls", "-C", tree.to_str().unwrap(), "-cf", archive.to_str().unwrap(), "file", "etc"],
        );
        let key = image::sign::SecretKey::generate().unwrap();
        let options = image::pack::ImportOptions::new("test");
        image::pack::import(&archive, scratch.path(), &key, &options, &mut |_| {})
    };
    let refused = pack().unwrap_err();
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert!(refused.to_string().contains("\"file\"") && cause.contains("\"daemon\""), "{refused}: {cause}");
    std::fs::write(tree.join("etc/passwd"), "daemon:x:4321:1::/:\n").unwrap();
    std::fs::write(tree.join("etc/group"), "root:x:0:\ndaemon:x:8765:\n").unwrap();
    pack().unwrap();
    through_image(&archive, &scratch.path().join("store"), &ours);
    let mut acl = [0; 100];
    let length = rustix::fs::getxattr(ours.join("file"), image::acl::ACCESS, acl.as_mut_slice()).unwrap();
    let acl = image::acl::decode(&acl[..length]).unwrap();
    assert_eq!(acl, "user::rw-,user:4321:rwx,group::r--,group:8765:r--,mask::rwx,other::r--");
}

/// A directory is imported as it is, twice with the same bytes, and GNU tar unpacks the archive just so.
#[test]
fn image_unit_torture_directory() {
    let scratch = scratch();
    let [tree, ours, theirs] = ["tree", "ours", "theirs"].map(|name| scratch.path().join(name));
    torture::make(&tree);
    // GNU tar keeps only files' and symlinks' further names; we keep all.
    std::fs::hard_link(tree.join("dev/fifo"), tree.join("dev/fifo-again")).unwrap();
    let image = through_image(&tree, &scratch.path().join("store"), &ours);
    same("ours against the tree", &tree, &ours);
    let again = through_image(&tree, &scratch.path().join("store-again"), &scratch.path().join("again"));
    assert_eq!(again.digest, image.digest);
    // Filesystems list a directory in orders of their own; the archive does not.
    let list =
        std::process::Command::new("tar").arg("-tf").arg(image.path.join("data.tar.zst")).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let names: Vec<_> = list.lines().filter(|name| name.starts_with("many/")).collect();
    assert!(names.len() == 301 && names.is_sorted(), "{names:?}");
    std::fs::create_dir(&theirs).unwrap();
    let data = image.path.join("data.tar.zst");
    let args =
        ["--zstd", "--numeric-owner", "-p", "-C", theirs.to_str().unwrap(), "-xf", data.to_str().unwrap()];
    run("tar", &[&ALL[..], &args].concat());
    same("GNU tar's against the tree", &tree, &theirs);
}
