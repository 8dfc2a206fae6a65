//! Unpacking an image, with words about it: `image` works on threads of its own, and whoever watches is on this one.

use std::os::fd::BorrowedFd;
use std::sync::mpsc;

use image::sign::PublicKey;
use image::source::Patience;
use image::{Image, Progress};
use nii::digest::Digest;

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
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || -> anyhow::Result<()> {
            let trouble = tell.clone();
            // A send fails only once the other end is gone, and with it everybody who would care.
            let sources = sources.telling(Box::new(move |text| drop(trouble.send(Said::Trouble(text)))));
            let image = Image::open(&sources, keys, digest, Patience::default())?;
            image.unpack(root, &mut |progress| drop(tell.send(Said::Progress(progress))))?;
            Ok(())
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
