//! Everything that can be wrong with an image's bytes is seen before the extractor sees them; what passes is tried
//! again.

use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use image::pack::Imported;
use image::sign::SecretKey;
use image::source::{FetchError, Piece, PieceError};
use image::{Image, UnpackError};

use nii::digest::Digest;
use nii::manifest::PageReader;

use crate::support::source::Files;
use crate::support::{compare, pack, patience, scratch, unpack};

/// An image of six chunks: every file is as large as a chunk, and unlike the others.
struct Sample {
    scratch: tempfile::TempDir,
    tree: PathBuf,
    image: Imported,
    key: SecretKey,
    /// Where the fourth chunk starts.
    fourth: u64,
}

impl Sample {
    fn new() -> Self {
        let scratch = scratch();
        let tree = scratch.path().join("tree");
        fs::create_dir(&tree).unwrap();
        for number in 0..5u32 {
            // Incompressible, so that chunks are of about one size.
            let block = |index: u32| Digest::of(&[index.to_le_bytes(), number.to_le_bytes()].concat()).0;
            fs::write(tree.join(number.to_string()), (0..1 << 15).flat_map(block).collect::<Vec<_>>())
                .unwrap();
        }
        let key = SecretKey::generate().unwrap();
        let image = pack(&tree, &scratch.path().join("store"), &key);
        assert_eq!(image.manifest.chunks, 6);
        let pages = fs::read(image.path.join("pages.bin")).unwrap();
        let fourth = PageReader::default().read(&image.manifest, &pages).unwrap()[3].offset;
        Self { scratch, tree, image, key, fourth }
    }

    /// Unpacks, and says how many plain bytes the extractor saw.
    fn unpack(&self, source: &Files) -> (Result<(), UnpackError>, u64) {
        let target = tempfile::tempdir_in(self.scratch.path()).unwrap();
        let mut seen = 0;
        let result =
            Image::open(source, &[self.key.public()], self.image.digest, patience()).and_then(|image| {
                let root = fs::File::open(&target).unwrap();
                image.unpack(root.as_fd(), &mut |progress| seen = progress.plain).map(drop)
            });
        if result.is_ok() {
            // The tree's own directory is newer than its image's root: both are compared below it.
            assert_eq!(compare::differences(&self.tree, target.path()), [""; 0]);
        } else if seen == 0 {
            assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
        }
        (result, seen)
    }
}

/// Ways to damage bytes.
type Damage = (&'static str, fn(&mut Vec<u8>));

/// See [`Damage`].
const DAMAGES: [Damage; 6] = [
    ("first bit", |bytes| bytes[0] ^= 1),
    ("middle bit", |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
    }),
    ("last bit", |bytes| *bytes.last_mut().unwrap() ^= 0x80),
    ("cut off", |bytes| bytes.truncate(bytes.len() - 2)),
    ("nothing", Vec::clear),
    ("longer", |bytes| bytes.push(0)),
];

/// Pieces to spoil: manifest, signature, page, and the chunk that starts at `chunk`.
fn is(piece: Piece, index: usize, chunk: u64) -> bool {
    match (piece, index) {
        (Piece::Manifest, 0) | (Piece::Signature, 1) | (Piece::Pages { .. }, 2) => true,
        (Piece::Data { offset, .. }, 3) => offset == chunk,
        _ => false,
    }
}

#[test]
fn image_unit_damage_is_seen_and_what_passes_is_fetched_again() {
    let sample = Sample::new();
    let fourth = sample.fourth;
    for index in 0..4 {
        for (name, damage) in DAMAGES {
            // Damaged for ever.
            let source = Files::faulty(&sample.image.path, move |piece, _, bytes| {
                if is(piece, index, fourth) {
                    damage(bytes);
                }
                Ok(())
            });
            let (result, seen) = sample.unpack(&source);
            let error = result.expect_err(name);
            match (&error, index) {
                (UnpackError::Signature { .. }, 1) => {}
                (UnpackError::Piece(PieceError::Wrong { piece }), _) => {
                    assert!(is(*piece, index, fourth), "{piece}")
                }
                _ => panic!("{name} of piece {index}: {error:?}"),
            }
            // The three chunks before it may have been used, and nothing more.
            assert!(seen <= if index == 3 { 3 << 20 } else { 0 }, "{name} of piece {index}: {seen}");
            let rejected = source.rejected.lock().unwrap();
            assert_eq!(rejected.iter().map(|(_, attempt)| *attempt).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
            drop(rejected);

            // Damaged twice, then right.
            let source = Files::faulty(&sample.image.path, move |piece, attempt, bytes| {
                if is(piece, index, fourth) && attempt < 2 {
                    damage(bytes);
                }
                Ok(())
            });
            sample.unpack(&source).0.expect(name);
            assert_eq!(source.rejected.lock().unwrap().len(), 2);
        }
    }
}

#[test]
fn image_unit_swapped_chunks_are_seen() {
    let sample = Sample::new();
    let data = fs::read(sample.image.path.join("data.tar.zst")).unwrap();
    let source = Files::faulty(&sample.image.path, move |piece, _, bytes| {
        if let Piece::Data { offset: 1.., len } = piece {
            // Right frames in wrong places: as many bytes from the start of the data.
            bytes.clear();
            bytes.extend_from_slice(&data[..len as usize]);
        }
        Ok(())
    });
    let (result, seen) = sample.unpack(&source);
    assert!(matches!(result, Err(UnpackError::Piece(PieceError::Wrong { piece: Piece::Data { .. } }))));
    assert!(seen <= 1 << 20);
}

#[test]
fn image_unit_failures_are_retried_and_refusals_are_not() {
    let sample = Sample::new();
    let fourth = sample.fourth;
    for index in 0..4 {
        let passing = Files::faulty(&sample.image.path, move |piece, attempt, bytes| {
            if is(piece, index, fourth) && attempt < 3 {
                // What came before the connection was lost must not stay.
                bytes.truncate(bytes.len() / 2);
                return Err(FetchError::retryable("connection lost"));
            }
            Ok(())
        });
        sample.unpack(&passing).0.unwrap();
        assert!(passing.rejected.lock().unwrap().is_empty());

        let attempts = std::sync::Arc::new(AtomicU32::new(0));
        for retry in [true, false] {
            let counter = std::sync::Arc::clone(&attempts);
            counter.store(0, Ordering::SeqCst);
            let lasting = Files::faulty(&sample.image.path, move |piece, _, _| {
                if is(piece, index, fourth) {
                    counter.fetch_add(1, Ordering::SeqCst);
                    let error = if retry { FetchError::retryable } else { FetchError::fatal };
                    return Err(error("gone"));
                }
                Ok(())
            });
            let error = sample.unpack(&lasting).0.unwrap_err();
            let UnpackError::Piece(PieceError::Fetch { piece, attempts: told, .. }) = error else {
                panic!("{error:?}");
            };
            assert!(is(piece, index, fourth));
            assert_eq!(told, attempts.load(Ordering::SeqCst));
            assert_eq!(told > 1, retry, "{told}");
        }
    }
}

#[test]
fn image_unit_only_the_pinned_and_signed_manifest_counts() {
    let sample = Sample::new();
    let open = |key: &SecretKey, digest| {
        Image::open(&Files::new(&sample.image.path), &[key.public()], digest, patience()).map(drop)
    };
    open(&sample.key, sample.image.digest).unwrap();
    // Rightly signed, and not what the NII pins.
    let other = Digest::of(b"another manifest");
    assert!(matches!(
        open(&sample.key, other),
        Err(UnpackError::Piece(PieceError::Wrong { piece: Piece::Manifest }))
    ));
    // Pinned, and signed by somebody else.
    let stranger = SecretKey::generate().unwrap();
    assert!(matches!(open(&stranger, sample.image.digest), Err(UnpackError::Signature { .. })));
}

/// A table that promises less than its frames hold: pages and manifest made anew and signed, as a lying head node could.
#[test]
fn image_unit_frames_larger_than_the_table_says() {
    let sample = Sample::new();
    let dir = &sample.image.path;
    let mut pages = fs::read(dir.join("pages.bin")).unwrap();
    let plain_len = pages.len() - 4;
    let shorter = u32::from_le_bytes(pages[plain_len..].try_into().unwrap()) - 512;
    pages[plain_len..].copy_from_slice(&shorter.to_le_bytes());
    let mut manifest = sample.image.manifest.clone();
    manifest.plain_size -= 512;
    manifest.pages = vec![Digest::of(&pages)];
    let json = serde_json::to_vec(&manifest).unwrap();
    fs::write(dir.join("pages.bin"), pages).unwrap();
    fs::write(dir.join("manifest.json"), &json).unwrap();
    fs::write(dir.join("manifest.json.minisig"), sample.key.sign(&json, "")).unwrap();
    let image = Imported { digest: Digest::of(&json), ..sample.image.clone() };
    let target = sample.scratch.path().join("target");
    let error = unpack(&Files::new(dir), &sample.key, &image, &target).unwrap_err();
    assert!(matches!(error, UnpackError::PlainLength { number: 5, .. }), "{error:?}");
}

/// More than one page of chunks: a gigabyte of zeros.
#[test]
fn image_unit_two_pages() {
    let scratch = scratch();
    let key = SecretKey::generate().unwrap();
    let [tree, archive, target] = ["tree", "a.tar", "target"].map(|name| scratch.path().join(name));
    fs::create_dir(&tree).unwrap();
    fs::File::create(tree.join("zeros")).unwrap().set_len((1 << 30) + (5 << 20)).unwrap();
    // Without --sparse: the zeros are in the archive, and the archive is one hole.
    let tar =
        format!("tar -C {} -c zeros | cp --sparse=always /dev/stdin {}", tree.display(), archive.display());
    crate::support::run("sh", &["-c", &tar]);
    let image = pack(&archive, &scratch.path().join("store"), &key);
    assert_eq!(image.manifest.pages.len(), 2);
    let source = Files::new(&image.path);
    let done = unpack(&source, &key, &image, &target).unwrap();
    assert_eq!(done.plain, image.manifest.plain_size);
    assert_eq!(source.asked.lock().unwrap()["pages.bin"], 2);
    assert_eq!(fs::metadata(target.join("zeros")).unwrap().len(), (1 << 30) + (5 << 20));
}
