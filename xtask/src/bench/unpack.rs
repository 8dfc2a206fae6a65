//! Unpacking an image over HTTP into a tmpfs: verified by us, unverified by the pipeline that admins write. And the
//! memory that ours takes for a small and for a big image.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use harness::head::{Head, IMAGE};
use harness::net::HEAD;
use harness::run::{cmd, output};
use harness::scenario::{self, Scenario};
use harness::{artefacts, paths};
use serde_json::Value;

use super::Pairs;

/// Copies of the root in the big image: 3 GiB.
const COPIES: usize = 9;

/// Times against the pipeline, and peak memory.
pub fn run() -> Result<Vec<String>> {
    let mut rows = vec![super::heading()];
    scenario::run("bench", |scenario| {
        let mut head = Head::new(scenario)?;
        println!("packing an image of 3 GiB");
        head.cli(["image", "import", "big", &big_tree(scenario)?.to_string_lossy()])?;
        head.serve()?;
        println!("unpack: ours and curl | zstd -dc | tar -x");
        let small = Image::of(&head, IMAGE)?;
        let times = Pairs::timed(|| small.unpack(scenario).map(drop), || small.unpack_by_pipeline(scenario))?;
        rows.push(times.row("unpack over HTTP to tmpfs", "s"));
        for (name, image) in [("about 300 MiB", small), ("about 3 GiB", Image::of(&head, "big")?)] {
            let peak = image.unpack(scenario)?;
            rows.push(format!("peak memory, image of {name:<15}{:>9.1} MiB", peak as f64 / 1024.0));
        }
        Ok(())
    })?;
    Ok(rows)
}

/// The root, several times over, in a folder of its own.
fn big_tree(scenario: &Scenario) -> Result<PathBuf> {
    let folder = scenario.scratch().join("big");
    for copy in 0..COPIES {
        let copy = folder.join(copy.to_string());
        fs::create_dir_all(&copy).with_context(|| format!("making {}", copy.display()))?;
        output(
            cmd("tar", ["--extract", "--numeric-owner", "--file"])
                .arg(artefacts::root()?)
                .arg("-C")
                .arg(&copy),
        )?;
    }
    Ok(folder)
}

/// An image that the head node serves.
struct Image {
    digest: String,
    key: String,
}

impl Image {
    fn of(head: &Head<'_>, name: &str) -> Result<Self> {
        let shown = head.cli(["image", "show", name, "--output", "json"])?;
        let shown: Value = serde_json::from_str(&shown).context("parsing headnode's image")?;
        let digest = shown["digest"].as_str().with_context(|| format!("no digest in {shown}"))?.to_owned();
        let public = head.data().join("keys/image.pub");
        let public = fs::read_to_string(&public).with_context(|| format!("reading {}", public.display()))?;
        let key = public.lines().last().unwrap_or_default().to_owned();
        Ok(Self { digest, key })
    }

    /// Where the head node serves it.
    fn url(&self) -> String {
        format!("http://{HEAD}:8080/images/{}", self.digest)
    }

    /// By us; returns the peak resident memory in KiB.
    fn unpack(&self, scenario: &Scenario) -> Result<u64> {
        let target = Tmpfs::mount(scenario.scratch().join("target"))?;
        let peak = scenario.logs.join("peak");
        let mut command = scenario.net.command("/usr/bin/time");
        command.args(["--format=%M", "--output"]).arg(&peak).arg(paths::program("imageinit")?);
        command.args(["unpack", "--url", &self.url(), "--digest", &self.digest, "--key", &self.key]);
        command.arg("--target").arg(&target.path);
        output(&mut command)?;
        let text = fs::read_to_string(&peak).with_context(|| format!("reading {}", peak.display()))?;
        text.trim().parse().with_context(|| format!("reading the peak memory {text:?}"))
    }

    /// By the pipeline of the admin's notebook.
    fn unpack_by_pipeline(&self, scenario: &Scenario) -> Result<()> {
        let target = Tmpfs::mount(scenario.scratch().join("target"))?;
        let script = "curl --silent --show-error --fail \"$0/data.tar.zst\" | zstd -dc \
            | tar -x --xattrs --xattrs-include='*' --acls --numeric-owner -C \"$1\"";
        let mut command = scenario.net.command("bash");
        output(command.args(["-o", "pipefail", "-c", script, &self.url()]).arg(&target.path)).map(drop)
    }
}

/// A tmpfs without limits; unmounted when dropped.
struct Tmpfs {
    path: PathBuf,
}

impl Tmpfs {
    fn mount(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        output(cmd("mount", ["-t", "tmpfs", "-o", "size=90%,nr_inodes=0", "camphor-bench"]).arg(&path))?;
        Ok(Self { path })
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        if let Err(error) = output(cmd("umount", ["--recursive"]).arg(&self.path)) {
            eprintln!("unmounting {}: {error:#}", self.path.display());
        }
    }
}
