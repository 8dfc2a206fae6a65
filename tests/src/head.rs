//! The head node under test: `headnode` in the scenario's network, set up through its own command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::net::{BRIDGE, HEAD, SUBNET};
use crate::run::{cmd, output};
use crate::scenario::Scenario;
use crate::service::Service;
use crate::{artefacts, cache, paths};

/// The name of the image and of the netboot pair that every head node here has.
pub const IMAGE: &str = "debian";
/// The name of the netboot pair whose initrd has the tools for arrays, encrypted devices, volumes and btrfs.
pub const STACKED: &str = "stacked";

/// A head node with its data folder in the scenario's scratch.
pub struct Head<'a> {
    scenario: &'a Scenario,
    data: PathBuf,
    serving: Option<Service>,
    starts: u32,
}

impl<'a> Head<'a> {
    /// A head node with keys, the Debian image, its kernel with our initrd, and the scenario's network. It does not
    /// serve yet.
    ///
    /// # Errors
    /// When a program is not built, or refuses.
    pub fn new(scenario: &'a Scenario) -> Result<Self> {
        let data = scenario.scratch().join("head");
        output(cmd("cp", ["--archive", "--reflink=auto"]).arg(prepared()?.data).arg(&data))?;
        let head = Self { scenario, data, serving: None, starts: 0 };
        let range = "10.23.0.100-10.23.0.200";
        let network = ["--interface", BRIDGE, "--subnet", SUBNET, "--address", HEAD, "--range", range];
        head.cli(["network", "add", "prov"].iter().chain(&network))?;
        Ok(head)
    }

    /// Runs one of `headnode`'s commands and returns what it printed.
    ///
    /// # Errors
    /// When it refuses.
    pub fn cli<S: AsRef<str>>(&self, args: impl IntoIterator<Item = S>) -> Result<String> {
        output(&mut self.command(args)?)
    }

    /// One of `headnode`'s commands, to be run.
    ///
    /// # Errors
    /// When the program is not built.
    pub fn command<S: AsRef<str>>(&self, args: impl IntoIterator<Item = S>) -> Result<Command> {
        let mut command = self.scenario.net.command(paths::program("headnode")?);
        command.arg("--data-dir").arg(&self.data);
        for arg in args {
            command.arg(arg.as_ref());
        }
        Ok(command)
    }

    /// Defines a group from its document, with one node `name` in it, and arms the node.
    ///
    /// # Errors
    /// When the document is refused.
    pub fn armed_node(&self, name: &str, mac: &str, ip: &str, document: &str) -> Result<()> {
        self.group(document)?;
        self.cli(["node", "add", name, "--group", "nodes", "--mac", mac, "--ip", ip])?;
        self.cli(["boot", "install", name]).map(drop)
    }

    /// Defines the group `nodes` from its document.
    ///
    /// # Errors
    /// When the head node refuses.
    pub fn group(&self, document: &str) -> Result<()> {
        self.document("add", document)
    }

    /// Gives the group `nodes` another document.
    ///
    /// # Errors
    /// When the head node refuses.
    pub fn change_group(&self, document: &str) -> Result<()> {
        self.document("set", document)
    }

    fn document(&self, how: &str, document: &str) -> Result<()> {
        let file = self.scenario.scratch().join("group.toml");
        fs::write(&file, document).with_context(|| format!("writing {}", file.display()))?;
        self.cli(["group", how, "nodes", "--file", &file.to_string_lossy()]).map(drop)
    }

    /// A crypt(5) hash of `password`, as the group document wants it.
    ///
    /// # Errors
    /// When `headnode hash-password` fails.
    pub fn hash(&self, password: &str) -> Result<String> {
        let mut command = Command::new("sh");
        command.args(["-c", r#"echo "$1" | "$2" hash-password"#, "sh", password]);
        Ok(output(command.arg(paths::program("headnode")?))?.trim().to_owned())
    }

    /// Starts `headnode serve` and waits until it is ready; its log is `headnode-N.log` for the Nth start.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn serve(&mut self) -> Result<()> {
        self.serve_with(&[])
    }

    /// The same with further options.
    ///
    /// # Errors
    /// As [`Head::serve`].
    pub fn serve_with(&mut self, options: &[&str]) -> Result<()> {
        self.starts += 1;
        let mut command = self.scenario.net.command(paths::program("headnode")?);
        command.arg("--data-dir").arg(&self.data).arg("serve").args(options);
        let log = self.scenario.logs.join(format!("headnode-{}.log", self.starts));
        self.serving = Some(Service::start(command, &log, "headnode: serving")?);
        Ok(())
    }

    /// Kills the head node, with no chance to say good-bye. Its dnsmasq must go with it.
    ///
    /// # Errors
    /// When it was not serving.
    pub fn kill(&mut self) -> Result<()> {
        self.serving.take().context("the head node is not serving")?.kill()
    }

    /// The entry of `node` in `status --output json`.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn status(&self, node: &str) -> Result<Value> {
        let mut all: Value = serde_json::from_str(&self.cli(["status", node, "--output", "json"])?)
            .context("parsing headnode's status")?;
        ensure!(all[0]["node"] == node, "headnode's status does not know {node}: {all}");
        Ok(all[0].take())
    }

    /// Checks the state of `node`.
    ///
    /// # Errors
    /// When it is another one.
    pub fn expect_state(&self, node: &str, state: &str) -> Result<()> {
        let status = self.status(node)?;
        ensure!(status["state"] == state, "{node} should be {state}: {status}");
        Ok(())
    }

    /// All events, oldest first.
    ///
    /// # Errors
    /// When headnode's answer is not understood.
    pub fn events(&self, node: &str) -> Result<Vec<Value>> {
        let text = self.cli(["events", node, "--limit", "10000", "--output", "json"])?;
        serde_json::from_str(&text).context("parsing headnode's events")
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }
}

/// What takes long and is the same for all scenarios as long as the programs are the same.
pub struct Prepared {
    /// A data folder with keys, the packed image [`IMAGE`] and the netboot pair of the same name.
    pub data: PathBuf,
    /// Our initrd.
    pub initrd: PathBuf,
    /// That with the programs for arrays, volumes and encryption, of the netboot pair [`STACKED`].
    pub stacked: PathBuf,
    /// The public keys in it.
    pub trust: PathBuf,
}

/// Makes [`Prepared`], or finds it in the cache.
///
/// # Errors
/// When a program is not built, or refuses.
pub fn prepared() -> Result<Prepared> {
    let kernel = artefacts::kernel()?;
    let root = artefacts::root()?;
    let mut recipe = format!("3 {}", root.display());
    for name in ["headnode", "imageinit", "initrd-builder"] {
        let program = fs::metadata(paths::program(name)?).with_context(|| format!("reading {name}"))?;
        recipe += &format!(" {} {:?}", program.len(), program.modified().context("reading a file's time")?);
    }
    let inside = |folder: &Path| Prepared {
        data: folder.join("head"),
        initrd: folder.join("initrd.img"),
        stacked: folder.join("stacked.img"),
        trust: folder.join("trust.json"),
    };
    let folder = cache::entry("prepared", &recipe, |folder| {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let Prepared { data, initrd, stacked, trust } = inside(folder);
        let headnode = |args: &[&str]| -> Result<String> {
            output(cmd(&paths::program("headnode")?.to_string_lossy(), ["--data-dir"]).arg(&data).args(args))
        };
        headnode(&["init"])?;
        headnode(&["trust", "--write", &trust.to_string_lossy()])?;
        artefacts::initrd(&kernel, &trust, &initrd)?;
        headnode(&["image", "import", IMAGE, &root.to_string_lossy()])?;
        artefacts::stacked_initrd(&kernel, &trust, &stacked)?;
        let kernel = kernel.image.to_string_lossy();
        for (name, initrd) in [(IMAGE, &initrd), (STACKED, &stacked)] {
            let initrd = initrd.to_string_lossy();
            headnode(&["netboot", "add", name, "--kernel", &kernel, "--initrd", &initrd])?;
        }
        Ok(())
    })?;
    Ok(inside(&folder))
}
