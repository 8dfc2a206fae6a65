//! Both tables with an old Kusu head node on loopback, which answers as its `nodeboot.cgi` does.

#[path = "../../../host/tests/kusu_server/mod.rs"]
#[allow(
    clippy::disallowed_methods,
    dead_code,
    reason = "a server for tests, on loopback; `host`'s use more of it"
)]
mod kusu_server;

use std::fs;

use ::nii::v1::PartitionType;
use host::cmdline::Options;
use host::net::http::{Exchange as _, Http};
use host::recorder::Recorder;
use kusu_server::{Answer, Server};
use plan::facts::{Content, Disk, Table, TableEntry};
use plan::{Act, package};
use uuid::Uuid;

use super::tests::{Run, facts, run_alone, unsearched};
use super::{FINISH, FINISH_PART, PREPARE, PREPARE_PART};

const PACKAGE: &str = include_str!("../../../nii/fixtures/kusu/package.xml");
const UNKNOWN: &str = include_str!("../../../nii/fixtures/kusu/unknown.xml");

fn server(page: &'static str) -> Server {
    Server::new(move |path| match path {
        path if path.starts_with("/repos/nodeboot.cgi?") => Answer::page(page),
        path if path.starts_with("/repos/custom_scripts/") => Answer::page("#!/bin/sh\n"),
        _ => Answer::status(404),
    })
}

/// A machine whose requests are real and whose ops are recorded, with the disks and cards of the NII.
fn recorder() -> Recorder {
    let http = Http::plain().unwrap();
    let mut facts = facts();
    facts.disks[0].size = 200 << 30;
    facts.disks.push(data_disk(&facts.disks[0]));
    for (index, nic) in (2..).zip([facts.nics[0].clone(), facts.nics[0].clone()]) {
        let (name, mac) = (format!("eth{}", index - 1), format!("52:54:00:00:00:0{index}"));
        facts.nics.push(plan::facts::Nic { name, mac, ..nic });
    }
    Recorder::new(facts).answering("http://127.0.0.1", move |request| http.exchange(request))
}

/// What camphor partitioned before, and the NII keeps.
fn data_disk(like: &Disk) -> Disk {
    let entry = TableEntry {
        number: 1,
        kind: PartitionType::Linux.guid(),
        guid: Uuid::from_u128(1),
        first: 2048,
        last: (20 << 21) - 1,
        label: "data".into(),
        attributes: 0,
    };
    let table = Table { guid: Uuid::from_u128(2), partitions: vec![entry] };
    let content = Content {
        partition: Some(1),
        kind: "ext3".into(),
        label: None,
        uuid: Some("5d0b33f5".into()),
        size: 20 << 30,
        used: None,
        members: None,
    };
    let contents = vec![content];
    Disk { path: "/dev/vdb".into(), serial: None, table: Some(table), contents, ..like.clone() }
}

fn prepare(server: &Server, allowed: &str) -> Run {
    prepare_on(recorder(), server, allowed)
}

fn prepare_on(recorder: Recorder, server: &Server, allowed: &str) -> Run {
    let cmdline = format!("camphor.nii=kusu+{}/repos/nodeboot.cgi", server.url);
    let allowed = vec![allowed.to_owned()];
    let folder = tempfile::tempdir().unwrap();
    run_alone(recorder, (PREPARE, PREPARE_PART), folder, move |ctx| {
        ctx.options = Options::parse(&cmdline);
        ctx.trust.allow_kusu = allowed;
    })
}

#[test]
fn a_package_node_installs_and_reports_in_kusus_way() {
    let server = server(PACKAGE);
    let first = prepare(&server, "127.0.0.1");
    first.result.as_ref().unwrap();
    assert!(fs::read_to_string(&first.ctx.out).unwrap().contains("installer finish"));
    assert!(first.lines.iter().any(|line| line.contains("whose NII is not signed")), "{:?}", first.lines);
    let asked = server.requests();
    assert!(asked[0].starts_with("/repos/nodeboot.cgi?dump=1&getindex=1&state=Installing"), "{asked:?}");
    let after = package::after(first.ctx.facts.as_ref().unwrap(), first.ctx.plan.as_ref().unwrap());
    let mut recorder = recorder();
    recorder.facts = after;
    let second = run_alone(recorder, (FINISH, FINISH_PART), first.folder, |ctx| ctx.resume().unwrap());
    second.result.unwrap();
    assert!(matches!(&second.ops.last().unwrap().act, Act::WriteJournal { record, .. } if record.committed));
    let last = server.requests().pop().unwrap();
    assert!(last.starts_with("/repos/nodeboot.cgi?state=Installed&boot=disk"), "{last}");
}

/// Its documents ask for `keep` always, and have no word for anything else.
#[test]
fn keys_that_cannot_be_searched_for_stop_no_node_of_kusus() {
    let server = server(PACKAGE);
    let mut recorder = recorder();
    recorder.salvage = unsearched();
    let run = prepare_on(recorder, &server, "127.0.0.1");
    run.result.unwrap();
    assert!(run.lines.iter().any(|line| line.contains("not searched for host keys: /dev/vda2")));
}

#[test]
fn nothing_is_asked_of_a_head_node_that_the_segment_does_not_allow() {
    let server = server(PACKAGE);
    let failure = prepare(&server, "10.1.0.1").result.unwrap_err();
    assert_eq!(failure.step, "session");
    assert!(failure.cause.join("\n").contains("--allow-kusu 127.0.0.1"), "{failure:?}");
    assert!(server.requests().is_empty());
}

#[test]
fn an_unknown_node_fails_and_touches_nothing() {
    let server = server(UNKNOWN);
    let run = prepare(&server, "127.0.0.1");
    let failure = run.result.unwrap_err();
    assert_eq!(failure.step, "nii");
    assert!(failure.cause.join("\n").contains("does not know this node"), "{failure:?}");
    assert!(run.ops.is_empty());
    assert_eq!(server.requests().len(), 1);
}
