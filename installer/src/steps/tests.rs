//! Both tables on the recorder: what they do, what they say when each op fails, and what they never say.

mod keys;
mod logs;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::nii::digest::Digest;
use ::nii::envelope::{Certificate, CertificatePayload, Envelope, NiiPayload, PublicKey, Purpose};
use ::nii::event::{Body, EventAnswer, EventBatch, Failure};
use ::nii::manifest::Manifest;
use ::nii::secret::Secret;
use ::nii::session::{ErrorAnswer, ErrorCode, Escrow, PROTOCOL, SessionAnswer, SessionKey, TimePayload};
use ::nii::trust::Trust;
use ::nii::v1::{OnFailure, PartitionType, SshHostKey};
use ed25519_dalek::SigningKey;
use host::cmdline::Options;
use host::console::screen;
use host::net::clock::Clock;
use host::net::events::Reporter;
use host::net::head::{Head, Session};
use host::net::http::Exchange;
use host::observers::{Policy, Reports, Screen, policy};
use host::recorder::Recorder;
use host::{Applied, ApplyError, FetchError, Machine, Request, Salvage, Tracker, Watch, runner};
use plan::facts::{Facts, JournalRecord};
use plan::{Act, Op, Target, journal, package};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{FINISH, FINISH_PART, PREPARE, PREPARE_PART};
use crate::context::Ctx;
use crate::offline::all_steps;
use crate::state::State;

const MAC: &str = "52:54:00:00:00:01";
const ARMING: Uuid = Uuid::from_u128(7);
const ATTEMPT: Uuid = Uuid::from_u128(8);
const NOW: u64 = 1_800_000_000;
const HEAD: &str = "https://head:8443";
/// What no output may contain.
const PLANTED: &[&str] =
    &["planted-token", "planted-session", "planted.password", "planted.users", "planted-private"];
const SCRIPTS: &[(&str, &str)] = &[("EARLY", "#!/bin/sh\n"), ("SITE", "#!/bin/sh\nsite\n"), ("JOIN", "join")];

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
        from: &[String],
        watch: &mut dyn Watch,
    ) -> anyhow::Result<Manifest> {
        self.0.lock().unwrap().manifest(digest, from, watch)
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

/// The head node's side of the reports.
#[derive(Default)]
struct Inbox {
    events: Mutex<Vec<(u64, Body)>>,
    /// It does not answer so many times.
    down: AtomicU32,
    /// It takes no reports of this attempt any more.
    refusing: AtomicBool,
}

impl Exchange for Inbox {
    fn exchange(&self, request: &Request) -> Result<Vec<u8>, FetchError> {
        if self.down.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            let source = anyhow::anyhow!("down");
            return Err(FetchError::Transport { url: request.url.clone(), source });
        }
        if self.refusing.load(Ordering::SeqCst) {
            return refused(request, 404);
        }
        let batch: EventBatch = serde_json::from_slice(request.body.as_ref().unwrap()).unwrap();
        let through = batch.events.last().unwrap().seq;
        let mut seen = self.events.lock().unwrap();
        // As the head node does: another process may have sent some of them before.
        let last = seen.last().map_or(0, |(seq, _)| *seq);
        let new = batch.events.into_iter().filter(|event| event.seq > last);
        seen.extend(new.map(|event| (event.seq, event.body)));
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
    let (release, https) = ("0.1.0".to_owned(), HEAD.to_owned());
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

fn nii(request: &Request, document: &str) -> Vec<u8> {
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

fn refused(request: &Request, status: u16) -> Result<Vec<u8>, FetchError> {
    refused_as(request, status, ErrorCode::NotFound)
}

fn refused_as(request: &Request, status: u16, code: ErrorCode) -> Result<Vec<u8>, FetchError> {
    let answer = ErrorAnswer { code, message: "no such file".into() };
    Err(FetchError::Refused { url: request.url.clone(), status, answer, retry_after: None })
}

/// The NII, with the scripts' digests in it.
fn document() -> String {
    let mut text = include_str!("../../fixtures/node.json").to_owned();
    for (name, content) in SCRIPTS {
        text = text.replace(name, &Digest::of(content.as_bytes()).to_string());
    }
    text
}

pub(super) fn facts() -> Facts {
    serde_json::from_str(include_str!("../../fixtures/facts.json")).unwrap()
}

type Escrowed = Arc<Mutex<Vec<SshHostKey>>>;

/// A machine with an old system, and a head node that answers; answers that a test gave before win.
fn answering(recorder: Recorder, document: String, escrowed: &Escrowed) -> Recorder {
    let seen = Arc::clone(escrowed);
    let mut recorder = recorder
        .answering("http://head:8080/api/v1/time", |request| Ok(time(request)))
        .answering(format!("{HEAD}/api/v1/session"), |_| {
            let session = SessionKey::Plain(Secret::new("planted-session"));
            let node = "n001".to_owned();
            Ok(serde_json::to_vec(&SessionAnswer { session, node, arming: ARMING, attempt: ATTEMPT })
                .unwrap())
        })
        .answering(format!("{HEAD}/api/v1/nii"), move |request| Ok(nii(request, &document)))
        .answering(format!("{HEAD}/api/v1/escrow"), move |request| {
            let escrow: Escrow = serde_json::from_slice(request.body.as_ref().unwrap()).unwrap();
            seen.lock().unwrap().extend(escrow.ssh_host_keys);
            Ok(Vec::new())
        });
    for (_, content) in SCRIPTS {
        let url = format!("{HEAD}/api/v1/file/{}", Digest::of(content.as_bytes()));
        recorder = recorder.answering(url, |request| {
            assert_eq!(request.bearer.as_ref().unwrap().expose(), "planted-session");
            Ok(content.as_bytes().to_vec())
        });
    }
    let private = Secret::new("-----BEGIN\nplanted-private-key-material\n-----END\n");
    let old = SshHostKey { kind: "ed25519".into(), private, public: "ssh-ed25519 AAAA old".into() };
    if recorder.salvage == Salvage::default() {
        recorder.salvage.host_keys = vec![old];
    }
    recorder
}

/// A run of a table, and everything that came out of it.
pub(super) struct Run {
    pub result: Result<(), Failure>,
    pub ctx: Ctx,
    pub ops: Vec<Op>,
    pub lines: Vec<String>,
    reports: Vec<Body>,
    escrowed: Vec<SshHostKey>,
    pub folder: tempfile::TempDir,
    /// The head node outlives the processes.
    inbox: Arc<Inbox>,
}

/// How a run begins.
struct Start {
    recorder: Recorder,
    document: String,
}

impl Start {
    fn new() -> Self {
        Self { recorder: Recorder::new(facts()), document: document() }
    }

    fn prepare(self) -> Run {
        let escrowed = Escrowed::default();
        let recorder = answering(self.recorder, self.document, &escrowed);
        let folder = tempfile::tempdir().unwrap();
        run(recorder, (PREPARE, PREPARE_PART), folder, Arc::default(), &escrowed, |_| ())
    }

    /// The second process: what the first one left is there, and anaconda formatted the root.
    fn finish(self) -> Run {
        self.finish_with(|_| ())
    }

    /// The same, once the head node became another.
    fn finish_with(self, change: impl FnOnce(&Inbox)) -> Run {
        let document = self.document.clone();
        let first = Start { recorder: Recorder::new(facts()), document }.prepare();
        first.result.unwrap();
        change(&first.inbox);
        let mut after = package::after(&facts(), first.ctx.plan.as_ref().unwrap());
        let entries = after.disks.iter_mut().flat_map(|d| &mut d.table).flat_map(|t| &mut t.partitions);
        for entry in entries.filter(|entry| entry.kind == journal::IN_PROGRESS) {
            entry.kind = PartitionType::Linux.guid();
        }
        let mut recorder = self.recorder;
        recorder.facts = after;
        run(recorder, (FINISH, FINISH_PART), first.folder, first.inbox, &Escrowed::default(), |ctx| {
            ctx.resume().unwrap();
        })
    }
}

/// A run as one process of an install: without the head node's camphor side.
pub(super) fn run_alone(
    recorder: Recorder,
    table: (&[host::Step<Ctx>], runner::Part),
    folder: tempfile::TempDir,
    begin: impl FnOnce(&mut Ctx),
) -> Run {
    run(recorder, table, folder, Arc::default(), &Escrowed::default(), begin)
}

fn run(
    recorder: Recorder,
    (steps, part): (&[host::Step<Ctx>], runner::Part),
    folder: tempfile::TempDir,
    inbox: Arc<Inbox>,
    escrowed: &Escrowed,
    begin: impl FnOnce(&mut Ctx),
) -> Run {
    let machine = Shared(Arc::new(Mutex::new(recorder)));
    let (before, lines) = (inbox.events.lock().unwrap().len(), Arc::new(Mutex::new(Vec::new())));
    let state = State::in_folder(folder.path().join("state")).unwrap();
    let reporter = Reporter::shared(Uuid::from_u128(1), &state.events());
    let said = Arc::clone(&lines);
    let say = move |line: &str| said.lock().unwrap().push(line.to_owned());
    let screen = Screen::new(true, Box::new(say));
    let tracker = Tracker::new(vec![Box::new(screen), Box::new(Reports(reporter.clone()))]);
    let trust = Trust {
        root_keys: vec![PublicKey::from(&key(1))],
        image_keys: Vec::new(),
        ca_pem: String::new(),
        time_floor: NOW - 1000,
        certified_since: 0,
        allow_kusu: Vec::new(),
    };
    let clock = Arc::new(Clock::new(trust.time_floor));
    let base = "http://head:8080".to_owned();
    let mut ctx = Ctx {
        machine: Box::new(machine.clone()),
        tracker: tracker.clone(),
        options: Options { boot_mac: Some(MAC.into()), ..Options::default() },
        head: Some(Head { base, trust: trust.clone(), clock: Arc::clone(&clock), sleep: |_| () }),
        trust,
        clock,
        reporter,
        exchange: Arc::clone(&inbox) as Arc<dyn Exchange>,
        boot_id: Uuid::from_u128(1),
        state,
        scripts: folder.path().join("scripts"),
        out: folder.path().join("ks.cfg"),
        token: Some(Secret::new("planted-token")),
        policy: Policy::default(),
        session: None,
        kusu: None,
        nii: None,
        facts: None,
        plan: None,
        template: None,
        kickstart: None,
        committed: false,
        sleep: |_| (),
    };
    begin(&mut ctx);
    let result = runner::run_part(steps, part, &mut ctx, &tracker, &|_| ());
    if ctx.session.is_some() && !inbox.refusing.load(Ordering::SeqCst) {
        assert!(ctx.reporter.flush(Duration::from_secs(10)));
    }
    let events = inbox.events.lock().unwrap().clone();
    assert!(events.is_sorted_by(|a, b| a.0 < b.0), "numbers are given once");
    let run = Run {
        result,
        ctx,
        ops: machine.0.lock().unwrap().ops.clone(),
        lines: lines.lock().unwrap().clone(),
        reports: events.into_iter().skip(before).map(|(_, body)| body).collect(),
        escrowed: escrowed.lock().unwrap().clone(),
        folder,
        inbox,
    };
    no_secret_in(&run);
    run
}

/// Everything that leaves the run.
fn no_secret_in(run: &Run) {
    let reports = serde_json::to_string(&run.reports).unwrap();
    let failure = run.result.as_ref().err().map(screen::text).unwrap_or_default();
    let kickstart = fs::read_to_string(&run.ctx.out).unwrap_or_default();
    let everything = [run.lines.join("\n"), reports, failure, format!("{:?}", run.ops), kickstart].join("\n");
    for secret in PLANTED {
        assert!(!everything.contains(secret), "{secret} came out after {:?}", run.ops.last());
    }
}

fn is_table(op: &&Op) -> bool {
    matches!(op.act, Act::WriteTable { .. })
}

fn finished(run: &Run) -> Vec<String> {
    let name = |body: &'_ Body| match body {
        Body::StepFinished { step, .. } => Some(step.clone()),
        _ => None,
    };
    run.reports.iter().filter_map(name).collect()
}

#[test]
fn the_tables_of_contents() {
    insta::assert_snapshot!(all_steps());
}

#[test]
fn prepare_ends_with_a_kickstart_and_leaves_what_the_next_need() {
    let run = Start::new().prepare();
    run.result.as_ref().unwrap();
    let steps = ["session", "nii", "clock", "preflight", "salvage", "scripts", "partition", "kickstart"];
    assert_eq!(finished(&run), steps);
    assert!(run.lines.iter().any(|line| line.starts_with("[ 7/17] partition … ")), "{:?}", run.lines);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&run.ctx.out), 0o600);
    let kickstart = fs::read_to_string(&run.ctx.out).unwrap();
    assert!(kickstart.contains("/run/camphor/scripts/pre/01-early"), "{kickstart}");
    let script = run.folder.path().join("scripts/post/01-site");
    assert_eq!((fs::read_to_string(&script).unwrap().as_str(), mode(&script)), ("#!/bin/sh\nsite\n", 0o700));
    let state = run.folder.path().join("state");
    assert_eq!(
        (mode(&state), mode(&state.join("nii.json")), mode(&state.join("link.json"))),
        (0o700, 0o600, 0o600)
    );
    assert_eq!(run.escrowed[0].public, "ssh-ed25519 AAAA old");
    let kept = run.ctx.state.nii().unwrap().unwrap().secrets.unwrap();
    assert_eq!(kept.ssh_host_keys, run.escrowed);
    assert!(run.ops.iter().find(is_table).is_some());
}

#[test]
fn finish_takes_up_what_prepare_left_and_commits_last() {
    let run = Start::new().finish();
    run.result.as_ref().unwrap();
    assert!(matches!(&run.ops.last().unwrap().act, Act::WriteJournal { record, .. } if record.committed));
    let text: Vec<String> = run.ops.iter().map(ToString::to_string).collect();
    for wanted in [
        "write etc/profile.nii (",
        "write etc/ssh/ssh_host_ed25519_key (mode 0600, owner 0:0, secret)",
        "set password of root",
        "set password of alice",
        "copy /run/camphor/scripts/post/01-site to var/lib/camphor/scripts/post/01-site (mode 0700)",
    ] {
        assert!(text.iter().any(|op| op.starts_with(wanted)), "{wanted} is not in {text:#?}");
    }
    assert!(matches!(run.reports.last().unwrap(), Body::StepFinished { step, .. } if step == "report"));
    assert!(
        run.reports.iter().any(|body| matches!(body, Body::Installed { arming, .. } if *arming == ARMING))
    );
    let started: Vec<u32> = run
        .reports
        .iter()
        .filter_map(|body| match body {
            Body::StepStarted { number, of: 17, .. } => Some(*number),
            _ => None,
        })
        .collect();
    assert_eq!(started, (11..=17).collect::<Vec<_>>());
}

/// The NII with one value changed.
fn document_with(pointer: &str, value: serde_json::Value) -> String {
    let mut document: serde_json::Value = serde_json::from_str(&document()).unwrap();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    document.pointer_mut(parent).unwrap()[name] = value;
    document.to_string()
}

fn anacondas_disks() -> String {
    document_with("/storage/mode", "anaconda".into())
}

/// With a journal the next boot makes up for a lost report; without one it would install again.
#[test]
fn without_a_journal_an_install_is_done_only_when_the_head_node_knows() {
    let refusing = |inbox: &Inbox| inbox.refusing.store(true, Ordering::SeqCst);
    let journal = Start::new().finish_with(refusing);
    journal.result.unwrap();
    assert!(journal.lines.iter().any(|line| line.contains("could not be told")), "{:?}", journal.lines);
    let none = Start { document: anacondas_disks(), ..Start::new() }.finish_with(refusing);
    let failure = none.result.unwrap_err();
    assert_eq!(failure.step, "report");
    assert!(failure.cause.join("\n").contains("headnode boot local"), "{failure:?}");
}

#[test]
fn a_report_that_is_everything_is_tried_until_it_is_there() {
    let mut run = Start { document: anacondas_disks(), ..Start::new() }.finish();
    run.inbox.down.store(3, Ordering::SeqCst);
    run.ctx.reporter.report(Body::Installed { arming: ARMING, peak_kib: 0, image_bytes: 0 });
    super::report::until_told(&mut run.ctx, Duration::from_millis(50)).unwrap();
    assert_eq!((run.ctx.reporter.waiting().len(), run.inbox.down.load(Ordering::SeqCst)), (0, 0));
    let last = run.inbox.events.lock().unwrap().pop().unwrap().1;
    assert!(matches!(last, Body::Installed { .. }), "{last:?}");
}

#[test]
fn where_anaconda_partitions_no_table_is_written() {
    let run = Start { document: anacondas_disks(), ..Start::new() }.prepare();
    run.result.as_ref().unwrap();
    assert_eq!(run.ops.iter().find(is_table), None);
    assert!(!finished(&run).contains(&"partition".to_owned()));
}

#[test]
fn each_op_that_fails_is_reported_with_step_and_cause_and_ends_the_run() {
    const EIO: i32 = 5;
    type Flow = fn(Start) -> Run;
    for flow in [Start::prepare as Flow, Start::finish] {
        let all = flow(Start::new()).ops;
        assert!(all.len() > 2);
        for (k, op) in all.iter().enumerate() {
            let start = Start::new();
            let run = flow(Start { recorder: start.recorder.failing_at(k, EIO), ..start });
            let failure = run.result.unwrap_err();
            assert_eq!(run.ops.len(), k + 1, "nothing may follow {op}");
            assert_eq!(failure.op.as_deref(), Some(op.to_string().as_str()));
            assert!(failure.cause.iter().any(|cause| cause.contains("Input/output error")), "{failure:?}");
            assert!(failure.hint.is_some() && !failure.log_tail.is_empty(), "{failure:?}");
            assert_eq!(policy(&run.ctx.policy), OnFailure::Reboot);
            assert!(run.reports.contains(&Body::Failed(failure)));
            assert!(!run.reports.iter().any(|body| matches!(body, Body::Installed { .. })));
        }
    }
}

/// The head node was away for longer than a token lives: nobody is to walk to each machine then.
#[test]
fn a_token_whose_time_is_over_is_replaced_by_another_boot() {
    for (code, wanted) in [
        (ErrorCode::Expired, OnFailure::Reboot),
        (ErrorCode::Unauthorized, OnFailure::ReportAndHold),
        (ErrorCode::Replay, OnFailure::ReportAndHold),
    ] {
        let session = move |request: &Request| refused_as(request, 401, code);
        let recorder = Recorder::new(facts()).answering(format!("{HEAD}/api/v1/session"), session);
        let run = Start { recorder, ..Start::new() }.prepare();
        let failed = run.result.unwrap_err().step;
        assert_eq!((failed.as_str(), policy(&run.ctx.policy)), ("session", wanted), "{code:?}");
    }
}

/// A failure of `prepare`, as its screen shows it; no disk was written.
fn screen_of(start: Start) -> String {
    let run = start.prepare();
    assert_eq!(run.ops.iter().find(is_table), None);
    assert!(fs::metadata(&run.ctx.out).is_err(), "no kickstart: dracut goes on with one");
    let failure = run.result.unwrap_err();
    assert!(run.reports.contains(&Body::Failed(failure.clone())));
    screen::text(&failure)
}

#[test]
fn scripts_that_are_missing_or_others_are_refused_before_anything_is_touched() {
    let digest = Digest::of(b"#!/bin/sh\nsite\n");
    let url = format!("{HEAD}/api/v1/file/{digest}");
    let start = |answer: fn(&Request) -> Result<Vec<u8>, FetchError>| {
        let start = Start::new();
        Start { recorder: start.recorder.answering(url.clone(), answer), ..start }
    };
    let missing = screen_of(start(|request| refused(request, 404)));
    assert!(
        missing.contains("FAILED at step scripts") && missing.contains("fetching the script `site`"),
        "{missing}"
    );
    assert!(missing.contains(&format!("{url} answered 404: no such file")), "{missing}");
    let other = screen_of(start(|_| Ok(b"#!/bin/sh\nrm -rf /\n".to_vec())));
    assert!(other.contains(&format!("{url} has the digest ")), "{other}");
    assert!(other.contains(&format!("and the NII says {digest}")), "{other}");
    let long = screen_of(start(|_| Ok(vec![b' '; (1 << 20) + 1])));
    assert!(long.contains("1048577 bytes, and 1048576 are the limit"), "{long}");
}

/// Keys on something that nobody could look at, on the disk that the install goes to.
pub(super) fn unsearched() -> Salvage {
    let lost = vec!["/dev/vda2 is a physical volume of LVM, which is not put together here".to_owned()];
    Salvage { lost, ..Salvage::default() }
}

#[test]
fn what_does_not_fit_is_refused_with_everything_at_once() {
    let mut facts = facts();
    facts.disks[0].size = 100 << 20;
    facts.arch = "aarch64".into();
    let screen = screen_of(Start { recorder: Recorder::new(facts), ..Start::new() });
    assert!(screen.contains("FAILED at step preflight"), "{screen}");
    assert!(
        screen.contains("package.os.arch") && screen.contains("its partitions need a disk of"),
        "{screen}"
    );
}

#[test]
fn an_image_install_is_not_ours() {
    let document = include_str!("../../../imageinit/fixtures/disked.json").to_owned();
    let screen = screen_of(Start { document, ..Start::new() });
    assert!(screen.contains("FAILED at step nii") && screen.contains("the program `imageinit`"), "{screen}");
}

#[test]
fn a_committed_install_is_only_reported() {
    let first = Start::new().prepare();
    let mut facts = package::after(&facts(), first.ctx.plan.as_ref().unwrap());
    let run = Start { recorder: Recorder::new(facts.clone()), ..Start::new() }.prepare();
    run.result.as_ref().unwrap();
    assert!(!run.ctx.committed, "begun, and not whole");
    let record: &mut JournalRecord = facts.disks[0].journal.as_mut().unwrap();
    record.committed = true;
    let run = Start { recorder: Recorder::new(facts), ..Start::new() }.prepare();
    run.result.as_ref().unwrap();
    assert!(run.ctx.committed && run.ops.iter().find(is_table).is_none());
    assert!(run.reports.iter().any(|body| matches!(body, Body::Installed { .. })));
    assert!(fs::metadata(&run.ctx.out).is_err());
}

#[test]
fn the_link_outlives_its_process_but_not_its_secrecy() {
    let run = Start::new().prepare();
    let link = run.ctx.state.link().unwrap().unwrap();
    assert!(!format!("{link:?}").contains("planted"));
    let session: Session = link.session.unwrap().into();
    assert_eq!((session.https.as_str(), session.attempt), (HEAD, ATTEMPT));
}
