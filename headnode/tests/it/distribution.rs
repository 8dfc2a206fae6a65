//! A distribution's tree as a DVD has it: real repositories, by rpmbuild and createrepo_c, and stand-ins for the rest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::head::Head;

/// As `productmd` writes it for the DVD of Rocky Linux 9.6, with the sums of what is in this one.
pub const TREEINFO: &str = "[checksums]
images/install.img = sha256:{images/install.img}
images/pxeboot/initrd.img = sha256:{images/pxeboot/initrd.img}
images/pxeboot/vmlinuz = sha256:{images/pxeboot/vmlinuz}

[general]
; WARNING.0 = This section provides compatibility with pre-productmd treeinfos.
; WARNING.1 = Read productmd documentation for details about new format.
arch = x86_64
family = Rocky Linux
name = Rocky Linux 9.6
packagedir = AppStream/Packages
platforms = x86_64,xen
repository = AppStream
timestamp = 1748274131
variant = AppStream
variants = AppStream,BaseOS
version = 9.6

[header]
type = productmd.treeinfo
version = 1.2

[images-x86_64]
initrd = images/pxeboot/initrd.img
kernel = images/pxeboot/vmlinuz

[media]
discnum = 1
totaldiscs = 1

[release]
name = Rocky Linux
short = Rocky
version = 9.6

[stage2]
mainimage = images/install.img

[tree]
arch = x86_64
build_timestamp = 1748274131
platforms = x86_64,xen
variants = AppStream,BaseOS

[variant-AppStream]
id = AppStream
name = AppStream
packages = AppStream/Packages
repository = AppStream
type = variant
uid = AppStream

[variant-BaseOS]
id = BaseOS
name = BaseOS
packages = BaseOS/Packages
repository = BaseOS
type = variant
uid = BaseOS
";

const SPEC: &str = "Name: camphor-NAME
Version: 1
Release: 1
Summary: A package for a test
License: MIT
BuildArch: noarch
%description
None.
%files
";

pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error} (cargo xtask setup)"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn write(path: PathBuf, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A repository with one package.
pub fn repository(folder: &Path, name: &str) {
    let packages = folder.join("Packages/c");
    fs::create_dir_all(&packages).unwrap();
    let spec = folder.join("x.spec");
    fs::write(&spec, SPEC.replace("NAME", name)).unwrap();
    let define = |key: &str, value: &Path| format!("{key} {}", value.display());
    run(Command::new("rpmbuild")
        .args(["-bb", "--quiet", "--define", &define("_topdir", &folder.join("build"))])
        .args(["--define", &define("_rpmdir", &packages), "--define", "_build_name_fmt %%{NAME}.rpm"])
        .arg(&spec));
    fs::remove_dir_all(folder.join("build")).unwrap();
    fs::remove_file(spec).unwrap();
    run(Command::new("createrepo_c").arg("--quiet").arg(folder));
}

/// What is on the DVD: images, `.treeinfo` with their sums, two repositories, a name that only Rock Ridge has.
pub fn dvd(head: &Head) -> PathBuf {
    let folder = head.path("dvd");
    write(folder.join("images/pxeboot/vmlinuz"), "a kernel");
    write(folder.join("images/pxeboot/initrd.img"), "an initrd.");
    let stage2: Vec<u8> = (0..1_000_003_u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
    write(folder.join("images/install.img"), stage2);
    write(folder.join("A Name.of-Rock_Ridge's own, long and Mixed"), "here");
    repository(&folder.join("BaseOS"), "base");
    repository(&folder.join("AppStream"), "app");
    std::os::unix::fs::symlink("../images/install.img", folder.join("BaseOS/inside")).unwrap();
    treeinfo(&folder, TREEINFO);
    folder
}

pub fn treeinfo(folder: &Path, text: &str) {
    let mut text = text.to_owned();
    for path in ["images/install.img", "images/pxeboot/initrd.img", "images/pxeboot/vmlinuz"] {
        let sum = run(Command::new("sha256sum").arg(folder.join(path)));
        text = text.replace(&format!("{{{path}}}"), sum.split(' ').next().unwrap());
    }
    fs::write(folder.join(".treeinfo"), text).unwrap();
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
