//! Archives that mean harm. Import refuses them by name; and the extractor, given them all the same, refuses them too or
//! stays within its root. Nothing outside is ever touched.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use image::extract::{ExtractError, Extractor, Limits};
use image::pack::{ImportOptions, import};
use image::sign::SecretKey;
use image::tar::member::{Kind, Member, Meta, Span};
use image::tar::read::Reader;
use image::tar::write;

use crate::support::{compare, scratch};

const LIMITS: Limits = Limits { inodes: 1000, bytes: 1 << 20 };

fn member(kind: Kind, path: &str, link: &str) -> Member {
    let meta = Meta { mode: 0o644, ..Meta::default() };
    let (path, link) = (path.as_bytes().to_vec(), link.as_bytes().to_vec());
    Member { path, kind, meta, size: 0, stored: 0, spans: None, link, device: (0, 0) }
}

fn file(path: &str) -> Member {
    Member { size: 4, stored: 4, ..member(Kind::File, path, "") }
}

fn dir(path: &str) -> Member {
    Member { meta: Meta { mode: 0o711, ..Meta::default() }, ..member(Kind::Dir, path, "") }
}

fn symlink(path: &str, target: &str) -> Member {
    member(Kind::Symlink, path, target)
}

fn hard_link(path: &str, target: &str) -> Member {
    member(Kind::HardLink, path, target)
}

fn archive(members: &[Member]) -> Vec<u8> {
    let mut archive = Vec::new();
    for member in members {
        write::member(&mut archive, member).unwrap();
        archive.extend(b"evil".iter().cycle().take(usize::try_from(member.stored).unwrap()));
        write::pad(&mut archive, member.stored).unwrap();
    }
    write::end(&mut archive).unwrap();
    archive
}

fn extract(archive: &[u8], root: &Path, limits: Limits) -> Result<(), ExtractError> {
    let root = File::open(root).unwrap();
    let mut extractor = Extractor::new(root.as_fd(), limits)?;
    let mut reader = Reader::new(archive);
    while let Some(member) = reader.next_member()? {
        extractor.member(member, &mut reader)?;
    }
    reader.drain()?;
    extractor.finish()
}

fn text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// A root beside something that must stay as it is.
struct Field {
    scratch: tempfile::TempDir,
}

impl Field {
    fn new() -> Self {
        let scratch = scratch();
        for name in ["outside", "outside-before"] {
            let dir = scratch.path().join(name);
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("secret"), "kept").unwrap();
            let time = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
            File::open(dir.join("secret")).unwrap().set_times(time).unwrap();
            File::open(&dir).unwrap().set_times(time).unwrap();
        }
        fs::create_dir(scratch.path().join("root")).unwrap();
        fs::create_dir(scratch.path().join("store")).unwrap();
        Self { scratch }
    }

    fn outside(&self) -> String {
        self.scratch.path().join("outside").to_str().unwrap().to_owned()
    }

    fn extract(&self, members: &[Member], limits: Limits) -> Result<(), ExtractError> {
        let done = extract(&archive(members), &self.scratch.path().join("root"), limits);
        self.check();
        done
    }

    fn import(&self, members: &[Member]) -> Result<(), image::pack::ImportError> {
        self.import_bytes(&archive(members))
    }

    fn import_bytes(&self, archive: &[u8]) -> Result<(), image::pack::ImportError> {
        let path = self.scratch.path().join("a.tar");
        fs::write(&path, archive).unwrap();
        let key = SecretKey::generate().unwrap();
        import(&path, &self.scratch.path().join("store"), &key, &ImportOptions::new("x"), &mut |_| {})
            .map(drop)
    }

    /// Nothing outside has changed, been added, or got another name.
    fn check(&self) {
        let path = |name| self.scratch.path().join(name);
        assert_eq!(compare::differences(&path("outside-before"), &path("outside")), [""; 0]);
        let mut names: Vec<_> =
            fs::read_dir(self.scratch.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.retain(|name| name != "a.tar");
        names.sort();
        assert_eq!(names, ["outside", "outside-before", "root", "store"]);
    }
}

/// Archives that neither import nor the extractor takes, and what both say about the member.
fn refused(outside: &str) -> Vec<(&'static str, Vec<Member>, &'static str, &'static str)> {
    let in_outside = format!("{outside}/secret");
    vec![
        ("dot-dot", vec![file("../outside/new")], "../outside/new", "'..'"),
        ("dot-dot inside", vec![dir("a"), file("a/../../outside/new")], "a/../../outside/new", "'..'"),
        ("dot-dot that stays inside", vec![dir("a"), file("a/../b")], "a/../b", "'..'"),
        ("dot-dot alone", vec![dir("..")], "..", "'..'"),
        ("absolute", vec![file("/outside")], "/outside", "absolute"),
        ("absolute directory", vec![dir("//outside/")], "//outside/", "absolute"),
        ("through an absolute symlink", vec![symlink("l", outside), file("l/secret")], "l/secret", "symlink"),
        (
            "through a relative symlink",
            vec![symlink("l", "../outside"), file("l/secret")],
            "l/secret",
            "symlink",
        ),
        ("a directory through one", vec![symlink("l", "../outside"), dir("l/new")], "l/new", "symlink"),
        (
            "two steps up",
            vec![dir("a"), symlink("a/l", ".."), symlink("a/m", "l/.."), file("a/m/new")],
            "a/m/new",
            "symlink",
        ),
        ("through /proc", vec![symlink("l", "/proc/self/cwd"), file("l/new")], "l/new", "symlink"),
        ("hard link up", vec![hard_link("h", "../outside/secret")], "h", "'..'"),
        ("hard link to an absolute path", vec![hard_link("h", "/etc/passwd")], "h", "absolute"),
        (
            "hard link through a symlink",
            vec![symlink("l", "../outside"), hard_link("h", "l/secret")],
            "h",
            "symlink",
        ),
        ("hard link to nothing", vec![hard_link("h", "nothing")], "h", "nothing"),
        ("hard link to the root", vec![hard_link("h", ".")], "h", ""),
        ("hard link to a directory", vec![dir("d"), hard_link("h", "d")], "h", ""),
        ("the root as a file", vec![file(".")], ".", "root"),
        ("the root as a symlink", vec![symlink("./", &in_outside)], "./", "root"),
        ("a very deep path", vec![file("d/".repeat(500).trim_end_matches('/'))], "d/d", "nested"),
    ]
}

#[test]
fn image_unit_hostile_archives_are_refused() {
    let outside = Field::new().outside();
    for (name, members, member, problem) in refused(&outside) {
        let field = Field::new();
        let import = text(&field.import(&members).expect_err(name));
        let extract = text(&field.extract(&members, LIMITS).expect_err(name));
        for message in [&import, &extract] {
            assert!(message.contains(member) && message.contains(problem), "{name}: {message}");
        }
        assert_eq!(fs::read_dir(field.scratch.path().join("store")).unwrap().count(), 0, "{name}");
    }
}

/// Archives that try something and are taken: what they make is inside.
#[test]
fn image_unit_namesakes_are_replaced_not_followed() {
    let field = Field::new();
    let outside = field.outside();
    let secret = format!("{outside}/secret");
    let mut closed = dir("d");
    closed.meta.mode = 0o000;
    let members = [
        // A file over a symlink; a file over a further name of a symlink; a directory over a symlink.
        symlink("a", &secret),
        file("a"),
        symlink("b", &secret),
        hard_link("c", "b"),
        file("c"),
        symlink("e", &outside),
        dir("e"),
        file("e/inside"),
        // A directory's metadata must not go to what a symlink of its name points to.
        closed,
        symlink("d", &outside),
        // Links within the root may be followed.
        dir("usr/lib"),
        symlink("lib", "usr/lib"),
        file("lib/x"),
        dir("usr/share"),
        symlink("usr/lib/up", "../share"),
        file("lib/up/y"),
        // A link's target is looked for where it is now, not where a symlink led before.
        file("usr/lib/z"),
        symlink("t", "usr/lib"),
        hard_link("before", "t/z"),
        dir("t"),
        file("t/z"),
        hard_link("after", "t/z"),
        // The last of two files wins, and its earlier name's link keeps the old content.
        file("f"),
        hard_link("g", "f"),
        file("f"),
        hard_link("f", "f"),
        // An attribute's path goes through /proc: it must not follow the last link.
        Member {
            meta: Meta { xattrs: vec![(b"trusted.x".to_vec(), b"1".to_vec())], ..Meta::default() },
            ..symlink("h", &secret)
        },
    ];
    field.import(&members).unwrap();
    field.extract(&members, LIMITS).unwrap();
    field.check();
    let root = field.scratch.path().join("root");
    for file in ["a", "c", "e/inside", "usr/lib/x", "usr/share/y", "f", "g"] {
        let stat = fs::symlink_metadata(root.join(file)).unwrap();
        assert!(stat.is_file() && stat.nlink() == 1 && stat.len() == 4, "{file}");
    }
    for (file, other) in [("before", "usr/lib/z"), ("after", "t/z")] {
        let inode = |name| fs::symlink_metadata(root.join(name)).unwrap().ino();
        assert_eq!(inode(file), inode(other), "{file}");
    }
    assert!(fs::symlink_metadata(root.join("d")).unwrap().is_symlink());
    assert_eq!(fs::symlink_metadata(root.join("e")).unwrap().mode() & 0o7777, 0o711);
}

#[test]
fn image_unit_limits_hold() {
    let big = |path: &str, stored| Member { size: stored, stored, ..member(Kind::File, path, "") };
    let many: Vec<_> = (0..1001).map(|number| file(&number.to_string())).collect();
    let deep: Vec<_> = (0..100).map(|number| file(&format!("{number}/a/b/c/d/e/f/g/h/i/j/k"))).collect();
    // A directory that is named again and again is one inode; and all but the root may be used up.
    let mut fitting: Vec<_> = (0..LIMITS.inodes).map(|_| dir("again")).collect();
    fitting.extend((2..LIMITS.inodes).map(|number| Member {
        size: 0,
        stored: 0,
        ..file(&number.to_string())
    }));
    Field::new().extract(&fitting, LIMITS).unwrap();
    for (name, members, what) in [
        ("one file", vec![big("big", LIMITS.bytes + 1)], "bytes"),
        ("two files", vec![big("small", LIMITS.bytes), big("big", 1)], "bytes"),
        ("members", many, "inodes"),
        ("implied directories", deep, "inodes"),
    ] {
        let error = Field::new().extract(&members, LIMITS).expect_err(name);
        assert!(matches!(error, ExtractError::Limit { what: found, .. } if found == what), "{name}: {error}");
    }
}

#[test]
fn image_unit_contradictions_are_refused() {
    let sparse = |size, spans: &[(u64, u64)]| {
        let spans: Vec<_> = spans.iter().map(|&(offset, len)| Span { offset, len }).collect();
        let stored = spans.iter().map(|span| span.len).sum();
        Member { size, stored, spans: Some(spans), ..member(Kind::File, "sparse", "") }
    };
    for (name, members, problem) in [
        ("a file over a full directory", vec![file("d/f"), file("d")], "not empty"),
        ("a file as a directory", vec![file("f"), file("f/g")], "f"),
        ("overlapping spans", vec![sparse(100, &[(0, 20), (10, 20)])], "overlap"),
        ("spans beyond the end", vec![sparse(10, &[(0, 20)])], "beyond"),
        ("an impossible offset", vec![sparse(100, &[(u64::MAX - 5, 20)])], "bad number"),
    ] {
        let error = text(&Field::new().extract(&members, LIMITS).expect_err(name));
        assert!(error.contains(problem), "{name}: {error}");
    }
}

#[test]
fn image_unit_broken_archives_are_refused() {
    let good = archive(&[dir("a"), file("a/b")]);
    let field = Field::new();
    let root = field.scratch.path().join("root");
    extract(&good, &root, LIMITS).unwrap();
    // Cut anywhere, up to where the end mark is known.
    for len in (0..=3 * 512).step_by(100) {
        let error = extract(&good[..len], &root, LIMITS).unwrap_err();
        assert!(text(&error).contains("cut off"), "{len}: {error}");
    }
    let change = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let type_byte = |byte| {
        let mut bytes = change(156, byte);
        let sum: u32 = bytes[..512].iter().map(|&byte| u32::from(byte)).sum::<u32>()
            - bytes[148..156].iter().map(|&byte| u32::from(byte)).sum::<u32>()
            + 8 * 32;
        bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes
    };
    for (name, bytes, problem) in [
        ("a flipped bit", change(0, b'b'), "tar archive"),
        ("a flipped bit later", change(512, b'x'), "byte 512"),
        ("an unknown type", type_byte(b'M'), "type 'M'"),
        ("a second archive", [good.clone(), good.clone()].concat(), "behind the archive's end"),
        ("a lone zero block", [&[0; 512], &good[..]].concat(), "lone zero block"),
        ("no archive", vec![b'x'; 1024], "tar archive"),
    ] {
        let error = text(&extract(&bytes, &root, LIMITS).expect_err(name));
        let import = text(&field.import_bytes(&bytes).expect_err(name));
        assert!(error.contains(problem) && import.contains(problem), "{name}: {error}; {import}");
    }
}
