//! A running server: what its requests take, and what memory it has after thousands of them.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use ed25519_dalek::SigningKey;
use harness::net::HEAD;
use harness::run::output;
use harness::service::Service;
use nii::envelope::{PublicKey, Purpose};
use nii::event::{Body, Event, EventBatch};
use nii::secret::Secret;
use nii::session::{SessionAnswer, SessionKey, SessionRequest};

use super::row;
use super::site::{ARMED, Site, mac};

/// Requests between two looks at the server's memory.
const BATCH: usize = 1000;
const BATCHES: usize = 5;
/// The armed node that reports events: none of those that ask for scripts, which would end its attempt.
const REPORTER: usize = ARMED - 1;

/// Times of requests, and the memory after each thousand.
pub fn run(site: &Site<'_>) -> Result<Vec<String>> {
    let service = Service::start(site.serve(), &site.folder.join("serve.log"), "headnode: serving")?;
    let floor = get(site, &vec![plain("/healthz"); BATCH])?;
    let mut memory = vec![resident(&service)?];
    let [mut minting, mut again, mut local] = [Vec::new(), Vec::new(), Vec::new()];
    for batch in 0..BATCHES {
        // A third each: an attempt is minted, is there already, and nothing is to be installed.
        let third = BATCH / 3;
        let armed: Vec<usize> = (batch * third..(batch + 1) * third).collect();
        minting.extend(get(site, &scripts(&armed))?);
        again.extend(get(site, &scripts(&armed))?);
        local.extend(get(site, &scripts(&armed.iter().map(|node| node + ARMED).collect::<Vec<_>>()))?);
        memory.push(resident(&service)?);
    }
    let mut posts = Vec::new();
    let reporter = Reporter::new(site)?;
    for batch in 0..BATCHES {
        posts.extend(reporter.post(site, batch * BATCH..(batch + 1) * BATCH)?);
        memory.push(resident(&service)?);
    }
    let memory: Vec<String> = memory.iter().map(|mib| format!("{mib:.1}")).collect();
    Ok(vec![
        row("GET script, an attempt is minted", &minting, &floor),
        row("GET script, the attempt is there", &again, &floor),
        row("GET script, local disk", &local, &floor),
        row("POST event", &posts, &floor),
        format!(
            "\nserve, resident MiB: {} at start, after each {BATCH} scripts {}, after each {BATCH} events {}",
            memory[0],
            memory[1..=BATCHES].join(" "),
            memory[BATCHES + 1..].join(" ")
        ),
    ])
}

fn plain(path: &str) -> String {
    format!("http://{HEAD}:8080{path}")
}

fn scripts(nodes: &[usize]) -> Vec<String> {
    let path = |node: &usize| format!("/boot/script?mac={}&platform=pcbios", mac(*node).replace(':', "-"));
    nodes.iter().map(|node| plain(&path(node))).collect()
}

/// Fetches each, on one connection; milliseconds.
fn get(site: &Site<'_>, urls: &[String]) -> Result<Vec<f64>> {
    let stanza = |url: &String| format!("url = \"{url}\"\n");
    curl(site, &urls.iter().map(stanza).collect::<Vec<_>>())
}

/// Milliseconds of each transfer. A stanza is what curl's configuration says of one.
fn curl(site: &Site<'_>, stanzas: &[String]) -> Result<Vec<f64>> {
    let common = "silent\nshow-error\nfail\noutput = \"/dev/null\"\nwrite-out = \"%{time_total}\\n\"\n";
    let stanzas: Vec<String> = stanzas.iter().map(|stanza| format!("{common}{stanza}")).collect();
    let config = site.file("curl.conf", &stanzas.join("next\n"))?;
    let times = output(site.net.command("curl").args(["--config", &config]))?;
    let read = |line: &str| Ok(line.parse::<f64>().context("reading curl's times")? * 1e3);
    let times = times.lines().map(read).collect::<Result<Vec<f64>>>()?;
    ensure!(times.len() == stanzas.len(), "curl made {} of {} transfers", times.len(), stanzas.len());
    Ok(times)
}

/// Resident memory in MiB (proc(5)).
fn resident(service: &Service) -> Result<f64> {
    let path = format!("/proc/{}/status", service.id());
    let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().context("reading VmRSS")?;
    Ok(kib / 1024.0)
}

/// A node with a session.
struct Reporter {
    boot_id: uuid::Uuid,
    session: Secret,
}

impl Reporter {
    fn new(site: &Site<'_>) -> Result<Self> {
        let mac = mac(REPORTER);
        let trust = site.cli(["trust"])?;
        let trust: serde_json::Value = serde_json::from_str(&trust).context("reading the trust")?;
        site.file("ca.pem", trust["ca_pem"].as_str().context("no ca_pem in the trust")?)?;
        let cpio = ask(site, &[&plain(&format!("/boot/token/of/{}", mac.replace(':', "-")))])?;
        let token = cpio.split_once("camphor/token\0").and_then(|(_, rest)| {
            let rest = rest.trim_start_matches('\0');
            rest.get(..32)
        });
        let token = Secret::new(token.context("no token in the archive")?);
        let key = SigningKey::from_bytes(&[7; 32]);
        let boot_id = uuid::Uuid::from_u128(7);
        let proof = Purpose::Session.sign(&SessionRequest::proof_message(&token, &mac, boot_id), &key);
        let request = SessionRequest {
            token,
            mac,
            uuid: None,
            boot_id,
            key: PublicKey::from(&key),
            proof,
            protocol: nii::session::PROTOCOL,
            nii_version: nii::v1::VERSION,
            release: "bench".into(),
            tpm: None,
        };
        let request = serde_json::to_string(&request)?;
        let url = secure("/api/v1/session");
        let answer = ask(site, &["--header", "Content-Type: application/json", "--data", &request, &url])?;
        let answer: SessionAnswer = serde_json::from_str(&answer).context("reading the session")?;
        let SessionKey::Plain(session) = answer.session else { bail!("the session's key is for a TPM") };
        Ok(Self { boot_id, session })
    }

    /// Posts an event each; milliseconds.
    fn post(&self, site: &Site<'_>, numbers: std::ops::Range<usize>) -> Result<Vec<f64>> {
        let stanza = |number: usize| -> Result<String> {
            let seq = u64::try_from(number)? + 1;
            let body = match seq % 2 {
                0 => Body::Progress { step: "unpack".into(), done: seq, total: 1_000_000 },
                _ => Body::StepFinished { step: "partition".into(), ms: seq },
            };
            let event = Event { boot_id: self.boot_id, seq, mono_ms: seq, body };
            let batch = serde_json::to_string(&EventBatch { events: vec![event] })?;
            Ok(format!(
                "url = \"{}\"\ncacert = \"{}\"\nheader = \"Content-Type: application/json\"\n\
                 header = \"Authorization: Bearer {}\"\ndata = {batch:?}\n",
                secure("/api/v1/events"),
                site.folder.join("ca.pem").display(),
                self.session.expose(),
            ))
        };
        curl(site, &numbers.map(stanza).collect::<Result<Vec<_>>>()?)
    }
}

fn secure(path: &str) -> String {
    format!("https://{HEAD}:8443{path}")
}

/// What the server answers.
fn ask(site: &Site<'_>, args: &[&str]) -> Result<String> {
    let mut command: Command = site.net.command("curl");
    command.args(["--silent", "--show-error", "--fail", "--cacert"]).arg(site.folder.join("ca.pem"));
    output(command.args(args))
}
