//! A whole initrd file: cpio archives one after the other, each plain or compressed, as the kernel's
//! `unpack_to_rootfs` takes them (early microcode first, then the compressed ones, zeros between).

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::codec::Codec;
use crate::cpio::{self, Member};

/// One archive of the file.
#[derive(Debug)]
pub struct Segment {
    /// How it is stored.
    pub codec: Codec,
    /// Its bytes in the file, without zeros around it.
    pub stored: usize,
    /// What is in it.
    pub members: Vec<Member>,
}

/// Reads the initrd at `path`.
pub fn read_file(path: &Path) -> Result<Vec<Segment>> {
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    read(&bytes).with_context(|| format!("explaining {}", path.display()))
}

/// Reads all segments of an initrd.
pub fn read(bytes: &[u8]) -> Result<Vec<Segment>> {
    let mut segments = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == 0 {
            at += 1;
            continue;
        }
        let segment =
            read_segment(&bytes[at..]).with_context(|| format!("reading the segment at byte {at}"))?;
        at += segment.stored;
        segments.push(segment);
    }
    if segments.is_empty() {
        bail!("no initrd: the file is empty");
    }
    Ok(segments)
}

fn read_segment(bytes: &[u8]) -> Result<Segment> {
    if cpio::begins(bytes) {
        let (members, stored) = cpio::read(bytes)?;
        return Ok(Segment { codec: Codec::Plain, stored, members });
    }
    let codec = Codec::of(bytes)?;
    if codec == Codec::Plain {
        bail!("neither a cpio archive (newc) nor a known compression begins here");
    }
    let (plain, stored) = codec.decode(bytes)?;
    let mut members = Vec::new();
    let mut at = 0;
    while let Some(gap) = plain[at..].iter().position(|&byte| byte != 0) {
        at += gap;
        let (more, length) = cpio::read(&plain[at..])?;
        members.extend(more);
        at += length;
    }
    Ok(Segment { codec, stored, members })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::tree::Tree;

    fn archive(name: &str) -> Vec<u8> {
        let mut tree = Tree::skeleton().unwrap();
        tree.file(&format!("/{name}"), 0o644, name.as_bytes().to_vec()).unwrap();
        cpio::write(&tree).unwrap()
    }

    #[test]
    fn every_kind_of_segment_in_one_file() {
        let mut file = archive("microcode");
        file.resize(file.len() + 700, 0);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&archive("in-gzip")).unwrap();
        file.extend(gzip.finish().unwrap());
        let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
        xz.write_all(&archive("in-xz")).unwrap();
        file.extend(xz.finish().unwrap());
        file.push(0);
        file.extend(zstd::encode_all(archive("in-zstd").as_slice(), 1).unwrap());
        file.extend([0; 3]);

        let segments = read(&file).unwrap();
        let got: Vec<(Codec, &str)> = segments
            .iter()
            .map(|segment| {
                let name = segment.members.iter().find(|member| {
                    member.path.contains("i")
                        && member.mode & cpio::TYPE == 0o100_000
                        && !member.path.contains('/')
                });
                (segment.codec, name.unwrap().path.as_str())
            })
            .collect();
        let want = [
            (Codec::Plain, "microcode"),
            (Codec::Gzip, "in-gzip"),
            (Codec::Xz, "in-xz"),
            (Codec::Zstd, "in-zstd"),
        ];
        assert_eq!(got, want);
        let stored: usize = segments.iter().map(|segment| segment.stored).sum();
        assert_eq!(stored, file.len() - 700 - 1 - 3);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let lzma = read(&[0x5d, 0, 0, 0x80, 1, 2]).unwrap_err();
        assert!(format!("{lzma:#}").contains("lzma"));
        assert!(format!("{:#}", read(b"hello").unwrap_err()).contains("neither a cpio archive"));
        assert!(read(&[0, 0]).is_err());
    }
}
