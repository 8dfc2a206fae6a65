//! An old Kusu head node, on loopback: it answers as `nodeboot.cgi` does, with its bugs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod kusu_server;

use std::net::Ipv4Addr;

use host::kusu::{self, Node, Source};
use host::net::http::{Exchange as _, Http};
use host::recorder::Recorder;
use host::{Machine, Watch};
use kusu_server::{Answer, Server};
use nii::digest::Digest;
use nii::kusu::{Client, KusuError};
use nii::trust::Trust;
use nii::v1::{InstallType, Phase};
use plan::facts::{Facts, Firmware, Lease, Nic};

const PACKAGE: &str = include_str!("../../nii/fixtures/kusu/package.xml");
const UNKNOWN: &str = include_str!("../../nii/fixtures/kusu/unknown.xml");
/// printf %d 0x525400000001 | sha1sum
const UID: &str = "f36de43825de683927d5ceffd6535ecffe523bd9";

#[derive(Default)]
struct Log(Vec<String>);

impl Watch for Log {
    fn progress(&mut self, _: u64, _: u64) {}
    fn log(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }
}

fn trust(allowed: &[&str]) -> Trust {
    Trust {
        root_keys: Vec::new(),
        image_keys: Vec::new(),
        ca_pem: String::new(),
        time_floor: 0,
        certified_since: 0,
        allow_kusu: allowed.iter().map(|host| (*host).to_owned()).collect(),
    }
}

fn facts() -> Facts {
    let nic = |name: &str, mac: &str, lease: Option<Lease>| Nic {
        name: name.into(),
        mac: mac.into(),
        driver: None,
        carrier: Some(true),
        kind: 1,
        lease,
    };
    let lease = Lease { address: Ipv4Addr::new(10, 2, 0, 5), prefix: 16, gateway: None, dns: Vec::new() };
    Facts {
        firmware: Firmware::Efi,
        arch: "x86_64".into(),
        kernel: "6.1.0".into(),
        memory_total: 0,
        memory_available: 0,
        uuid: None,
        disks: Vec::new(),
        nics: vec![
            nic("eth1", "52:54:00:00:00:02", Some(lease)),
            nic("eth0", "52:54:00:00:00:01", None),
            nic("lo", "00:00:00:00:00:00", None),
        ],
        tools: Vec::new(),
        stacked: Vec::new(),
        groups: Vec::new(),
        tool_versions: Default::default(),
    }
}

/// A machine whose requests are real.
fn machine() -> Recorder {
    let http = Http::plain().unwrap();
    Recorder::new(facts()).answering("http://", move |request| http.exchange(request))
}

fn node(server: &Server) -> Node {
    let source =
        Source::parse(Some(&format!("kusu+{}/repos/nodeboot.cgi", server.url)), None).unwrap().unwrap();
    source.choose(&trust(&["127.0.0.1"]), &facts(), &[]).unwrap()
}

fn fetch(server: &Server, client: Client, log: &mut Log) -> anyhow::Result<nii::Nii> {
    let mut machine = machine();
    kusu::fetch(&node(server), client, &facts(), |_| (), &mut machine, log).map(|(nii, _)| nii)
}

#[test]
fn a_package_node_asks_gets_and_reports() {
    let server = Server::new(|path| match path {
        path if path.starts_with("/repos/nodeboot.cgi?") => Answer::page(PACKAGE),
        "/public_keys" => Answer::page("# the site's\nssh-ed25519 AAAA admin@head\n\n"),
        "/repos/custom_scripts/mount-scratch.sh" => Answer::page("#!/bin/sh\nmount /scratch\n"),
        _ => Answer::status(404),
    });
    let nii = fetch(&server, Client::Installer, &mut Log::default()).unwrap();
    assert_eq!(nii.node.name, "compute-00-01");
    assert_eq!(nii.node.uid.as_deref(), Some(UID));
    assert_eq!(nii.root.authorized_keys, ["ssh-ed25519 AAAA admin@head"]);
    let [script] = nii.scripts.as_slice() else { panic!("{:?}", nii.scripts) };
    assert_eq!((script.name.as_str(), script.phase), ("mount-scratch.sh", Phase::FirstBoot));
    assert_eq!(script.url, format!("{}/repos/custom_scripts/mount-scratch.sh", server.url));
    assert_eq!(script.digest, Digest::of(b"#!/bin/sh\nmount /scratch\n"));
    let node = node(&server);
    let report = |kind| {
        kusu::report_installed(&node, kind, |_| (), &mut machine(), &mut Log::default()).unwrap();
    };
    report(InstallType::Package);
    report(InstallType::Diskless);
    assert_eq!(
        server.requests(),
        [
            format!("/repos/nodeboot.cgi?dump=1&getindex=1&state=Installing&uid={UID}"),
            "/repos/custom_scripts/mount-scratch.sh".into(),
            "/public_keys".into(),
            format!("/repos/nodeboot.cgi?state=Installed&boot=disk&uid={UID}"),
            format!("/repos/nodeboot.cgi?state=Installed&uid={UID}"),
        ]
    );
}

#[test]
fn what_the_head_node_lacks_is_said_and_gone_without() {
    let server = Server::new(|path| match path.starts_with("/repos/nodeboot.cgi?") {
        true => Answer::page(PACKAGE),
        false => Answer::status(404),
    });
    let mut log = Log::default();
    let nii = fetch(&server, Client::Installer, &mut log).unwrap();
    assert!(nii.scripts.is_empty() && nii.root.authorized_keys.is_empty());
    assert!(log.0.iter().any(|line| line.contains("mount-scratch.sh")), "{:?}", log.0);
}

#[test]
fn an_unknown_node_is_an_error_and_no_loop() {
    let server = Server::new(|_| Answer::page(UNKNOWN));
    let error = fetch(&server, Client::ImageInit, &mut Log::default()).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(KusuError::UnknownNode)), "{error:#}");
    assert!(error.to_string().contains("addhost"), "{error:#}");
    assert_eq!(server.requests(), [format!("/repos/nodeboot.cgi?dump=1&state=Installing&boot=&uid={UID}")]);
}

#[test]
fn a_cgi_that_fails_half_way_is_an_error_and_a_busy_server_is_asked_again() {
    let server = Server::new(|_| Answer::page(&PACKAGE[..2000]));
    let error = fetch(&server, Client::Installer, &mut Log::default()).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(KusuError::Truncated)), "{error:#}");
    let tries = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::new(move |_| match tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        0 => Answer::status(503),
        1 => Answer::cut(PACKAGE),
        _ => Answer::page(PACKAGE),
    });
    let mut log = Log::default();
    let nii = fetch(&server, Client::Installer, &mut log).unwrap();
    assert!(nii.root.authorized_keys.is_empty(), "a page that answers anything is no list of keys");
    assert!(
        log.0.iter().any(|line| line.contains("waiting for the Kusu head node at http://127.0.0.1")),
        "{:?}",
        log.0
    );
}

#[test]
fn nothing_secret_is_said() {
    let server = Server::new(|path| match path.starts_with("/repos/nodeboot.cgi?") {
        true => Answer::page(&PACKAGE.replace("\"package\"", "\"unmanaged\"")),
        false => Answer::status(404),
    });
    let mut log = Log::default();
    let error = fetch(&server, Client::Installer, &mut log).unwrap_err();
    assert!(!format!("{error:?} {:?}", log.0).contains("planted"), "{error:?}");
}

#[test]
fn only_what_the_initrd_allows_is_asked() {
    let source = Source::parse(None, Some("10.1.0.1,10.2.0.1")).unwrap().unwrap();
    let choose = |allowed: &[&str], local: &[(Ipv4Addr, u8)]| {
        source
            .choose(&trust(allowed), &facts(), local)
            .map(|node| node.cgi)
            .map_err(|error| error.to_string())
    };
    let cgi = |host: &str| Ok(format!("http://{host}/repos/nodeboot.cgi"));
    let error = choose(&[], &[]).unwrap_err();
    assert!(error.contains("--allow-kusu 10.1.0.1"), "{error}");
    assert!(choose(&["10.9.0.1"], &[]).is_err());
    let both = ["10.1.0.1", "10.2.0.1"];
    assert_eq!(choose(&both, &[]), cgi("10.1.0.1"));
    assert_eq!(choose(&both, &kusu::leased(&facts())), cgi("10.2.0.1"), "the one on a network of the node");
    assert_eq!(choose(&["10.1.0.1"], &kusu::leased(&facts())), cgi("10.1.0.1"));
    assert_eq!(choose(&both, &[(Ipv4Addr::new(192, 0, 2, 1), 24)]), cgi("10.1.0.1"));
}

#[test]
fn arguments_of_another_form_are_errors() {
    for url in [
        "http://10.1.0.1/",
        "kusu+https://10.1.0.1/",
        "kusu+http:///x",
        "kusu+http://a b/",
        "kusu+http://h/x?state=Installed",
    ] {
        assert!(Source::parse(Some(url), None).is_err(), "{url}");
    }
    for hosts in ["", ",", "10.1.0.1/x", "a@b"] {
        assert!(Source::parse(None, Some(hosts)).is_err(), "{hosts}");
    }
    let at_its_path = Source::parse(Some("kusu+http://h:8000/cgi/boot.cgi"), None).unwrap().unwrap();
    assert_eq!(at_its_path.choose(&trust(&["h"]), &facts(), &[]).unwrap().cgi, "http://h:8000/cgi/boot.cgi");
    assert!(at_its_path.choose(&trust(&["h:80"]), &facts(), &[]).is_err());
    for url in ["kusu+http://[fd00::1]:8000/", "kusu+http://[fd00::1]:8000"] {
        let six = Source::parse(Some(url), None).unwrap().unwrap();
        let cgi = |allowed: &str| six.choose(&trust(&[allowed]), &facts(), &[]).map(|node| node.cgi);
        let expected = "http://[fd00::1]:8000/repos/nodeboot.cgi";
        for allowed in ["[fd00::1]", "fd00::1", "[fd00::1]:8000"] {
            assert_eq!(cgi(allowed).unwrap(), expected, "{allowed}");
        }
        assert!(cgi("[fd00").is_err() && cgi("[fd00::1]:80").is_err() && cgi("[fd00::2]").is_err());
    }
    let listed = Source::parse(None, Some("fd00::2,[fd00::1]")).unwrap().unwrap();
    assert_eq!(listed.choose(&trust(&["fd00::1"]), &facts(), &[]).unwrap().base, "http://[fd00::1]");
}

#[test]
fn the_kernels_own_routes() {
    let proc = tempfile::tempdir().unwrap();
    std::fs::create_dir(proc.path().join("net")).unwrap();
    let hex = |address: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(address));
    let row =
        |to, via, mask| format!("eth0\t{}\t{}\t0001\t0\t0\t0\t{}\t0\t0\t0\n", hex(to), hex(via), hex(mask));
    let text = [
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n".to_owned(),
        row([0; 4], [10, 1, 0, 254], [0; 4]),
        row([10, 1, 0, 0], [0; 4], [255, 255, 0, 0]),
        row([10, 9, 0, 0], [10, 1, 0, 9], [255, 255, 0, 0]),
    ];
    std::fs::write(proc.path().join("net/route"), text.concat()).unwrap();
    assert_eq!(kusu::connected(proc.path()).unwrap(), [(Ipv4Addr::new(10, 1, 0, 0), 16)]);
}

/// Programs that share an install keep it in a file.
#[test]
fn a_node_can_be_written_down() {
    let server = Server::new(|_| Answer::status(404));
    let node = node(&server);
    let text = serde_json::to_string(&node).unwrap();
    assert_eq!(serde_json::from_str::<Node>(&text).unwrap(), node);
    let _: &dyn Machine = &machine();
}
