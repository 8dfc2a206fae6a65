//! Immutable files: ranges, HEAD, and nothing else of the data folder.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use reqwest::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, RANGE};

use crate::head::{Head, plain};

fn serving() -> (Head, String) {
    let mut head = Head::new();
    head.serve();
    let initrd = head.json(&["netboot", "list"])[0]["initrd"].as_str().unwrap().to_owned();
    let url = format!("{}/boot/file/{initrd}/initrd.img", head.http);
    (head, url)
}

/// As firmware reads it that compares names of headers byte by byte.
#[test]
fn headers_are_written_as_grub_knows_them() {
    let (head, url) = serving();
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("\r\nContent-Length: 100004\r\n"), "{:?}", answer.get(..300));
    drop(head);
}

#[test]
fn ranges_and_heads() {
    let (head, url) = serving();
    // Four zeros: the end mark of lz4, before the token.
    let whole = [std::fs::read(head.path("initrd")).unwrap(), vec![0; 4]].concat();
    let client = plain();
    let get = |range: &str| client.get(&url).header(RANGE, range).send().unwrap();
    let part = get("bytes=1000-1999");
    assert_eq!(
        (part.status().as_u16(), &part.headers()[CONTENT_RANGE]),
        (206, &"bytes 1000-1999/100004".parse().unwrap())
    );
    assert_eq!(part.bytes().unwrap(), whole[1000..2000]);
    assert_eq!(get("bytes=-10").bytes().unwrap(), whole[99_994..]);
    assert_eq!(get("bytes=100003-").bytes().unwrap(), whole[100_003..]);
    assert_eq!(get("bytes=100004-").status(), 416);
    let all = client.get(&url).send().unwrap();
    assert!(all.headers()[CACHE_CONTROL].to_str().unwrap().contains("immutable"));
    assert_eq!(all.headers()[ACCEPT_RANGES], "bytes");
    assert_eq!(all.bytes().unwrap(), whole);
    let about = client.head(&url).send().unwrap();
    assert_eq!(
        (about.status().as_u16(), &about.headers()[CONTENT_LENGTH]),
        (200, &"100004".parse().unwrap())
    );
    assert_eq!(about.bytes().unwrap().len(), 0);
}

#[test]
fn images_are_served_by_their_manifest() {
    let (head, _) = serving();
    let image = head.json(&["image", "list"])[0]["digest"].as_str().unwrap().to_owned();
    for file in ["manifest.json", "manifest.json.minisig", "pages.bin", "data.tar.zst"] {
        let served = head.get(&format!("/images/{image}/{file}")).bytes().unwrap();
        assert_eq!(
            served,
            std::fs::read(head.data().join("images").join(&image).join(file)).unwrap(),
            "{file}"
        );
    }
    let manifest = head.get(&format!("/images/{image}/manifest.json")).bytes().unwrap();
    assert_eq!(nii::digest::Digest::of(&manifest).to_string(), image);
}

#[test]
fn nothing_else_is_served() {
    let (head, url) = serving();
    let image = head.json(&["image", "list"])[0]["digest"].as_str().unwrap().to_owned();
    let digest = url.rsplit('/').nth(1).unwrap();
    for path in [
        "/",
        "/camphor.db",
        "/keys/ca.key",
        "/images",
        "/boot/loader/dnsmasq.conf",
        "/boot/loader/..%2fdnsmasq.conf",
        "/images/..%2f..%2fkeys/ca.key",
        &format!("/images/{image}/..%2f..%2fcamphor.db"),
        &format!("/images/{image}/"),
        &format!("/boot/file/{digest}/..%2f..%2f..%2fkeys%2fca.key"),
        &format!("/boot/file/{digest}/vmlinuz"),
        &format!("/boot/file/{}/initrd.img", digest.to_uppercase()),
        "/api/v1/nii?nonce=1",
        "/api/v1/session",
        "/api/v1/events",
    ] {
        assert_eq!(head.get(path).status(), 404, "{path}");
    }
    assert_eq!(head.get("/healthz").text().unwrap(), "ok\n");
}
