//! The image manifest and its pages: what is written is read, and whatever contradicts itself is refused by its field.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use nii::digest::Digest;
use nii::manifest::{
    Chunk, Kernel, Manifest, Os, PAGE_CHUNKS, PageReader, Payload, RECORD_BYTES, WINDOW_MAX,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A table that joins up, of chunks with these lengths: stored, plain.
fn table(lengths: &[(u32, u32)]) -> Vec<Chunk> {
    let mut offset = 0u64;
    let mut chunk = |&(stored_len, plain_len): &(u32, u32)| {
        let of = |what: u8| Digest::of(&[&[what][..], &offset.to_le_bytes()].concat());
        let chunk = Chunk { stored: of(0), plain: of(1), offset, stored_len, plain_len };
        offset += u64::from(stored_len);
        chunk
    };
    lengths.iter().map(&mut chunk).collect()
}

fn pages(chunks: &[Chunk]) -> Vec<Vec<u8>> {
    let page = |chunks: &[Chunk]| {
        let mut page = Vec::new();
        chunks.iter().for_each(|chunk| chunk.write(&mut page));
        page
    };
    chunks.chunks(PAGE_CHUNKS as usize).map(page).collect()
}

fn manifest(chunks: &[Chunk], pages: &[Vec<u8>]) -> Manifest {
    Manifest {
        version: 1,
        name: "compute".to_owned(),
        payload: Payload::TarZst,
        arch: "x86_64".to_owned(),
        os: Os { id: "debian".to_owned(), ..Os::default() },
        kernels: vec![Kernel {
            version: "6.1".to_owned(),
            modules: true,
            vmlinuz: Some("boot/vmlinuz-6.1".to_owned()),
            initrd: None,
        }],
        stored_size: chunks.iter().map(|chunk| u64::from(chunk.stored_len)).sum(),
        plain_size: chunks.iter().map(|chunk| u64::from(chunk.plain_len)).sum(),
        inodes: 10,
        ram_bytes: 40_960,
        xattr_namespaces: vec!["security".to_owned()],
        window: 1 << 20,
        chunks: chunks.len() as u64,
        pages: pages.iter().map(|page| Digest::of(page)).collect(),
    }
}

fn read_all(manifest: &Manifest, pages: &[Vec<u8>]) -> Result<Vec<Chunk>, String> {
    let mut reader = PageReader::default();
    let mut chunks = Vec::new();
    let file = pages.concat();
    while let Some((_, offset, len)) = reader.next(manifest) {
        let page = &file[usize::try_from(offset).unwrap()..][..len as usize];
        chunks.extend(reader.read(manifest, page).map_err(|error| error.to_string())?);
    }
    Ok(chunks)
}

#[test]
fn there_and_back() {
    let chunks = table(&[(7, 100), (100, 9)]);
    let manifest = manifest(&chunks, &pages(&chunks));
    let json = serde_json::to_string_pretty(&manifest).unwrap();
    assert_eq!(Manifest::parse(json.as_bytes()).unwrap(), manifest);
    assert!(json.contains(r#""payload": "tar.zst""#) && !json.contains("initrd"), "{json}");
    assert!(manifest.serves_kernel("6.1") && !manifest.serves_kernel("6.1.1"));
}

#[test]
fn heads_that_contradict_themselves() {
    let chunks = table(&[(7, 100)]);
    let good = serde_json::to_value(manifest(&chunks, &pages(&chunks))).unwrap();
    let digest = Digest::of(b"").to_string();
    for (field, value, problem) in [
        ("version", json!(2), "version 2"),
        ("name", json!(""), "name: "),
        ("name", json!("a\nb"), "name: "),
        ("window", json!(0), "window: "),
        ("window", json!(WINDOW_MAX + 1), "window: "),
        ("chunks", json!(1025), "pages: "),
        ("chunks", json!(0), "pages: "),
        ("chunks", json!(u64::MAX), "pages: "),
        ("pages", json!([digest.clone(), digest.clone()]), "pages: "),
        ("plain_size", json!((1 << 20) + 1), "plain_size: "),
        ("stored_size", json!(u64::MAX), "stored_size: "),
        (
            "kernels",
            json!([{"version": "6", "modules": true, "vmlinuz": "/boot/vmlinuz"}]),
            "kernels[0].vmlinuz: ",
        ),
        (
            "kernels",
            json!([{"version": "6", "modules": true, "initrd": "boot/../../x"}]),
            "kernels[0].initrd: ",
        ),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        let error = Manifest::parse(bad.to_string().as_bytes()).unwrap_err().to_string();
        assert!(error.contains(problem), "{field}: {error}");
    }
    // Of a wrong type, missing, or unknown: not a manifest.
    for change in [
        |value: &mut Value| value["payload"] = json!("zip"),
        |value: &mut Value| value["pages"] = json!(["ABC"]),
        |value: &mut Value| drop(value.as_object_mut().unwrap().remove("inodes")),
        |value: &mut Value| value["surprise"] = json!(1),
    ] {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(Manifest::parse(bad.to_string().as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn tables_that_contradict_themselves() {
    let good = table(&[(10, 100), (20, 200), (30, 300)]);
    type Change = fn(&mut Manifest, &mut Vec<Chunk>);
    let changes: [(&str, Change); 8] = [
        ("pages.bin[1].offset", |_, chunks| chunks[1].offset += 1),
        ("pages.bin[0].offset", |_, chunks| chunks[0].offset = 5),
        ("pages.bin[2].stored_len", |_, chunks| chunks[2].stored_len = 0),
        ("pages.bin[1].stored_len", |_, chunks| chunks[1].stored_len = u32::MAX),
        ("pages.bin[2].plain_len", |_, chunks| chunks[2].plain_len = 0),
        ("pages.bin[2].plain_len", |_, chunks| chunks[2].plain_len = (1 << 20) + 1),
        ("stored_size", |manifest, _| manifest.stored_size -= 1),
        ("plain_size", |manifest, _| manifest.plain_size += 1),
    ];
    for (field, change) in changes {
        let mut chunks = good.clone();
        let mut manifest = manifest(&chunks, &pages(&chunks));
        change(&mut manifest, &mut chunks);
        let pages = pages(&chunks);
        manifest.pages = vec![Digest::of(&pages[0])];
        let error = read_all(&manifest, &pages).unwrap_err();
        assert!(error.starts_with(field), "{field}: {error}");
    }
    // Bytes that are not the page's at all.
    let good_pages = pages(&good);
    let manifest = manifest(&good, &good_pages);
    for bytes in [&b""[..], &good_pages[0][..79], &[0; 3 * RECORD_BYTES as usize]] {
        let error = PageReader::default().read(&manifest, bytes).unwrap_err().to_string();
        assert!(error.starts_with("pages[0]"), "{error}");
    }
}

proptest! {
    /// Tables of up to three pages come back as they were, page by page.
    #[test]
    fn pages_there_and_back(count in 1..2500usize, stored in 1..9999u32, plain in 1..9999u32) {
        let lengths: Vec<_> = (0..count).map(|n| (stored + n as u32 % 7, plain + n as u32 % 5)).collect();
        let chunks = table(&lengths);
        let pages = pages(&chunks);
        let manifest = manifest(&chunks, &pages);
        prop_assert_eq!(pages.len(), manifest.pages.len());
        prop_assert_eq!(read_all(&manifest, &pages), Ok(chunks));
    }
}
