//! Writing an archive in the PAX format, as GNU tar does with `--format=posix --xattrs --acls --sparse`: GNU tar,
//! libarchive and our own reader read it. The same members give the same bytes.

use std::io::{self, Write};

use super::BLOCK;
use super::member::{Kind, Member, Span, Time};

/// Largest numbers of 7 and of 11 octal digits: what the header's fields hold.
const OCTAL_7: u64 = (1 << 21) - 1;
const OCTAL_11: u64 = (1 << 33) - 1;

/// Writes a member's headers. Its data, [`Member::stored`] bytes, follows; then [`pad`].
///
/// # Errors
/// `out` fails.
pub fn member(out: &mut impl Write, member: &Member) -> io::Result<()> {
    let map = member.spans.as_ref().map(|spans| sparse_map(spans));
    let stored = member.stored + map.as_ref().map_or(0, |map| map.len() as u64);
    let records = records(member, stored);
    if !records.is_empty() {
        let name = [b"PaxHeaders/", cut(&member.path, 80)].concat();
        let meta = (0o644, 0, 0, 0);
        out.write_all(&header(&name, b"", b'x', records.len() as u64, meta, (0, 0)))?;
        out.write_all(&records)?;
        pad(out, records.len() as u64)?;
    }
    let sparse_name = [b"GNUSparseFile.0/", cut(&member.path, 80)].concat();
    let name = if map.is_some() { &sparse_name } else { &member.path };
    let kind = match member.kind {
        Kind::File => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::Char => b'3',
        Kind::Block => b'4',
        Kind::Dir => b'5',
        Kind::Fifo => b'6',
    };
    let seconds = u64::try_from(member.meta.mtime.secs).unwrap_or_default();
    let meta = (member.meta.mode, member.meta.uid, member.meta.gid, seconds);
    out.write_all(&header(name, &member.link, kind, stored, meta, member.device))?;
    out.write_all(&map.unwrap_or_default())
}

/// Fills a member's data up to a whole block.
///
/// # Errors
/// `out` fails.
pub fn pad(out: &mut impl Write, len: u64) -> io::Result<()> {
    let padding = usize::try_from(len.wrapping_neg() % BLOCK as u64).unwrap_or_default();
    out.write_all(&[0; BLOCK][..padding])
}

/// Writes the end mark.
///
/// # Errors
/// `out` fails.
pub fn end(out: &mut impl Write) -> io::Result<()> {
    out.write_all(&[0; 2 * BLOCK])
}

fn cut(path: &[u8], len: usize) -> &[u8] {
    &path[..path.len().min(len)]
}

/// The extended header's records: what the plain header cannot say.
fn records(member: &Member, stored: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let meta = &member.meta;
    if std::str::from_utf8(&member.path).and(std::str::from_utf8(&member.link)).is_err() {
        record(&mut out, b"hdrcharset", b"BINARY");
    }
    if member.spans.is_some() {
        record(&mut out, b"GNU.sparse.major", b"1");
        record(&mut out, b"GNU.sparse.minor", b"0");
        record(&mut out, b"GNU.sparse.name", &member.path);
        record(&mut out, b"GNU.sparse.realsize", member.size.to_string().as_bytes());
    } else if member.path.len() > 100 {
        record(&mut out, b"path", &member.path);
    }
    if member.link.len() > 100 {
        record(&mut out, b"linkpath", &member.link);
    }
    for (key, number, max) in
        [("size", stored, OCTAL_11), ("uid", meta.uid.into(), OCTAL_7), ("gid", meta.gid.into(), OCTAL_7)]
    {
        if number > max {
            record(&mut out, key.as_bytes(), number.to_string().as_bytes());
        }
    }
    if meta.mtime.nanos != 0 || !u64::try_from(meta.mtime.secs).is_ok_and(|secs| secs <= OCTAL_11) {
        record(&mut out, b"mtime", time(meta.mtime).as_bytes());
    }
    for (key, acl) in [("SCHILY.acl.access", &meta.acl_access), ("SCHILY.acl.default", &meta.acl_default)] {
        if let Some(acl) = acl {
            record(&mut out, key.as_bytes(), acl);
        }
    }
    for (name, value) in &meta.xattrs {
        record(&mut out, &[b"SCHILY.xattr.", gnu_name(name).as_slice()].concat(), value);
    }
    out
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.extend_from_slice(&[b" ", key, b"=", value, b"\n"].concat());
}

fn time(time: Time) -> String {
    match (time.secs, time.nanos) {
        (secs, 0) => secs.to_string(),
        (secs @ 0.., nanos) => format!("{secs}.{nanos:09}"),
        // Rounded down to whole seconds here, and towards zero in text.
        (-1, nanos) => format!("-0.{:09}", 1_000_000_000 - nanos),
        (secs, nanos) => format!("{}.{:09}", secs + 1, 1_000_000_000 - nanos),
    }
}

/// The opposite of the reader's: `%` and `=` would end or change a key.
fn gnu_name(name: &[u8]) -> Vec<u8> {
    let encode = |&byte: &u8| match byte {
        b'%' => b"%25".to_vec(),
        b'=' => b"%3D".to_vec(),
        byte => vec![byte],
    };
    name.iter().flat_map(encode).collect()
}

/// A sparse map in format 1.0, in whole blocks.
fn sparse_map(spans: &[Span]) -> Vec<u8> {
    let mut map = format!("{}\n", spans.len()).into_bytes();
    for span in spans {
        map.extend_from_slice(format!("{}\n{}\n", span.offset, span.len).as_bytes());
    }
    map.resize(map.len().next_multiple_of(BLOCK), 0);
    map
}

/// A header block. Numbers that do not fit are 0 here, and said by an extended header.
fn header(
    path: &[u8],
    link: &[u8],
    kind: u8,
    size: u64,
    (mode, uid, gid, mtime): (u32, u32, u32, u64),
    (major, minor): (u32, u32),
) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut text = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    text(0, cut(path, 100));
    text(157, cut(link, 100));
    text(156, &[kind]);
    text(257, b"ustar\x0000");
    for (at, digits, number) in [
        (100, 7, u64::from(mode)),
        (108, 7, uid.into()),
        (116, 7, gid.into()),
        (124, 11, size),
        (136, 11, mtime),
        (329, 7, major.into()),
        (337, 7, minor.into()),
    ] {
        let fits = number <= if digits == 7 { OCTAL_7 } else { OCTAL_11 };
        let number = if fits { number } else { 0 };
        text(at, format!("{number:0digits$o}").as_bytes());
    }
    text(148, b"        ");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tar::member::Meta;
    use crate::tar::read::Reader;

    fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(1u8.., 1..max)
    }

    fn metas() -> impl Strategy<Value = Meta> {
        let xattr = ("user\\.[a-z=%]{1,9}", prop::collection::vec(any::<u8>(), 0..99));
        let xattrs = prop::collection::btree_map(xattr.0, xattr.1, 0..4);
        let time = (any::<i32>(), any::<i8>(), 0..1_000_000_000u32);
        (0..=0o7777u32, 0..u32::MAX, 0..u32::MAX, time, xattrs, prop::option::of(bytes(50))).prop_map(
            |(mode, uid, gid, (secs, factor, nanos), xattrs, acl)| Meta {
                mode,
                uid,
                gid,
                mtime: Time { secs: i64::from(secs) * i64::from(factor), nanos },
                xattrs: xattrs.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect(),
                acl_access: acl.clone(),
                acl_default: acl,
            },
        )
    }

    fn members() -> impl Strategy<Value = Member> {
        let spans = prop::collection::vec((0..999u64, 1..999u64), 0..50);
        let device = (0..4096u32, 0..(1u32 << 20));
        (bytes(300), bytes(300), metas(), 0..7u8, 0..9999u64, prop::option::of(spans), device).prop_map(
            |(mut path, link, meta, kind, stored, gaps, device)| {
                let kinds = [
                    Kind::File,
                    Kind::HardLink,
                    Kind::Symlink,
                    Kind::Char,
                    Kind::Block,
                    Kind::Dir,
                    Kind::Fifo,
                ];
                let kind = kinds[kind as usize];
                path.push(b'p');
                let mut member = Member {
                    path,
                    kind,
                    meta,
                    size: 0,
                    stored: 0,
                    spans: None,
                    link: Vec::new(),
                    device: (0, 0),
                };
                match kind {
                    Kind::File => (member.size, member.stored) = (stored, stored),
                    Kind::HardLink | Kind::Symlink => member.link = link,
                    Kind::Char | Kind::Block => member.device = device,
                    _ => {}
                }
                if let (Kind::File, Some(gaps)) = (kind, gaps) {
                    let mut end = 0;
                    let mut span = |(gap, len)| {
                        let span = Span { offset: end + gap, len };
                        end += gap + len;
                        span
                    };
                    let spans: Vec<_> = gaps.into_iter().map(&mut span).collect();
                    member.stored = spans.iter().map(|span| span.len).sum();
                    member.size = end + stored;
                    member.spans = Some(spans);
                }
                member
            },
        )
    }

    proptest! {
        /// What is written is read again, to the last attribute and hole.
        #[test]
        fn there_and_back(members in prop::collection::vec(members(), 0..5)) {
            let mut archive = Vec::new();
            for each in &members {
                member(&mut archive, each).unwrap();
                archive.resize(archive.len() + each.stored as usize, 7);
                pad(&mut archive, each.stored).unwrap();
            }
            end(&mut archive).unwrap();
            let mut reader = Reader::new(archive.as_slice());
            for each in &members {
                let read = reader.next_member().unwrap().unwrap();
                prop_assert_eq!(&read, each);
                let mut count = 0;
                while let len @ 1.. = reader.data().unwrap().len() {
                    prop_assert!(reader.data().unwrap().iter().all(|&byte| byte == 7));
                    reader.consume(len);
                    count += len as u64;
                }
                prop_assert_eq!(count, each.stored);
            }
            prop_assert!(reader.next_member().unwrap().is_none());
        }

        /// No bytes make the reader panic, or loop.
        #[test]
        fn any_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..2048), kind: u8) {
            if let Some(block) = bytes.first_chunk_mut::<BLOCK>() {
                // A right checksum, so that more than the checksum is tested.
                block[148..156].copy_from_slice(b"        ");
                (block[156], block[124]) = (kind, 0);
                let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
            let mut reader = Reader::new(bytes.as_slice());
            while let Ok(Some(_)) = reader.next_member() {}
        }
    }
}
