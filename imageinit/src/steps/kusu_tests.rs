//! The whole table with an old Kusu head node on loopback, which answers as its `nodeboot.cgi` does.

#[path = "../../../host/tests/kusu_server/mod.rs"]
#[allow(
    clippy::disallowed_methods,
    dead_code,
    reason = "a server for tests, on loopback; `host`'s use more of it"
)]
mod kusu_server;

use ::nii::digest::Digest;
use ::nii::manifest::Manifest;
use host::net::http::{Exchange as _, Http};
use host::recorder::Recorder;
use kusu_server::{Answer, Server};
use plan::Act;

use super::tests::{Run, facts, run_as};
use crate::outcome::HandOff;

const DISKED: &str = include_str!("../../../nii/fixtures/kusu/disked.xml");
const UNKNOWN: &str = include_str!("../../../nii/fixtures/kusu/unknown.xml");
/// printf %d 0x525400000001 | sha1sum
const UID: &str = "f36de43825de683927d5ceffd6535ecffe523bd9";
const IMAGE: &str = "0d197521d9a48760576da1c87dfd828a60d397ea1e16f92a5b7c44b4f4060ce1";

fn disked() -> String {
    DISKED.replace("52:54:00:00:00:02", "52:54:00:00:00:01")
}

fn server(page: String) -> Server {
    Server::new(move |path| match path.starts_with("/repos/nodeboot.cgi?") {
        true => Answer::page(&page),
        false => Answer::status(404),
    })
}

/// A run whose requests are real and whose ops are recorded.
fn run(server: &Server, cmdline: &str, allowed: &[&str]) -> Run {
    let http = Http::plain().unwrap();
    let mut recorder =
        Recorder::new(facts()).answering("http://127.0.0.1", move |request| http.exchange(request));
    let manifest = Manifest::parse(include_bytes!("../../fixtures/manifest.json")).unwrap();
    let digest: Digest = IMAGE.parse().unwrap();
    recorder.manifests.push((digest, manifest));
    run_as(recorder, &cmdline.replace("HOST", server.url.trim_start_matches("http://")), allowed)
}

const CMDLINE: &str = "camphor.nii=kusu+http://HOST/repos/nodeboot.cgi BOOTIF=01-52-54-00-00-00-01";

#[test]
fn a_disked_node_installs_and_reports_in_kusus_way() {
    let server = server(disked());
    let run = run(&server, CMDLINE, &["127.0.0.1"]);
    assert_eq!(run.result.unwrap(), HandOff::Reboot);
    assert!(matches!(run.ops.last().unwrap().act, Act::SetPartitionType { .. }));
    assert_eq!(
        server.requests(),
        [
            format!("/repos/nodeboot.cgi?dump=1&state=Installing&boot=&uid={UID}"),
            "/public_keys".into(),
            format!("/repos/nodeboot.cgi?state=Installed&boot=disk&uid={UID}"),
        ]
    );
    assert!(run.lines.iter().any(|line| line.contains("whose NII is not signed")), "{:?}", run.lines);
    assert!(!format!("{:?} {:?}", run.lines, run.ops).contains("planted"), "Kusu's secrets are in no line");
}

#[test]
fn a_diskless_node_goes_on_booting_from_the_network() {
    let server = server(disked().replace("\"disked\"", "\"diskless\""));
    assert_eq!(run(&server, "niihost=HOST", &["127.0.0.1"]).result.unwrap(), HandOff::SwitchRoot);
    let last = server.requests().pop().unwrap();
    assert_eq!(last, format!("/repos/nodeboot.cgi?state=Installed&uid={UID}"));
}

#[test]
fn nothing_is_asked_of_a_head_node_that_the_initrd_does_not_allow() {
    let server = server(disked());
    let failure = run(&server, CMDLINE, &["10.1.0.1"]).result.unwrap_err();
    assert_eq!(failure.step, "session");
    assert!(failure.cause.join("\n").contains("--allow-kusu 127.0.0.1:"), "{failure:?}");
    assert!(server.requests().is_empty());
}

#[test]
fn an_unknown_node_fails_and_touches_nothing() {
    let server = server(UNKNOWN.to_owned());
    let run = run(&server, CMDLINE, &["127.0.0.1"]);
    let failure = run.result.unwrap_err();
    assert_eq!(failure.step, "nii");
    assert!(failure.cause.join("\n").contains("does not know this node"), "{failure:?}");
    assert!(!run.ops.iter().any(|op| matches!(op.act, Act::WriteTable { .. })));
    assert_eq!(server.requests().len(), 1);
}
