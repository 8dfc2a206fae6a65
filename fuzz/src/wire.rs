//! What must be so whatever the parsers of wire types are given. nii's tests have this module, too, and do the same with
//! the seeds.

use nii::digest::Digest;
use nii::envelope::{Envelope, PublicKey, Purpose};
use nii::event::EventBatch;
use nii::kusu::{Around, parse};
use nii::manifest::{Manifest, PageReader};
use nii::session::{Escrow, SessionRequest, TimePayload};
use nii::{Nii, Strictness, read};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A document of a node.
pub fn nii(bytes: &[u8]) {
    for strictness in [Strictness::Strict, Strictness::Lenient] {
        if let Ok((nii, _)) = read(bytes, strictness) {
            is_read_again(&nii);
        }
    }
}

fn is_read_again(nii: &Nii) {
    let written = serde_json::to_vec(nii).unwrap_or_default();
    let again = read(&written, Strictness::Strict);
    assert!(again.is_ok_and(|(again, _)| again == *nii), "{}", String::from_utf8_lossy(&written));
}

/// The head of an image's manifest, and its first page: what is behind the first empty line, if there is one.
pub fn manifest(bytes: &[u8]) {
    let cut = bytes.windows(2).position(|two| two == b"\n\n");
    let (head, page) = cut.map_or((bytes, &[][..]), |at| (&bytes[..at], &bytes[at + 2..]));
    let Ok(mut manifest) = Manifest::parse(head) else { return };
    let written = serde_json::to_vec(&manifest).unwrap_or_default();
    assert_eq!(Manifest::parse(&written).ok().as_ref(), Some(&manifest));
    // No fuzzer finds a digest.
    if let [only] = manifest.pages.as_mut_slice() {
        *only = Digest::of(page);
    }
    if let Ok(chunks) = PageReader::default().read(&manifest, page) {
        let mut written = Vec::new();
        chunks.iter().for_each(|chunk| chunk.write(&mut written));
        assert_eq!(written, page);
    }
}

/// Bodies of calls, to the head node and from it: what is read is written the same, and no stranger's signature holds.
pub fn calls(bytes: &[u8]) {
    round::<EventBatch>(bytes);
    round::<Escrow>(bytes);
    round::<TimePayload>(bytes);
    if let Some(request) = round::<SessionRequest>(bytes) {
        let _ = request.proof_is_right();
    }
    if let Some(envelope) = round::<Envelope>(bytes) {
        let nobody = [PublicKey([7; 32])];
        for purpose in [Purpose::Nii, Purpose::Time] {
            assert!(envelope.open(purpose, &nobody, 0).is_err());
        }
    }
}

fn round<T: Serialize + DeserializeOwned + PartialEq>(bytes: &[u8]) -> Option<T> {
    let read: T = serde_json::from_slice(bytes).ok()?;
    let written = serde_json::to_vec(&read).unwrap_or_default();
    let again = serde_json::from_slice(&written).ok();
    assert!(again.as_ref() == Some(&read), "{}", String::from_utf8_lossy(&written));
    Some(read)
}

/// The answer of an old head node.
pub fn kusu(bytes: &[u8]) {
    let Ok(info) = parse(bytes) else { return };
    let around = Around { base: "http://10.1.0.1".into(), ..Around::default() };
    if let Ok((nii, _)) = info.to_nii(&around) {
        is_read_again(&nii);
    }
}

#[cfg(test)]
#[path = "corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of NIIs, new and old, are the fixtures of other tests.
    #[test]
    fn seeds_are_read_or_refused() {
        for (target, folder, check) in [
            ("nii", "nii/fixtures/v1", nii as fn(&[u8])),
            ("manifest", "fuzz/seeds/manifest", manifest),
            ("kusu", "nii/fixtures/kusu", kusu),
            ("calls", "fuzz/seeds/calls", calls),
        ] {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
            let files =
                std::fs::read_dir(&folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
            assert!(files.inspect(|bytes| check(bytes)).count() >= 2, "{}", folder.display());
            corpus::inputs(target).iter().for_each(|input| check(input));
        }
    }
}
