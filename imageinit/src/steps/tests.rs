//! The whole table on the recorder: what it does, what it says when each op fails, and what it never says.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ::nii::digest::Digest;
use ::nii::envelope::{Certificate, CertificatePayload, Envelope, NiiPayload, PublicKey, Purpose};
use ::nii::event::{Body, EventAnswer, EventBatch, Failure};
use ::nii::manifest::Manifest;
use ::nii::secret::Secret;
use ::nii::session::{
    ErrorAnswer, ErrorCode, Escrow, PROTOCOL, SessionAnswer, SessionKey, SessionRequest, TimePayload,
    TokenAnswer, TokenRequest,
};
use ::nii::trust::Trust;
use ::nii::v1::{OnFailure, SshHostKey};
use ed25519_dalek::SigningKey;
use host::cmdline::Options;
use host::net::clock::Clock;
use host::net::events::Reporter;
use host::net::head::Head;
use host::net::http::Exchange;
use host::observers::{Policy, Reports, Screen, policy};
use host::recorder::Recorder;
use host::{
    Applied, ApplyError, FetchError, Machine, Note, Observer, Request, Salvage, Tracker, Watch, runner,
};
use plan::facts::{Disk, Facts, JournalRecord, Table, TableEntry};
use plan::{Act, Op, Target};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::STEPS;
use crate::context::Ctx;
use crate::outcome::HandOff;

const MAC: &str = "52:54:00:00:00:01";
const ARMING: Uuid = Uuid::from_u128(7);
const ATTEMPT: Uuid = Uuid::from_u128(8);
const NOW: u64 = 1_800_000_000;
const TOKEN: &str = "planted-token";
const SESSION: &str = "planted-session-key";
/// What no output may contain.
const PLANTED: &[&str] = &[TOKEN, SESSION, "planted.password.hash", "planted-private-key"];

/// The recorder, to be looked at while and after the steps have it.
#[derive(Clone)]
struct Shared(Arc<Mutex<Recorder>>);

impl Machine for Shared {
    fn facts(&mut self, watch: &mut dyn Watch) -> anyhow::Result<Facts> {
        self.0.lock().unwrap().facts(watch)
    }
    fn manifest(
        &mut self,
        digest: Digest,
        sources: &[String],
        watch: &mut dyn Watch,
    ) -> anyhow::Result<Manifest> {
        self.0.lock().unwrap().manifest(digest, sources, watch)
    }
    fn salvage(&mut self, facts: &Facts, targets: &[Target], arming: Uuid, watch: &mut dyn Watch) -> Salvage {
        self.0.lock().unwrap().salvage(facts, targets, arming, watch)
    }
    fn apply(&mut self, op: &Op, watch: &mut dyn Watch) -> Result<Applied, ApplyError> {
        self.0.lock().unwrap().apply(op, watch)
    }
    fn fetch(&mut self, request: &Request) -> Result<Vec<u8>, FetchError> {
        self.0.lock().unwrap().fetch(request)
    }
}

/// The console, kept.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Observer for Lines {
    fn note(&mut self, note: &Note<'_>) {
        self.0.lock().unwrap().extend(Screen::new(true, Box::new(|_| ())).line(note));
    }
}

/// The head node's side of the reports.
#[derive(Default)]
struct Inbox(Mutex<Vec<Body>>);

impl Exchange for Inbox {
    fn exchange(&self, request: &Request) -> Result<Vec<u8>, FetchError> {
        let batch: EventBatch = serde_json::from_slice(request.body.as_ref().unwrap()).unwrap();
        let through = batch.events.last().unwrap().seq;
        self.0.lock().unwrap().extend(batch.events.into_iter().map(|event| event.body));
        Ok(serde_json::to_vec(&EventAnswer { through }).unwrap())
    }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn seal(purpose: Purpose, payload: &impl serde::Serialize) -> Vec<u8> {
    let certified = CertificatePayload { key: PublicKey::from(&key(2)), issued_at: 0, not_after: NOW + 1000 };
    let certificate = Certificate::issue(&certified, &key(1)).unwrap();
    let payload = serde_json::to_vec(payload).unwrap();
    serde_json::to_vec(&Envelope::seal(purpose, payload, &key(2), certificate)).unwrap()
}

fn nonce(request: &Request) -> String {
    request.url.split_once("nonce=").unwrap().1.to_owned()
}

fn time(request: &Request) -> Vec<u8> {
    let (release, https) = ("0.1.0".to_owned(), "https://head:8443".to_owned());
    seal(
        Purpose::Time,
        &TimePayload {
            nonce: nonce(request),
            time: NOW,
            protocol: PROTOCOL,
            release,
            https,
            authority: None,
        },
    )
}

fn session(request: &Request) -> Vec<u8> {
    let asked: SessionRequest = serde_json::from_slice(request.body.as_ref().unwrap()).unwrap();
    assert!(asked.proof_is_right() && asked.token.expose() == TOKEN && asked.mac == MAC);
    let node = "n001".to_owned();
    let session = SessionKey::Plain(Secret::new(SESSION));
    let answer = SessionAnswer { session, node, arming: ARMING, attempt: ATTEMPT };
    serde_json::to_vec(&answer).unwrap()
}

fn nii(request: &Request, document: &str) -> Vec<u8> {
    assert_eq!(request.bearer.as_ref().unwrap().expose(), SESSION);
    let payload = NiiPayload {
        node: "n001".into(),
        mac: MAC.into(),
        arming: ARMING,
        attempt: ATTEMPT,
        nonce: nonce(request),
        issued_at: NOW,
        nii: RawValue::from_string(document.to_owned()).unwrap(),
    };
    seal(Purpose::Nii, &payload)
}

pub(super) fn facts() -> Facts {
    serde_json::from_str(include_str!("../../fixtures/facts.json")).unwrap()
}

pub(super) fn recorder(document: &'static str, facts: Facts) -> Recorder {
    let manifest = Manifest::parse(include_bytes!("../../fixtures/manifest.json")).unwrap();
    let mut recorder = Recorder::new(facts)
        .answering("http://head:8080/api/v1/time", |request| Ok(time(request)))
        .answering("https://head:8443/api/v1/session", |request| Ok(session(request)))
        .answering("https://head:8443/api/v1/nii", move |request| Ok(nii(request, document)));
    recorder.manifests.push((Digest([0; 32]), manifest));
    recorder
}

/// A run of the whole table, and everything that came out of it.
pub(super) struct Run {
    pub(super) result: Result<HandOff, Failure>,
    policy: OnFailure,
    pub(super) ops: Vec<Op>,
    pub(super) lines: Vec<String>,
    reports: Vec<Body>,
}

pub(super) fn run(recorder: Recorder) -> Run {
    let cmdline = "camphor.head=http://head:8080 BOOTIF=01-52-54-00-00-00-01";
    run_as(recorder, cmdline, &[])
}

/// A run with this kernel command line (and a token, unless it is to be asked for), in an initrd that obeys these Kusu head nodes.
pub(super) fn run_as(recorder: Recorder, cmdline: &str, allow_kusu: &[&str]) -> Run {
    let machine = Shared(Arc::new(Mutex::new(recorder)));
    let (lines, inbox, on_failure) = (Lines::default(), Arc::new(Inbox::default()), Policy::default());
    let reporter = Reporter::new(Uuid::from_u128(1));
    let tracker = Tracker::new(vec![Box::new(lines.clone()), Box::new(Reports(reporter.clone()))]);
    let trust = Trust {
        root_keys: vec![PublicKey::from(&key(1))],
        image_keys: Vec::new(),
        ca_pem: String::new(),
        time_floor: NOW - 1000,
        certified_since: 0,
        allow_kusu: allow_kusu.iter().map(|host| (*host).to_owned()).collect(),
    };
    let clock = Arc::new(Clock::new(trust.time_floor));
    let options = Options::parse(cmdline);
    let head = options.head.clone();
    let mut ctx = Ctx {
        machine: Box::new(machine.clone()),
        tracker: tracker.clone(),
        token: (!options.ask_token).then(|| Secret::new(TOKEN)),
        options,
        head: head.map(|base| Head { base, trust: trust.clone(), clock, sleep: |_| () }),
        trust,
        reporter: reporter.clone(),
        exchange: Arc::clone(&inbox) as Arc<dyn Exchange>,
        boot_id: Uuid::from_u128(1),
        policy: Arc::clone(&on_failure),
        session: None,
        kusu: None,
        nii: None,
        manifest: None,
        plan: None,
        sleep: |_| (),
        began: Instant::now(),
        unpacked_in: Duration::ZERO,
        committed: false,
    };
    let result = runner::run(STEPS, &mut ctx, &tracker, &|_| ()).map(|()| ctx.hand_off());
    if ctx.session.is_some() {
        assert!(reporter.flush(Duration::from_secs(10)));
    }
    let lines = lines.0.lock().unwrap().clone();
    let reports = inbox.0.lock().unwrap().clone();
    let ops = machine.0.lock().unwrap().ops.clone();
    Run { result, policy: policy(&on_failure), ops, lines, reports }
}

pub(super) const DISKED: &str = include_str!("../../fixtures/disked.json");
const DISKLESS: &str = include_str!("../../fixtures/diskless.json");

#[test]
fn the_table_of_contents() {
    insta::assert_snapshot!(runner::list(STEPS));
}

/// What the steps do to the disks and the new root is what the plan shows, op by op, and nothing else.
#[test]
fn no_op_happens_that_the_plan_did_not_show() {
    for document in [DISKED, DISKLESS] {
        let run = run(recorder(document, facts()));
        assert!(run.result.is_ok());
        let (nii, _) = ::nii::read(document.as_bytes(), ::nii::Strictness::Strict).unwrap();
        let manifest = Manifest::parse(include_bytes!("../../fixtures/manifest.json")).unwrap();
        let facts = facts();
        let inputs =
            plan::Inputs { facts: &facts, nii: &nii, manifest: &manifest, arming: ARMING, attempt: ATTEMPT };
        let disked = nii.install.kind == ::nii::v1::InstallType::Disked;
        let planned =
            if disked { plan::install::disked(&inputs) } else { plan::install::diskless(&inputs) }.unwrap();
        let shown: Vec<Op> = planned.stages.iter().flat_map(|stage| stage.ops.clone()).collect();
        let first = run.ops.iter().position(|op| *op == shown[0]).unwrap();
        assert_eq!(run.ops[first..], shown[..]);
        let before = |op: &Op| {
            matches!(
                op.act,
                Act::Coldplug
                    | Act::FirstNetwork { .. }
                    | Act::LoadModule { .. }
                    | Act::ConfigureNic { .. }
                    | Act::SetResolver { .. }
            )
        };
        assert!(run.ops[..first].iter().all(before), "{:?}", &run.ops[..first]);
    }
}

#[test]
fn a_disked_install_commits_last_and_reports() {
    let run = run(recorder(DISKED, facts()));
    no_secret_in(&run);
    assert_eq!(run.result.unwrap(), HandOff::Reboot);
    assert!(
        matches!(run.ops.last().unwrap().act, Act::SetPartitionType { .. }),
        "{}",
        run.ops.last().unwrap()
    );
    let finished: Vec<&str> = run.reports.iter().filter_map(finished).collect();
    assert_eq!(finished, STEPS.iter().map(|step| step.name).collect::<Vec<_>>());
    let installed =
        |body: &Body| matches!(body, Body::Installed { arming, peak_kib: 1.., .. } if *arming == ARMING);
    assert!(run.reports.iter().any(installed));
    assert!(run.lines.iter().any(|line| line.starts_with("[ 9/13] unpack … ")), "{:?}", run.lines);
}

fn finished(body: &Body) -> Option<&str> {
    match body {
        Body::StepFinished { step, .. } => Some(step),
        _ => None,
    }
}

/// As a node does whose kernel, initrd and arguments are one signed file.
#[test]
fn trust_a_token_is_asked_for_where_the_boot_could_not_bring_it() {
    let cmdline = "camphor.head=http://head:8080 BOOTIF=01-52-54-00-00-00-01 camphor.token=ask";
    let asking = |answer: fn(&Request) -> Result<Vec<u8>, FetchError>| {
        run_as(recorder(DISKED, facts()).answering("https://head:8443/api/v1/token", answer), cmdline, &[])
    };
    let given = asking(|request| {
        let asked: TokenRequest = serde_json::from_slice(request.body.as_ref().unwrap()).unwrap();
        assert_eq!((asked.mac.as_str(), &request.bearer.is_none()), (MAC, &true));
        Ok(serde_json::to_vec(&TokenAnswer { token: Secret::new(TOKEN) }).unwrap())
    });
    no_secret_in(&given);
    assert_eq!(given.result.unwrap(), HandOff::Reboot);
    let refused = asking(|request| {
        let answer = ErrorAnswer { code: ErrorCode::NotArmed, message: "n001 is not armed".into() };
        Err(FetchError::Refused { url: request.url.clone(), status: 403, answer, retry_after: None })
    });
    let failure = refused.result.unwrap_err();
    let cause = failure.cause.join("\n");
    assert!(
        failure.step == "session" && cause.contains("n001 is not armed") && cause.contains(MAC),
        "{cause}"
    );
}

/// The head node was away for longer than a token lives: nobody is to walk to each machine then.
#[test]
fn a_token_whose_time_is_over_is_replaced_by_another_boot() {
    for (code, wanted) in [
        (ErrorCode::Expired, OnFailure::Reboot),
        (ErrorCode::Unauthorized, OnFailure::ReportAndHold),
        (ErrorCode::Replay, OnFailure::ReportAndHold),
    ] {
        let refusing = Recorder::new(facts())
            .answering("http://head:8080/api/v1/time", |request| Ok(time(request)))
            .answering("https://head:8443/api/v1/session", move |request| {
                let answer = ErrorAnswer { code, message: "no".into() };
                Err(FetchError::Refused { url: request.url.clone(), status: 401, answer, retry_after: None })
            });
        let run = run(refusing);
        assert_eq!((run.result.unwrap_err().step.as_str(), run.policy), ("session", wanted), "{code:?}");
    }
}

#[test]
fn a_diskless_install_writes_no_disk_and_switches_over() {
    let run = run(recorder(DISKLESS, facts()));
    assert_eq!(run.result.unwrap(), HandOff::SwitchRoot);
    let writes =
        |op: &&Op| matches!(op.act, Act::WriteTable { .. } | Act::Mkfs { .. } | Act::SetPartitionType { .. });
    assert_eq!(run.ops.iter().find(writes), None);
}

#[test]
fn each_op_that_fails_is_reported_with_step_and_cause_and_ends_the_run() {
    for document in [DISKED, DISKLESS] {
        let all = run(recorder(document, facts())).ops;
        for (k, op) in all.iter().enumerate() {
            const EIO: i32 = 5;
            let run = run(recorder(document, facts()).failing_at(k, EIO));
            no_secret_in(&run);
            let failure = run.result.unwrap_err();
            assert_eq!(run.ops.len(), k + 1, "nothing may follow {op}");
            assert_eq!(failure.op.as_deref(), Some(op.to_string().as_str()));
            assert!(STEPS.iter().any(|step| step.name == failure.step), "{failure:?}");
            assert!(failure.cause.iter().any(|cause| cause.contains("Input/output error")), "{failure:?}");
            assert!(failure.hint.is_some() && !failure.log_tail.is_empty(), "{failure:?}");
            let asked_nii = run.ops.iter().any(|op| matches!(op.act, Act::LoadModule { .. }));
            let expected = if asked_nii { OnFailure::Reboot } else { OnFailure::ReportAndHold };
            assert_eq!(run.policy, expected);
            if asked_nii {
                assert!(run.reports.contains(&Body::Failed(failure)));
            }
        }
    }
}

/// Everything that leaves the run.
fn no_secret_in(run: &Run) {
    let reports = serde_json::to_string(&run.reports).unwrap();
    let failure = run.result.as_ref().err().map(host::console::screen::text).unwrap_or_default();
    let everything = [run.lines.join("\n"), reports, failure, format!("{:?}", run.ops)].join("\n");
    for secret in PLANTED {
        assert!(!everything.contains(secret), "{secret} came out after {:?}", run.ops.last());
    }
}

/// What an attempt leaves on a disk once it committed.
fn commit_on(disk: &mut Disk, image: Digest) {
    let root = Uuid::from_u128(9);
    disk.table = Some(Table {
        guid: Uuid::from_u128(10),
        partitions: vec![TableEntry {
            number: 3,
            kind: ::nii::v1::PartitionType::Root.guid(),
            guid: root,
            first: 2048,
            last: 4095,
            label: "root".into(),
            attributes: 0,
        }],
    });
    disk.journal = Some(JournalRecord {
        version: 1,
        node: "n001".into(),
        arming: ARMING,
        attempt: Uuid::from_u128(11),
        root,
        image: Some(image),
        committed: false,
    });
}

fn is_table(op: &&Op) -> bool {
    matches!(op.act, Act::WriteTable { .. })
}

#[test]
fn a_committed_install_of_another_image_is_done_again() {
    let mut facts = facts();
    commit_on(&mut facts.disks[0], Digest([1; 32]));
    let run = run(recorder(DISKED, facts));
    run.result.unwrap();
    assert!(run.ops.iter().find(is_table).is_some());
    assert!(run.lines.iter().any(|line| line.contains("installing again")), "{:?}", run.lines);
}

#[test]
fn a_disk_that_an_earlier_attempt_wrote_must_not_stay_beside() {
    // A smaller disk has come since: an install goes to the smallest now, and the one that it began has a system, too.
    let first = run(recorder(DISKED, facts()));
    let Some(Act::WriteTable { table, .. }) = first.ops.iter().find(is_table).map(|op| op.act.clone()) else {
        panic!("an install writes a table");
    };
    let mut facts = facts();
    let size = 2 * facts.disks[0].size;
    let other =
        Disk { path: "/dev/vdb".into(), serial: Some("S-vdb".into()), size, ..facts.disks[0].clone() };
    facts.disks.push(Disk { table: Some(table), ..other });
    let system = "\"name\": \"system\",";
    let picking = DISKED.replace(system, &format!("{system} \"select\": {{\"pick\": \"smallest\"}},"));
    let run = run(recorder(picking.leak(), facts));
    let cause = run.result.unwrap_err().cause.join("\n");
    assert!(cause.contains("went to /dev/vdb (serial S-vdb)") && cause.contains("Wipe /dev/vdb"), "{cause}");
    assert_eq!(run.ops.iter().find(is_table), None);
}

/// With the keys of the old system; the head node has them before the disk is written, or nothing is written.
#[test]
fn host_keys_are_left_with_the_head_node_before_anything_is_destroyed() {
    let mut document: serde_json::Value = serde_json::from_str(DISKED).unwrap();
    document["root"]["ssh_host_keys"] = "keep".into();
    let held: &str = document.to_string().leak();
    document["secrets"]["ssh_host_keys"] = serde_json::json!([]);
    let keeping: &str = document.to_string().leak();
    let with_keys = || {
        let mut recorder = recorder(keeping, facts());
        let private = Secret::new("planted-private-key");
        let key = SshHostKey { kind: "rsa".into(), private, public: "ssh-rsa AAAA old".into() };
        recorder.salvage.host_keys = vec![key];
        recorder
    };
    const ESCROW: &str = "https://head:8443/api/v1/escrow";
    let refuse = |request: &Request| {
        let answer = ErrorAnswer { code: ErrorCode::BadRequest, message: "no".into() };
        Err(FetchError::Refused { url: request.url.clone(), status: 400, answer, retry_after: None })
    };
    let refusing = run(with_keys().answering(ESCROW, refuse));
    let cause = refusing.result.unwrap_err().cause.join("\n");
    assert!(cause.contains("leaving the SSH host keys with the head node"), "{cause}");
    assert_eq!(refusing.ops.iter().find(is_table), None);
    let escrowed = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&escrowed);
    let taking = run(with_keys().answering(ESCROW, move |request| {
        let escrow: Escrow = serde_json::from_slice(request.body.as_ref().unwrap()).unwrap();
        seen.lock().unwrap().extend(escrow.ssh_host_keys);
        Ok(Vec::new())
    }));
    no_secret_in(&taking);
    taking.result.as_ref().unwrap();
    assert_eq!(escrowed.lock().unwrap()[0].public, "ssh-rsa AAAA old");
    let writes = |run: &Run, kind: &str| {
        let start = format!("write etc/ssh/ssh_host_{kind}_key ");
        run.ops.iter().any(|op| op.to_string().starts_with(&start))
    };
    assert!(writes(&taking, "rsa"));
    // Those that the head node holds win, and are not sent again.
    let mut recorder = recorder(held, facts()).answering(ESCROW, refuse);
    recorder.salvage.host_keys = escrowed.lock().unwrap().clone();
    let holding = run(recorder);
    holding.result.as_ref().unwrap();
    assert!(writes(&holding, "ed25519") && !writes(&holding, "rsa"));
}

#[test]
fn slow_disks_are_waited_for() {
    let none = Facts { disks: Vec::new(), ..facts() };
    let mut late = recorder(DISKED, none.clone());
    late.late = Some((6, facts()));
    let run = run_and_count(late, "waiting up to 30 s for disks");
    run.result.unwrap();
    let refused = run_and_count(recorder(DISKED, none), "waiting up to 30 s for disks");
    assert!(refused.result.unwrap_err().cause.join("\n").contains("no disk that the kernel sees"));
}

/// The only disk that fits is no more the only one when another has come: nothing is written before that is known.
#[test]
fn a_disk_that_comes_late_may_be_the_one_that_is_meant() {
    let mut more = facts();
    let second = plan::facts::Disk {
        path: "/dev/vdz".into(),
        serial: Some("late".into()),
        wwn: None,
        ..more.disks[0].clone()
    };
    more.disks.push(second);
    let mut late = recorder(DISKED, facts());
    late.late = Some((3, more));
    let run = run(late);
    assert!(run.result.unwrap_err().cause.join("\n").contains("2 disks match"));
    assert_eq!(run.ops.iter().find(is_table), None);
}

/// A run that says this exactly once.
fn run_and_count(recorder: Recorder, wanted: &str) -> Run {
    let run = run(recorder);
    assert_eq!(run.lines.iter().filter(|line| line.contains(wanted)).count(), 1, "{:?}", run.lines);
    run
}

#[test]
fn a_committed_install_is_only_reported() {
    let mut facts = facts();
    commit_on(&mut facts.disks[0], Digest([0; 32]));
    let run = run(recorder(DISKED, facts));
    assert_eq!(run.result.unwrap(), HandOff::Reboot);
    let touching = |op: &&Op| {
        !matches!(
            op.act,
            Act::Coldplug
                | Act::FirstNetwork { .. }
                | Act::LoadModule { .. }
                | Act::ConfigureNic { .. }
                | Act::SetResolver { .. }
        )
    };
    assert_eq!(run.ops.iter().find(touching), None);
    assert!(run.reports.iter().any(|body| matches!(body, Body::Installed { .. })));
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_touched() {
    let mut facts = facts();
    facts.disks[0].size = 100 << 20;
    facts.arch = "aarch64".into();
    let run = run(recorder(DISKED, facts));
    let failure = run.result.unwrap_err();
    assert_eq!((failure.step.as_str(), failure.op), ("preflight", None));
    let cause = failure.cause.join("\n");
    assert!(cause.matches("error: ").count() > 1, "all findings at once: {cause}");
    assert!(!run.ops.iter().any(|op| matches!(op.act, Act::WriteTable { .. })));
}
