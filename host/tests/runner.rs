//! The step runner on the recorder: order, reports, deadlines, failures at each op.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use anyhow::Context;
use host::recorder::Recorder;
use host::{Note, Observer, Step, Tracker, Watch, runner};
use nii::event::Failure;
use plan::facts::{Facts, Firmware};
use plan::op::Guard;
use plan::{Act, Op, Plan, Stage};

/// Keeps notes as text.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Observer for Notes {
    fn note(&mut self, note: &Note<'_>) {
        let text = match note {
            Note::Started { step, number, of, deadline } => {
                format!("{number}/{of} {step} within {deadline:?}")
            }
            Note::Skipped { step, .. } => format!("{step} skipped"),
            Note::Finished { step, .. } => format!("{step} finished"),
            Note::Op { op } => format!("op {op}"),
            Note::OpSkipped { op, why } => format!("op {op} skipped: {why}"),
            Note::Progress { done, total, .. } => format!("{done} of {total}"),
            Note::Log { line } => format!("log {line}"),
            Note::Warning { message } => format!("warning {message}"),
            Note::Failed(failure) => format!("failed {}", failure.step),
        };
        self.0.lock().unwrap().push(text);
    }
}

impl Notes {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

struct Room {
    machine: Recorder,
    tracker: Tracker,
    ops: Vec<Op>,
    diskless: bool,
}

const STEPS: &[Step<Room>] = &[
    Step {
        name: "look",
        about: "looks around",
        deadline: Duration::from_secs(60),
        run: look,
        when: |_| true,
    },
    Step {
        name: "partition",
        about: "disks only",
        deadline: Duration::MAX,
        run: look,
        when: |c| !c.diskless,
    },
    Step {
        name: "work",
        about: "applies the ops",
        deadline: Duration::from_secs(60),
        run: work,
        when: |_| true,
    },
];

fn look(context: &mut Room) -> anyhow::Result<()> {
    context.tracker.warn("dust");
    Ok(())
}

fn work(context: &mut Room) -> anyhow::Result<()> {
    context.tracker.apply(&mut context.machine, &context.ops).context("working")
}

fn facts() -> Facts {
    Facts {
        firmware: Firmware::Efi,
        arch: "x86_64".into(),
        kernel: "6.1.0".into(),
        memory_total: 1 << 30,
        memory_available: 1 << 30,
        uuid: None,
        disks: vec![],
        nics: vec![],
        tools: vec![],
        stacked: Vec::new(),
        groups: Vec::new(),
        tool_versions: BTreeMap::new(),
    }
}

fn context(notes: &Notes, machine: Recorder) -> Room {
    let op = |name: &str| Op::new(Act::LoadModule { name: name.into(), options: String::new() }, "a test");
    let ops = vec![op("one"), op("two"), op("three")];
    Room { machine, tracker: Tracker::new(vec![Box::new(notes.clone())]), ops, diskless: true }
}

fn run(context: &mut Room) -> Result<(), Failure> {
    let tracker = context.tracker.clone();
    runner::run(STEPS, context, &tracker, &|failure| panic!("overdue: {failure:?}"))
}

#[test]
fn steps_run_in_order_and_are_told() {
    let notes = Notes::default();
    let mut context = context(&notes, Recorder::new(facts()));
    context.tracker.set_deadlines(&BTreeMap::from([("work".into(), 90)]));
    run(&mut context).unwrap();
    let expected = [
        "1/3 look within 60s",
        "warning dust",
        "look finished",
        "partition skipped",
        "3/3 work within 90s",
        "op load module one",
        "op load module two",
        "op load module three",
        "work finished",
    ];
    assert_eq!(notes.take(), expected);
    assert_eq!(context.machine.ops, context.ops);
}

#[test]
fn each_op_fails_in_turn_and_is_named() {
    for (k, name) in ["one", "two", "three"].iter().enumerate() {
        let notes = Notes::default();
        let mut context = context(&notes, Recorder::new(facts()).failing_at(k, 28));
        let failure = run(&mut context).unwrap_err();
        assert_eq!((failure.step.as_str(), failure.op), ("work", Some(format!("load module {name}"))));
        let cause = [
            "working".to_owned(),
            format!("load module {name}"),
            "No space left on device (os error 28)".into(),
        ];
        assert_eq!(failure.cause, cause);
        assert!(failure.hint.unwrap().starts_with("no space left"));
        assert_eq!(failure.log_tail, ["dust", "the recorder fails this op"]);
        assert_eq!(context.machine.ops.len(), k + 1, "nothing is tried after it");
        assert_eq!(notes.take().last().unwrap(), "failed work");
    }
}

#[test]
fn a_step_past_its_deadline_is_reported_while_it_hangs() {
    static RELEASED: AtomicBool = AtomicBool::new(false);
    fn hang(context: &mut Room) -> anyhow::Result<()> {
        context.tracker.clone().log("about to hang");
        // What the callback of a real program ends, this one releases.
        while !RELEASED.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        Ok(())
    }
    let steps = [Step {
        name: "hang",
        about: "",
        deadline: Duration::from_millis(50),
        run: hang,
        when: |_: &Room| true,
    }];
    let notes = Notes::default();
    let mut context = context(&notes, Recorder::new(facts()));
    let tracker = context.tracker.clone();
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let overdue = move |failure: &Failure| {
        tell.lock().unwrap().send(failure.clone()).unwrap();
        RELEASED.store(true, Ordering::Release);
    };
    let ended = runner::run(&steps, &mut context, &tracker, &overdue).unwrap_err();
    let failure = told.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!((failure.step.as_str(), &failure), ("hang", &ended), "a late success counts no more");
    assert!(failure.cause[0].contains("deadline"), "{failure:?}");
    assert_eq!(failure.log_tail, ["about to hang"]);
    assert_eq!(notes.take().iter().filter(|note| *note == "failed hang").count(), 1);
}

/// Processes of this machine with `word` among their arguments.
fn processes_with(word: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())).count()
}

#[test]
fn an_overdue_program_is_ended_and_nothing_is_applied_after_it() {
    const DEADLINE: Duration = Duration::from_secs(1);
    struct Real {
        machine: host::linux::Linux,
        tracker: Tracker,
        ops: Vec<Op>,
    }
    fn apply(context: &mut Real) -> anyhow::Result<()> {
        // Whatever a step makes of an error: the next op is refused as well.
        let first = context.tracker.apply(&mut context.machine, &context.ops[..1]);
        let second = context.tracker.apply(&mut context.machine, &context.ops[1..]);
        first.and(second).context("committing late")
    }
    let folder = tempfile::tempdir().unwrap();
    let late = folder.path().join("committed");
    let word = format!("camphor-overdue-{}", std::process::id());
    // The shell waits for a child of its own, as a script does.
    let argv = ["sh", "-c", "sh -c 'sleep 300; true' \"$0\"; true", &word].map(String::from).to_vec();
    let write = Act::WriteFile {
        path: late.to_str().unwrap().trim_start_matches('/').into(),
        content: plan::op::Content::Text("late".into()),
        mode: 0o600,
        uid: 0,
        gid: 0,
    };
    let notes = Notes::default();
    let tracker = Tracker::new(vec![Box::new(notes.clone())]);
    let ops = vec![Op::new(Act::Run { argv }, "a test"), Op::new(write, "a test")];
    let machine = support::machine(std::path::Path::new("/"));
    tracker.show(&shown(&ops));
    let mut context = Real { machine, tracker: tracker.clone(), ops };
    let step = |name| Step { name, about: "", deadline: DEADLINE, run: apply, when: |_: &Real| true };
    let failure = runner::run(&[step("work"), step("next")], &mut context, &tracker, &|_| ()).unwrap_err();
    assert_eq!((failure.step.as_str(), processes_with(&word)), ("work", 0), "{failure:?}");
    assert!(failure.op.unwrap().starts_with("run in the new root: sh -c"));
    assert!(!late.exists());
    let told = notes.take();
    let failures: Vec<&String> = told.iter().filter(|note| note.starts_with("failed")).collect();
    assert_eq!(failures, ["failed work"]);
    assert!(!told.iter().any(|note| note.contains("next") || note.starts_with("op write")), "{told:?}");
}

fn shown(ops: &[Op]) -> Plan {
    Plan { stages: vec![Stage { step: "work", ops: ops.to_vec() }], warnings: Vec::new() }
}

/// Steps that come to other ops than those that a person could read are not obeyed.
#[test]
fn what_the_plan_did_not_show_is_not_done() {
    let mkdir = |path: &str| Op::new(Act::Mkdir { path: path.into(), mode: 0o755 }, "a test");
    let mut machine = Recorder::new(facts());
    let tracker = Tracker::new(Vec::new());
    let refused = |tracker: &Tracker, machine: &mut Recorder, op: Op| {
        let error = tracker.apply(machine, &[op]).unwrap_err();
        assert!(format!("{error:?}").contains("the plan did not show it"), "{error:?}");
    };
    refused(&tracker, &mut machine, mkdir("a"));
    let module = Op::new(Act::LoadModule { name: "md".into(), options: String::new() }, "a test");
    tracker.apply(&mut machine, std::slice::from_ref(&module)).unwrap();
    tracker.show(&shown(&[mkdir("a")]));
    tracker.apply(&mut machine, &[mkdir("a"), mkdir("a")]).unwrap();
    refused(&tracker, &mut machine, mkdir("b"));
    refused(&tracker, &mut machine, mkdir("a").when(Guard::has("etc")));
    tracker.show(&shown(&[mkdir("b")]));
    refused(&tracker, &mut machine, mkdir("a"));
    assert_eq!(machine.ops, [module, mkdir("a"), mkdir("a")]);
}

#[test]
fn progress_is_throttled_but_its_end_is_told() {
    let notes = Notes::default();
    let mut tracker = Tracker::new(vec![Box::new(notes.clone())]);
    (0..=1000).for_each(|done| tracker.progress(done, 1000));
    let told = notes.take();
    assert_eq!(told.first().unwrap(), "0 of 1000");
    assert_eq!(told.last().unwrap(), "1000 of 1000");
    // A slow machine may have taken a second or two in between.
    assert!(told.len() < 10, "{told:?}");
}

#[test]
fn the_table_reads_as_a_list() {
    let list = runner::list(STEPS);
    assert_eq!(list.lines().nth(1).unwrap(), " 2  partition  disks only (no deadline)");
    assert_eq!(list.lines().count(), 3);
}
