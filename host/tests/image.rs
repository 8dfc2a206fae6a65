//! Images over HTTP, with servers that fail in every way. Needs root (owners, tmpfs).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use host::Machine;
use image::pack::{ImportOptions, import};
use image::sign::SecretKey;
use nii::digest::Digest;
use plan::{Act, Op};
use support::server::{Fault, Faults, Server};
use support::{Kept, MIB, Target, machine_obeying};
use tempfile::TempDir;

/// An image of some files, in a store.
struct Store {
    directory: TempDir,
    key: SecretKey,
    digest: Digest,
}

impl Store {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        fs::create_dir_all(tree.join("etc")).unwrap();
        fs::write(tree.join("etc/os-release"), "ID=debian\n").unwrap();
        // Several chunks that do not compress away.
        let mut state = 1_u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_le_bytes()
        };
        for name in ["a", "b", "c"] {
            let bytes: Vec<u8> = (0..3 * MIB / 8).flat_map(|_| noise()).collect();
            fs::write(tree.join(name), bytes).unwrap();
        }
        let key = SecretKey::generate().unwrap();
        let store = directory.path().join("store");
        fs::create_dir(&store).unwrap();
        let imported = import(&tree, &store, &key, &ImportOptions::new("test"), &mut |_| {}).unwrap();
        Self { directory, key, digest: imported.digest }
    }

    /// The folder of the image's files.
    fn files(&self) -> PathBuf {
        self.directory.path().join("store").join(self.digest.to_string())
    }

    /// Unpacks from `sources` and compares; the progress that was told.
    fn unpack(&self, sources: &[&str]) -> anyhow::Result<Vec<(u64, u64)>> {
        let target = Target::new();
        let mut machine = machine_obeying(target.path(), vec![self.key.public().line()]);
        let mut watch = Kept::default();
        let sources: Vec<String> = sources.iter().map(ToString::to_string).collect();
        let acts = [
            Act::MountTmpfs { size: 64 * MIB, inodes: 1000 },
            Act::Unpack { manifest: self.digest, sources: sources.clone() },
        ];
        for act in acts {
            machine.apply(&Op::new(act, "test"), &mut watch)?;
        }
        assert_eq!(machine.manifest(self.digest, &sources, &mut watch).unwrap().name, "test");
        for name in ["a", "b", "c", "etc/os-release"] {
            let wanted = fs::read(self.directory.path().join("tree").join(name)).unwrap();
            assert!(fs::read(target.path().join(name)).unwrap() == wanted, "{name} differs");
        }
        Ok(watch.progress)
    }
}

fn server(files: &Path, faults: impl Fn(&str, usize) -> Fault + Send + Sync + 'static) -> Server {
    let faults: Faults = Box::new(faults);
    Server::new(files, faults)
}

#[test]
fn an_image_is_unpacked_over_few_connections() {
    let store = Store::new();
    let good = server(&store.files(), |_, _| Fault::None);
    let progress = store.unpack(&[&good.url]).unwrap();
    let (done, total) = *progress.last().unwrap();
    assert_eq!(done, total);
    assert!(total > 9 * MIB && progress.len() > 5, "{progress:?}");
    assert!(
        good.connections() <= 9 && good.requests() > good.connections(),
        "{} connections",
        good.connections()
    );
    assert_eq!(good.asked_again(), 0);
}

#[test]
fn what_passes_is_tried_again() {
    let store = Store::new();
    // Each third answer fails, in another way each time.
    let faults = [Fault::Status(503), Fault::Cut, Fault::Lie, Fault::IgnoreRange, Fault::Status(429)];
    let shaky = server(&store.files(), move |_, number| match number % 3 {
        1 => faults[number / 3 % faults.len()],
        _ => Fault::None,
    });
    store.unpack(&[&shaky.url]).unwrap();
}

#[test]
fn whoever_waits_for_the_manifest_says_so() {
    let store = Store::new();
    let late = server(&store.files(), |_, number| if number == 0 { Fault::Status(503) } else { Fault::None });
    let target = Target::new();
    let mut machine = machine_obeying(target.path(), vec![store.key.public().line()]);
    let mut watch = Kept::default();
    machine.manifest(store.digest, std::slice::from_ref(&late.url), &mut watch).unwrap();
    assert!(watch.lines.iter().any(|line| line.contains("asking again in a moment")), "{:?}", watch.lines);
}

#[test]
fn another_source_takes_over() {
    let store = Store::new();
    let good = server(&store.files(), |_, _| Fault::None);
    // After the manifest and a few chunks the first source is gone, one way or another.
    for fault in [Fault::Status(404), Fault::Status(500), Fault::Cut, Fault::IgnoreRange] {
        let bad = server(&store.files(), move |_, number| if number < 5 { Fault::None } else { fault });
        store.unpack(&[&bad.url, &good.url]).unwrap();
        assert!(bad.requests() < 16, "{fault:?}: the bad source was asked {} times", bad.requests());
    }
    store.unpack(&["http://127.0.0.1:9", &good.url]).unwrap();
}

#[test]
fn a_liar_is_dropped() {
    let store = Store::new();
    let good = server(&store.files(), |_, _| Fault::None);
    let liar = server(&store.files(), |path, _| if path.contains("data") { Fault::Lie } else { Fault::None });
    store.unpack(&[&liar.url, &good.url]).unwrap();
    // As many as were under way when the first lie was found; the manifest is read twice.
    assert!(liar.requests() <= 16, "the liar was asked {} times", liar.requests());
}

#[test]
fn what_no_source_has_is_an_error_at_once() {
    let store = Store::new();
    let empty = server(Path::new("/nonexistent"), |_, _| Fault::None);
    let error = format!("{:#}", store.unpack(&[&empty.url, &empty.url]).unwrap_err());
    assert!(error.contains("unpack image") && error.contains("404"), "{error}");
    let error = format!("{:#}", store.unpack(&[]).unwrap_err());
    assert!(error.contains("names no source"), "{error}");
}

#[test]
fn an_image_of_another_key_is_refused() {
    let store = Store { key: SecretKey::generate().unwrap(), ..Store::new() };
    let good = server(&store.files(), |_, _| Fault::None);
    let error = format!("{:#}", store.unpack(&[&good.url]).unwrap_err());
    assert!(error.contains("not signed by a trusted key"), "{error}");
}
