//! The subcommands that install nothing: what would be done, and what is known.

use std::fs;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use host::linux::source::Sources;
use host::net::http::Http;
use host::output::{Output, json, lines, print, refusal};
use host::{Watch, runner};
use image::Image;
use image::sign::PublicKey;
use image::source::Patience;
use nii::Strictness;
use nii::manifest::Manifest;
use nii::v1::InstallType;
use plan::{Facts, Inputs, install, summary};
use uuid::Uuid;

use crate::cli::{PlanInputs, USAGE, UnpackInputs};
use crate::steps::STEPS;

/// `help`.
pub fn help() -> Result<()> {
    print(USAGE)
}

/// `--list`.
pub fn list() -> Result<()> {
    print(&runner::list(STEPS))
}

/// `plan`: what the steps would do. Arming and attempt are nil: a real plan has other GUIDs.
pub fn plan(inputs: &PlanInputs, output: Output) -> Result<()> {
    let (nii, warnings) = nii::read(&read(&inputs.nii)?, Strictness::Lenient)
        .with_context(|| format!("reading {}", inputs.nii.display()))?;
    let facts: Facts = serde_json::from_slice(&read(&inputs.facts)?)
        .with_context(|| format!("reading {}", inputs.facts.display()))?;
    let manifest = Manifest::parse(&read(&inputs.manifest)?)
        .with_context(|| format!("reading {}", inputs.manifest.display()))?;
    let inputs =
        Inputs { facts: &facts, nii: &nii, manifest: &manifest, arming: Uuid::nil(), attempt: Uuid::nil() };
    let summary = summary(&facts, &nii.storage, Uuid::nil());
    let plan = match nii.install.kind {
        InstallType::Disked => install::disked(&inputs),
        InstallType::Diskless => install::diskless(&inputs),
        InstallType::Package => bail!("a package install is planned by the program `installer`"),
    };
    match plan {
        Ok(plan) => print(&match output {
            Output::Text => format!("{}{summary}\n{}", lines(&warnings), plan::render(&plan)),
            Output::Json => {
                json(&serde_json::json!({"summary": summary, "findings": warnings, "plan": plan}))?
            }
        }),
        Err(findings) => Err(refusal(output, &summary, &findings)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// `facts`.
pub fn facts() -> Result<()> {
    let facts = host::linux::facts::read(Path::new("/sys"), Path::new("/proc"), &mut Words)?;
    print(&json(&facts)?)
}

/// `unpack`: an image into an empty directory, for measuring.
pub fn unpack(inputs: &UnpackInputs) -> Result<()> {
    let key: PublicKey = inputs.key.parse().context("reading --key")?;
    let source = Sources::new(Http::plain()?, std::slice::from_ref(&inputs.url));
    let target =
        fs::File::open(&inputs.target).with_context(|| format!("opening {}", inputs.target.display()))?;
    let began = Instant::now();
    let image = Image::open(&source, &[key], inputs.digest, Patience::default())?;
    image.unpack(target.as_fd(), &mut |_| ())?;
    let seconds = began.elapsed().as_secs_f64();
    let manifest = image.manifest();
    print(&format!(
        "seconds {seconds:.3}\nstored_bytes {}\nplain_bytes {}\npeak_kib {}\n",
        manifest.stored_size,
        manifest.plain_size,
        host::linux::facts::peak_kib()
    ))
}

/// Remarks go to standard error: standard output is for programs.
struct Words;

impl Watch for Words {
    fn progress(&mut self, _: u64, _: u64) {}
    fn log(&mut self, line: &str) {
        eprintln!("imageinit: {line}");
    }
}
