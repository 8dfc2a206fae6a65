//! Unpacking an image, with words about it: `image` works on threads of its own, and whoever watches is on this one.

use std::os::fd::BorrowedFd;
use std::sync::mpsc::{self, Sender};

use image::sign::PublicKey;
use image::source::Patience;
use image::{Image, Progress};
use nii::digest::Digest;
use nii::manifest::Manifest;

use super::source::Sources;
use crate::machine::Watch;

/// What is told meanwhile.
enum Said {
    Progress(Progress),
    Trouble(String),
}

/// Unpacks the image `digest`, signed by one of `keys`, into the empty directory `root`. A source that fails is
/// asked again for minutes; `watch` hears of it.
///
/// # Errors
/// See [`image::UnpackError`].
pub fn unpack(
    sources: Sources,
    keys: &[PublicKey],
    digest: Digest,
    root: BorrowedFd<'_>,
    watch: &mut dyn Watch,
) -> anyhow::Result<()> {
    heard(sources, watch, |sources, tell| {
        let image = Image::open(&sources, keys, digest, Patience::default())?;
        // A send fails only once the other end is gone, and with it everybody who would care.
        image.unpack(root, &mut |progress| drop(tell.send(Said::Progress(progress))))?;
        Ok(())
    })
}

/// Fetches the manifest of the image `digest` alone, with the same patience.
///
/// # Errors
/// See [`image::UnpackError`].
pub fn manifest(
    sources: Sources,
    keys: &[PublicKey],
    digest: Digest,
    watch: &mut dyn Watch,
) -> anyhow::Result<Manifest> {
    heard(sources, watch, |sources, _| {
        Ok(Image::open(&sources, keys, digest, Patience::default())?.manifest().clone())
    })
}

/// Does `work` on a thread of its own; what it and its sources tell goes to `watch` on this one.
fn heard<T: Send>(
    sources: Sources,
    watch: &mut dyn Watch,
    work: impl FnOnce(Sources, Sender<Said>) -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || {
            let trouble = tell.clone();
            work(sources.telling(Box::new(move |text| drop(trouble.send(Said::Trouble(text))))), tell)
        });
        for said in told {
            match said {
                Said::Progress(progress) => watch.progress(progress.stored, progress.stored_total),
                Said::Trouble(text) => watch.log(&text),
            }
        }
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
