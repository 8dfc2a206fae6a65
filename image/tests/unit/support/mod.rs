//! What the tests of this crate share: a tree with everything that a root filesystem can hold, a comparer that looks
//! at everything, and an image source over files that can be made to fail.

pub mod compare;
pub mod source;
pub mod torture;

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use image::pack::{ImportOptions, Imported, import};
use image::sign::SecretKey;
use image::source::Patience;
use image::{Image, Progress, UnpackError};
use source::Files;

/// A directory on a filesystem that has everything (tmpfs has no `user.*` attributes before Linux 6.6); removed on drop.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Runs a program that must succeed.
pub fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).env("LC_ALL", "C").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {errors}");
}

/// Imports `source` into a store of its own, and says where.
pub fn pack(source: &Path, store: &Path, key: &SecretKey) -> Imported {
    std::fs::create_dir_all(store).unwrap();
    let options = ImportOptions { level: 1, ..ImportOptions::new("test") };
    import(source, store, key, &options, &mut |_| {}).unwrap()
}

/// Unpacks an image below `target`.
pub fn unpack(
    source: &Files,
    key: &SecretKey,
    image: &Imported,
    target: &Path,
) -> Result<Progress, UnpackError> {
    std::fs::create_dir_all(target).unwrap();
    let image = Image::open(source, &[key.public()], image.digest, patience())?;
    image.unpack(File::open(target).unwrap().as_fd(), &mut |_| {})
}

/// Tries again at once, and gives up soon.
pub fn patience() -> Patience {
    let millisecond = std::time::Duration::from_millis(1);
    Patience { first_pause: millisecond, longest_pause: millisecond, give_up: 50 * millisecond }
}

/// `source` through an image: imported, unpacked below `target`.
pub fn through_image(source: &Path, store: &Path, target: &Path) -> Imported {
    let key = SecretKey::generate().unwrap();
    let image = pack(source, store, &key);
    let done = unpack(&Files::new(&image.path), &key, &image, target).unwrap();
    assert_eq!((done.plain, done.stored), (image.manifest.plain_size, image.manifest.stored_size));
    assert_eq!(done.members, image.report.members);
    image
}
