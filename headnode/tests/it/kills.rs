//! kill -9 at random moments: what was acknowledged is there, and nothing is that nobody wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use nii::event::{Body, Failure};
use nii::session::ErrorCode;
use serde_json::Value;
use uuid::Uuid;

use crate::addhost::{MACHINES, Nodes, added, assert_complete, furnished, nodes, plugin};
use crate::head::{Head, Machine, token_url, wait_for};
use crate::lab::{Addhost, Lab};

/// Random numbers of no quality, other ones in each run; the seed is printed for who wants the same again.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
        eprintln!("seed {seed}");
        Self(seed)
    }

    /// Xorshift (Marsaglia 2003).
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn other(&mut self) -> Self {
        Self(self.below(u64::MAX) | 1)
    }

    /// A random moment is the one thing that is to be waited for.
    fn moment(&mut self, ms: u64) {
        std::thread::sleep(Duration::from_millis(self.below(ms)));
    }
}

/// A plugin that notes what it is told: a file for each call.
struct Told {
    folder: PathBuf,
    read: BTreeSet<PathBuf>,
}

impl Told {
    fn new(head: &Head) -> Self {
        let folder = head.path("told");
        std::fs::create_dir(&folder).unwrap();
        // Nothing but what the shell does itself: no child of it writes on when addhost is killed, and it with addhost.
        let note = "IFS= read -r input; { printf '%s\\n' \"$input\"; echo end; }";
        plugin(head, &format!("#!/bin/sh\n{note} > {}/$PPID.$$\n", folder.display()));
        Self { folder, read: BTreeSet::new() }
    }

    /// The nodes of calls with a verb since the last look, by MAC address: once for each call. Calls that were not over
    /// do not count.
    fn news(&mut self, verb: &str) -> Vec<String> {
        let files = std::fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path());
        let new: Vec<PathBuf> = files.filter(|path| !self.read.contains(path)).collect();
        let mut macs = Vec::new();
        for path in new {
            let text = std::fs::read_to_string(&path).unwrap();
            let Some(input) = text.strip_suffix("end\n") else { continue };
            let input: Value = serde_json::from_str(input).unwrap();
            if input["verb"] == verb {
                let nodes = input["changed"].as_array().unwrap();
                macs.extend(nodes.iter().map(|node| node["mac"].as_str().unwrap().to_owned()));
            }
            self.read.insert(path);
        }
        macs
    }
}

/// What the kills of addhost may not change.
struct Addhosts {
    head: Head,
    told: Told,
    /// Nodes that were in the store after the last kill, and their armings.
    stored: Nodes,
    armings: BTreeMap<String, String>,
    /// MAC addresses that plugins were told of, and those of them that they must not be told of again.
    heard: BTreeSet<String>,
    settled: BTreeSet<String>,
}

impl Addhosts {
    /// While an addhost runs: what it owes plugins from the one before it has paid.
    fn settle(&mut self) {
        wait_for("plugins to be told", || self.head.count("SELECT 1 FROM announcements") == 0);
        self.hear();
        let stored: BTreeSet<String> = self.stored.keys().cloned().collect();
        let untold: Vec<&String> = stored.difference(&self.heard).collect();
        assert!(untold.is_empty(), "plugins were not told of {untold:?}");
        self.settled = stored;
    }

    fn hear(&mut self) {
        let news = self.told.news("added");
        let again: Vec<&String> = news.iter().filter(|mac| self.settled.contains(*mac)).collect();
        assert!(again.is_empty(), "plugins were told of {again:?} again");
        self.heard.extend(news);
    }

    /// After a kill.
    fn look(&mut self, acknowledged: Nodes) {
        self.stored.extend(acknowledged);
        let stored = nodes(&self.head);
        for (mac, node) in &self.stored {
            assert_eq!(stored.get(mac), Some(node), "{mac} was acknowledged");
        }
        // What was stored and not yet said is no loss.
        self.stored = stored;
        self.hear();
        let invented: Vec<&String> =
            self.heard.iter().filter(|mac| !self.stored.contains_key(*mac)).collect();
        assert!(invented.is_empty(), "plugins were told of {invented:?}, and no node has it");
        let armings = armings(&self.head);
        for (node, arming) in &self.armings {
            assert_eq!(armings.get(node), Some(arming), "{node} was armed once");
        }
        let names: BTreeSet<&String> = self.stored.values().map(|(name, _)| name).collect();
        assert!(armings.keys().eq(names), "each is armed: {armings:?}");
        self.armings = armings;
    }

    /// Some go: who is new is heard at once then, and a kill comes in the middle of something.
    fn remove(&mut self, count: usize) {
        let macs: Vec<String> = self.stored.keys().take(count).cloned().collect();
        let gone: Vec<(String, String)> = macs.iter().filter_map(|mac| self.stored.remove(mac)).collect();
        let names: Vec<&str> = gone.iter().map(|(name, _)| name.as_str()).collect();
        self.head.ok(&[&["--yes", "node", "rm"][..], &names].concat());
        let removed: BTreeSet<String> = self.told.news("removed").into_iter().collect();
        assert!(removed.iter().eq(&macs), "plugins were told of {removed:?}");
        for (mac, name) in macs.iter().zip(names) {
            self.heard.remove(mac);
            self.settled.remove(mac);
            self.armings.remove(name);
        }
    }
}

/// Arming by node; every node has one, and waits for its boot.
fn armings(head: &Head) -> BTreeMap<String, String> {
    let status = head.json(&["status"]);
    let nodes = status.as_array().unwrap().iter().filter(|node| node["node"] != Value::Null);
    let armed = nodes.inspect(|node| assert_eq!(node["state"], "armed", "{node}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    armed.map(|node| (text(&node["node"]), text(&node["arming"]))).collect()
}

/// Beside no DHCP server at all: the machines never stop to ask.
#[test]
fn addhost_survives_fifty_kills() {
    let mut lab = Lab::new(MACHINES);
    let head = furnished("external");
    let told = Told::new(&head);
    let (stored, armings, heard, settled) = Default::default();
    let mut hosts = Addhosts { head, told, stored, armings, heard, settled };
    (1..=MACHINES).for_each(|machine| lab.switch_on(machine));
    let mut random = Random::new();
    for _ in 0..50 {
        let mut addhost = Addhost::start(&lab, &hosts.head, &["--group", "compute", "--batch"]);
        addhost.wait_for("listening on");
        // A kill may also come while it pays what an earlier one owes.
        if random.below(2) == 0 {
            hosts.settle();
        }
        // A random number of nodes, then a random moment; or only the moment, where nobody new comes.
        for _ in 0..random.below(3) {
            if hosts.stored.len() + added(&addhost.said).len() < MACHINES {
                addhost.wait_for("added ");
            }
        }
        let moment = Duration::from_millis(random.below(60));
        if let Ok(line) = addhost.lines.recv_timeout(moment) {
            addhost.said.push(line);
        }
        hosts.look(added(&addhost.kill()));
        // Never all.
        if hosts.stored.len() > MACHINES / 2 {
            hosts.remove(25);
        }
    }
    let count = (MACHINES - hosts.stored.len()).to_string();
    let addhost = Addhost::start(&lab, &hosts.head, &["--group", "compute", "--batch", "--count", &count]);
    hosts.look(added(&addhost.ended()));
    hosts.settle();
    assert_complete(&hosts.stored);
}

/// Nodes of the rollouts. `n1` is in none.
const NODES: u8 = 8;
const BATCH: usize = 4;

fn name(i: u8) -> String {
    format!("c{i:02}")
}

/// What machines know.
#[derive(Default)]
struct Ledger {
    /// Boot and sequence of events: sent, and of those acknowledged.
    sent: BTreeSet<(Uuid, u64)>,
    acknowledged: BTreeSet<(Uuid, u64)>,
    /// Armings that were reported as carried out.
    done: BTreeSet<Uuid>,
    /// Tokens that were shown again.
    replays: usize,
    /// Installs fail.
    broken: bool,
}

/// A machine that boots from the network for ever, and now and then loses its power in the middle of an install.
struct Booting<'a> {
    machine: Machine,
    http: String,
    ledger: &'a Mutex<Ledger>,
    random: Random,
}

impl Booting<'_> {
    fn run(mut self, over: &AtomicBool) {
        let mut old: Option<String> = None;
        while !over.load(Ordering::Relaxed) {
            let script = self.machine.script_of(&self.http);
            if !script.contains("--name token") {
                self.random.moment(40);
                continue;
            }
            self.machine.session = None;
            self.machine.boot_id = Uuid::new_v4();
            self.machine.key = SigningKey::from_bytes(&[self.random.below(256) as u8; 32]);
            let token = self.machine.token_at(&token_url(&script)).expect("a script's token");
            self.replay(old.as_deref());
            let session = self.machine.ask(&self.machine.request(&token)).expect("a session for a token");
            assert!(!self.ledger.lock().unwrap().done.contains(&session.arming), "it is installed already");
            self.machine.session = Some(session);
            self.replay(old.as_deref());
            self.install();
            old = Some(token);
        }
    }

    /// A token of an attempt before, with another key.
    fn replay(&mut self, token: Option<&str>) {
        let Some(token) = token else { return };
        let key = std::mem::replace(&mut self.machine.key, SigningKey::from_bytes(&[255; 32]));
        let refused = self.machine.ask(&self.machine.request(token)).unwrap_err();
        assert!([ErrorCode::Unauthorized, ErrorCode::Replay].contains(&refused), "{refused:?}");
        self.machine.key = key;
        self.ledger.lock().unwrap().replays += 1;
    }

    fn install(&mut self) {
        self.machine.nii("nonce").expect("the NII of a session");
        let events = 2 + self.random.below(6);
        for seq in 1..=events {
            if self.random.below(20) == 0 {
                return;
            }
            self.send(seq, Body::Warning { message: format!("event {seq}") });
        }
        let arming = self.machine.session.as_ref().unwrap().arming;
        let broken = self.ledger.lock().unwrap().broken;
        let failure = Failure {
            step: "unpack".into(),
            op: None,
            cause: vec!["a broken disk".into()],
            hint: None,
            log_tail: Vec::new(),
        };
        let installed = self.machine.installed();
        self.send(events + 1, if broken { Body::Failed(failure) } else { installed });
        if !broken {
            self.ledger.lock().unwrap().done.insert(arming);
        }
    }

    fn send(&self, seq: u64, body: Body) {
        let boot = self.machine.boot_id;
        self.ledger.lock().unwrap().sent.insert((boot, seq));
        let through = self.machine.send(vec![self.machine.event(seq, body)]).expect("an answer to an event");
        assert_eq!(through, seq);
        self.ledger.lock().unwrap().acknowledged.insert((boot, seq));
    }
}

/// Ends the machines, also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What the kills of serve may not change.
struct Serves<'a> {
    head: Head,
    ledger: &'a Mutex<Ledger>,
    rollouts: usize,
    /// Armings by rollout and node.
    armings: BTreeMap<(usize, String), String>,
}

impl Serves<'_> {
    /// While nothing serves.
    fn look(&mut self) {
        let acknowledged = self.ledger.lock().unwrap().acknowledged.clone();
        let stored = self.events();
        let lost: Vec<_> = acknowledged.difference(&stored).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        let invented: Vec<_> = stored.difference(&self.ledger.lock().unwrap().sent).copied().collect();
        assert!(invented.is_empty(), "nobody sent {invented:?}");
        let status = self.head.status("n1");
        assert!(["unknown", "discovered"].contains(&status["state"].as_str().unwrap()), "{status}");
        assert_eq!(status["arming"], Value::Null, "{status}");
        if self.rollouts > 0 {
            self.look_at_rollout();
        }
    }

    fn events(&self) -> BTreeSet<(Uuid, u64)> {
        let lines = self.head.json(&["events", "--limit", "100000"]);
        let reported = lines.as_array().unwrap().iter().filter(|line| line["boot_id"] != Value::Null);
        let all: Vec<(Uuid, u64)> = reported
            .map(|line| (line["boot_id"].as_str().unwrap().parse().unwrap(), line["seq"].as_u64().unwrap()))
            .collect();
        let each: BTreeSet<(Uuid, u64)> = all.iter().copied().collect();
        assert_eq!(each.len(), all.len(), "each once");
        each
    }

    fn look_at_rollout(&mut self) {
        let members = self.head.json(&["boot", "rollout", &self.rollouts.to_string()]);
        let members = members.as_array().unwrap();
        let count = |result: &str| members.iter().filter(|member| member["result"] == result).count();
        assert!(count("busy") <= BATCH, "{members:#?}");
        if members[0]["result"] != "done" {
            assert_eq!(count("waiting"), members.len() - usize::from(members[0]["result"] != "waiting"));
        }
        let status = self.head.json(&["status"]);
        let status =
            |name: &Value| status.as_array().unwrap().iter().find(|node| node["node"] == *name).unwrap();
        for member in members {
            let (state, arming) =
                (member["state"].as_str().unwrap(), status(&member["node"])["arming"].as_str());
            let name = member["node"].as_str().unwrap().to_owned();
            let before = self.armings.get(&(self.rollouts - 1, name.clone())).map(String::as_str);
            if member["result"] == "waiting" {
                assert!(!["armed", "installing"].contains(&state), "nobody armed it yet: {member}");
                assert_eq!(arming, before, "{member}");
                continue;
            }
            assert_ne!(arming, before, "{member}");
            let arming = arming.unwrap().to_owned();
            let first = self.armings.entry((self.rollouts, name)).or_insert(arming.clone());
            assert_eq!(*first, arming, "its turn comes once: {member}");
        }
    }

    fn outcome(&self) -> Value {
        let rollouts = self.head.json(&["boot", "rollout"]);
        assert_eq!(rollouts.as_array().unwrap().len(), self.rollouts);
        rollouts.as_array().unwrap().last().map_or(Value::from("none yet"), |last| last["outcome"].clone())
    }

    fn begin_rollout(&mut self) {
        let pace = ["--canary", "1", "--batch", &BATCH.to_string()];
        let nodes = format!("c[01-{NODES:02}]");
        self.head.ok(&[&["boot", "install", &nodes][..], &pace].concat());
        self.rollouts += 1;
    }

    /// Serves until a random moment; now and then that is before it is ready.
    fn serve_and_kill(&mut self, random: &mut Random) {
        if random.below(5) == 0 {
            let mut serve = Command::new(env!("CARGO_BIN_EXE_headnode"));
            serve.arg("serve").arg("--data-dir").arg(self.head.data());
            let mut serve = serve.stderr(Stdio::null()).spawn().unwrap();
            random.moment(150);
            serve.kill().unwrap();
            serve.wait().unwrap();
        }
        self.head.serve();
        random.moment(300);
        self.head.kill();
        self.look();
    }
}

/// A head node whose nodes have addresses on loopback, and their machines.
fn with_machines<'a>(ledger: &'a Mutex<Ledger>, random: &mut Random) -> (Head, Vec<Booting<'a>>) {
    let head = Head::new();
    head.ok(&["group", "set", "disked", "attempts=1000"]);
    let of = |i: u8| (format!("127.0.0.{}", 100 + i), format!("52:54:00:00:02:{i:02x}"));
    let mut leases = vec![("127.0.0.1".to_owned(), crate::head::MAC.to_owned())];
    for i in 1..=NODES {
        let (address, mac) = of(i);
        head.ok(&["node", "add", &name(i), "--group", "disked", "--mac", &mac]);
        leases.push((address, mac));
    }
    let lines: Vec<(&str, &str)> = leases.iter().map(|(ip, mac)| (ip.as_str(), mac.as_str())).collect();
    head.leases(&lines);
    let machines = lines.iter().map(|(address, mac)| {
        let mut machine = Machine::at(&head, address, 1);
        (machine.mac, machine.patient) = ((*mac).to_owned(), true);
        Booting { machine, http: head.http.clone(), ledger, random: random.other() }
    });
    let machines = machines.collect();
    (head, machines)
}

/// Installs go on in rollouts while serve is killed, and a rollout whose canary fails stops.
#[test]
fn serve_survives_thirty_kills() {
    let (ledger, over, mut random) = (Mutex::default(), AtomicBool::new(false), Random::new());
    let (head, machines) = with_machines(&ledger, &mut random);
    let mut serves = Serves { head, ledger: &ledger, rollouts: 0, armings: BTreeMap::new() };
    std::thread::scope(|scope| {
        let _over = Over(&over);
        for machine in machines {
            scope.spawn(|| machine.run(&over));
        }
        // On a busy machine few boots come as far as to a token before the next kill.
        let mut kills = 0;
        while kills < 30 || ledger.lock().unwrap().replays <= 20 {
            kills += 1;
            assert!(kills < 500, "no machine shows an old token");
            if serves.outcome() != Value::Null {
                serves.begin_rollout();
            }
            serves.serve_and_kill(&mut random);
        }
        serves.head.serve();
        wait_for("the rollout to be done", || serves.outcome() == "done");
        serves.head.kill();
        serves.look();
        ledger.lock().unwrap().broken = true;
        serves.begin_rollout();
        while serves.outcome() == Value::Null {
            serves.serve_and_kill(&mut random);
        }
        assert_eq!(serves.outcome(), "stopped: 1 failed");
        // Machines end when they have their answers.
        serves.head.serve();
    });
    serves.head.kill();
    serves.look();
    let ledger = ledger.into_inner().unwrap();
    assert!(ledger.done.len() >= usize::from(NODES), "{}", ledger.done.len());
}
