//! What must be so whatever an image's archive and its signature are. image's tests have this module, too, and do the
//! same with the seeds.

use image::acl::{self, Names};
use image::path::normal;
use image::sign::PublicKey;
use image::tar::member::Kind;
use image::tar::read::Reader;

/// A tar archive: every byte of it is accounted for, and only paths below the root come out normal.
pub fn tar(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    while let Ok(Some(member)) = reader.next_member() {
        assert!(reader.position() <= bytes.len() as u64);
        if let Ok(path) = normal(&member.path) {
            assert!(!path.starts_with(b"/") && path.split(|&byte| byte == b'/').all(|part| part != b".."));
        }
        assert!(member.kind == Kind::File || member.stored == 0, "{member:?}");
        let mut end = 0;
        for span in member.spans.iter().flatten() {
            assert!(span.offset >= end, "{member:?}");
            end = span.offset + span.len;
            assert!(end <= member.size, "{member:?}");
        }
        for text in [&member.meta.acl_access, &member.meta.acl_default].into_iter().flatten() {
            drop(acl::encode(text, &Names::parse(b"a:x:1:1::/:\n", b"b:x:2:\n")));
        }
    }
    // Data of nobody's: no key has signed it.
    if let (Ok(text), Ok(key)) = (std::str::from_utf8(bytes), NOBODY.parse::<PublicKey>()) {
        assert!(key.verify(b"manifest", text).is_err());
        drop(text.parse::<PublicKey>());
    }
}

/// A key that signs nothing here, as minisign writes it.
const NOBODY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

#[cfg(test)]
#[path = "corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read_or_refused() {
        assert!(NOBODY.parse::<PublicKey>().is_ok());
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/tar");
        let seeds =
            std::fs::read_dir(&folder).unwrap().map(|seed| std::fs::read(seed.unwrap().path()).unwrap());
        assert!(seeds.inspect(|seed| tar(seed)).count() >= 3, "{}", folder.display());
        corpus::inputs("tar").iter().for_each(|input| tar(input));
    }
}
