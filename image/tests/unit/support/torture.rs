//! A tree with everything that unpackers get wrong.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, makedev, mknodat, utimensat,
};

/// A capability attribute (linux/capability.h, VFS_CAP_REVISION_2): cap_net_raw, effective and permitted.
const CAPABILITY: &[u8] = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// ACL attributes (linux/posix_acl_xattr.h): version, then entries of tag, permissions, id.
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend([&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat());
    }
    bytes
}

const NOBODY: u32 = u32::MAX;

struct Tree<'a> {
    root: &'a Path,
    /// Times are set at the end: making things changes them.
    times: Vec<(PathBuf, i64, i64)>,
}

impl Tree<'_> {
    fn path(&self, path: impl AsRef<OsStr>) -> PathBuf {
        self.root.join(Path::new(&path))
    }

    fn file(&mut self, path: impl AsRef<OsStr>, data: &[u8], mode: u32) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, data).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn dir(&mut self, path: impl AsRef<OsStr>, mode: u32) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn xattr(&mut self, path: &Path, name: &str, value: &[u8]) {
        rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
    }

    fn owner(&mut self, path: &Path, uid: u32, gid: u32, mode: u32) {
        chown(path, Some(uid), Some(gid)).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn node(&mut self, path: &str, kind: FileType, mode: u32, major: u32, minor: u32) -> PathBuf {
        let path = self.path(path);
        mknodat(CWD, &path, kind, Mode::from_raw_mode(mode), makedev(major, minor)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn files(&mut self) {
        self.file("empty", b"", 0o600);
        self.file("plain", b"hello\n", 0o644);
        self.file("block", &[7; 512], 0o444);
        self.file("block+1", &[7; 513], 0o000);
        self.file("large", &(0..3_000_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>(), 0o640);
        let path = self.file("setuid", b"\x7fELF", 0o755);
        self.owner(&path, 1234, 5678, 0o4755);
        let path = self.file("setgid", b"x", 0o755);
        self.owner(&path, 0, 5678, 0o2755);
        let path = self.file("large-ids", b"x", 0o644);
        self.owner(&path, 3_000_000_000, 4_000_000_000, 0o644);
        let path = self.dir("sticky", 0o755);
        self.owner(&path, 7, 8, 0o1777);
        let path = self.dir("setgid-dir", 0o755);
        self.owner(&path, 7, 8, 0o2775);
        self.file("setgid-dir/inside", b"its group is not the directory's", 0o644);
        self.file("closed/inside", b"x", 0o644);
        self.dir("closed", 0o000);
        self.dir("empty-dir", 0o755);
    }

    fn links(&mut self) {
        let first = self.file("links/a/first", b"three names", 0o644);
        self.dir("links/b", 0o755);
        fs::hard_link(&first, self.path("links/b/second")).unwrap();
        fs::hard_link(&first, self.path("zz-third")).unwrap();
        let targets = ["a/first", "/absolute/nowhere", "../..", "dangling"];
        for (name, target) in targets.into_iter().enumerate() {
            symlink(target, self.path(format!("links/sym{name}"))).unwrap();
        }
        symlink("x/".repeat(80), self.path("links/sym-long")).unwrap();
        symlink("y/".repeat(2000), self.path("links/sym-very-long")).unwrap();
        symlink(OsStr::from_bytes(b"\xff\xfe\n"), self.path("links/sym-bytes")).unwrap();
        let owned = self.path("links/sym-owned");
        symlink("a", &owned).unwrap();
        lchown(&owned, Some(11), Some(12)).unwrap();
        rustix::fs::linkat(CWD, &owned, CWD, self.path("links/sym-owned-again"), AtFlags::empty()).unwrap();
        self.xattr(&owned, "trusted.of-symlink", b"s");
        self.xattr(&owned, "security.selinux", b"system_u:object_r:link_t:s0\0");
    }

    fn nodes(&mut self) {
        self.dir("dev", 0o755);
        self.node("dev/null", FileType::CharacterDevice, 0o666, 1, 3);
        let path = self.node("dev/disk", FileType::BlockDevice, 0o660, 8, 1);
        chown(&path, Some(0), Some(6)).unwrap();
        self.xattr(&path, "trusted.of-device", b"d");
        self.node("dev/large-numbers", FileType::BlockDevice, 0o600, 4095, 1_048_575);
        let path = self.node("dev/fifo", FileType::Fifo, 0o622, 0, 0);
        self.xattr(&path, "trusted.of-fifo", b"f\nf");
    }

    fn names(&mut self) {
        let names: [&[u8]; 8] = [
            b"new\nline",
            b"\xff\xfe\x80",
            b"-dash",
            b" space ",
            b"back\\slash",
            b"a=b",
            b"100%",
            "ü€".as_bytes(),
        ];
        for name in names {
            self.file(OsStr::from_bytes(&[b"names/", name].concat()), name, 0o644);
        }
        for length in [99, 100, 101, 154, 155, 156, 255] {
            self.file(format!("names/{}", "n".repeat(length)), b"long", 0o644);
        }
        let long = format!("deep/{}", format!("{}/", "d".repeat(120)).repeat(8));
        self.file(format!("{long}file"), b"a path of a thousand bytes", 0o644);
        let first = self.path(format!("{long}file"));
        fs::hard_link(first, self.path(format!("{long}link"))).unwrap();
        self.dir(OsStr::from_bytes(b"names/\xe9 dir"), 0o750);
        symlink("z", self.path(OsStr::from_bytes(b"names/\xe9 dir/\xe9"))).unwrap();
        self.dir("many", 0o755);
        for number in 0..300 {
            self.file(format!("many/{number}"), format!("{number}").repeat(number).as_bytes(), 0o644);
        }
    }

    fn sparse(&mut self) {
        self.dir("sparse", 0o755);
        let sparse = |name: &str, size: u64, data: &[(u64, usize)]| {
            let file = File::create(self.root.join("sparse").join(name)).unwrap();
            file.set_len(size).unwrap();
            for (offset, len) in data {
                file.write_all_at(&vec![0xa5; *len], *offset).unwrap();
            }
        };
        sparse("hole", 1 << 20, &[]);
        sparse("begin", 1 << 20, &[(0, 5000)]);
        sparse("middle", 1 << 20, &[(500_000, 5000)]);
        sparse("end", 1 << 20, &[((1 << 20) - 10, 10)]);
        sparse("odd-size", 1_000_001, &[(0, 1), (999_999, 2)]);
        sparse("8GiB", 8 << 30, &[(0, 4096), (4 << 30, 100_000), ((8 << 30) - 4096, 4096)]);
        sparse("beyond-8GiB", (9 << 30) + 5, &[((9 << 30) - 1, 6)]);
        let combs: Vec<_> = (0..500).map(|tooth| (tooth * 65536 + 8192, 4096)).collect();
        sparse("comb", 500 * 65536, &combs);
        self.file(format!("sparse/{}", "s".repeat(200)), b"", 0o644);
        let long = File::options().write(true).open(self.root.join("sparse").join("s".repeat(200))).unwrap();
        long.write_all_at(b"x", 1 << 20).unwrap();
    }

    fn attributes(&mut self) {
        let path = self.file("attr/all", b"attributes", 0o640);
        self.xattr(&path, "user.lines", b"a\nb\n\n");
        self.xattr(&path, "user.bytes", &(0..=255).collect::<Vec<u8>>());
        self.xattr(&path, "user.empty", b"");
        self.xattr(&path, "user.large", &[b'l'; 2000]);
        self.xattr(&path, "trusted.t", b"t");
        self.xattr(&path, "security.selinux", b"system_u:object_r:etc_t:s0\0");
        self.xattr(&path, "user.percent%25", b"p");
        let path = self.file("attr/capable", b"ping", 0o755);
        self.xattr(&path, "security.capability", CAPABILITY);
        let path = self.file("attr/capable-owned-setuid", b"ping", 0o755);
        self.owner(&path, 5, 5, 0o4755);
        self.xattr(&path, "security.capability", CAPABILITY);
        let path = self.file("attr/acl", b"acl and more", 0o640);
        let access = acl(&[
            (1, 6, NOBODY),
            (2, 7, 70001),
            (2, 4, 70002),
            (4, 4, NOBODY),
            (8, 2, 70050),
            (16, 7, NOBODY),
            (32, 0, NOBODY),
        ]);
        self.xattr(&path, "system.posix_acl_access", &access);
        self.xattr(&path, "user.next-to-acl", b"\n1\n");
        self.xattr(&path, "security.capability", CAPABILITY);
        let dir = self.dir("attr/acl-dir", 0o750);
        self.file("attr/acl-dir/before", b"made before the default", 0o600);
        self.xattr(&dir, "system.posix_acl_access", &access);
        self.xattr(&dir, "system.posix_acl_default", &access);
        self.xattr(&dir, "user.dir", b"d\n");
        self.xattr(&dir, "security.selinux", b"system_u:object_r:dir_t:s0\0");
        self.file("attr/acl-dir/after", b"made after the default", 0o600);
        self.dir("attr/acl-dir/sub", 0o700);
    }

    fn set_times(&mut self) {
        let times = [
            ("plain", 1, 1),
            ("empty", 1_700_000_000, 999_999_999),
            ("block", -1_000_000, 500_000_000),
            ("setuid", -2_000, 0),
            ("large", 9_000_000_000, 5),
            ("dev/null", 1_000_000, 7),
            ("dev/fifo", 1_000_001, 8),
            ("links/sym0", 1_000_002, 123_456_789),
            ("links/sym3", -5, 0),
            ("sparse/8GiB", 1_234_567_890, 1),
            ("attr/acl-dir", 1_111_111_111, 111_111_111),
            ("attr", 1_222_222_222, 222_222_222),
            ("many", 1_333_333_333, 333_333_333),
            ("closed", 1_333_333_334, 0),
            ("empty-dir", -1, 999_999_999),
            ("", 1_444_444_444, 444_444_444),
        ];
        self.times.extend(times.map(|(path, secs, nanos)| (self.path(path), secs, nanos)));
        for (path, tv_sec, tv_nsec) in std::mem::take(&mut self.times) {
            let time = Timespec { tv_sec, tv_nsec };
            let times = Timestamps { last_access: time, last_modification: time };
            utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        }
    }
}

/// Makes the tree below `root`, which must not exist. Needs root's rights, and a filesystem with all attributes.
pub fn make(root: &Path) {
    fs::create_dir(root).unwrap();
    let mut tree = Tree { root, times: Vec::new() };
    tree.files();
    tree.links();
    tree.nodes();
    tree.names();
    tree.sparse();
    tree.attributes();
    tree.set_times();
}
