//! addhost: machines that boot from the network become nodes. Passive: it hears what machines ask DHCP servers for, on a
//! packet socket, whoever answers them.
//!
//! * [`link`]: the packet sockets; [`ping`]: who is beyond a router.
//! * [`session`]: one run; [`ask`]: approval one by one; [`said`]: what it tells.
//! * [`propose`]: names and addresses for machines, by [`names`] and [`pool`].
//! * [`file`]: files of machines and hosts.
//!
//! What it changes in the store is in `store::enrol`, each change one transaction.

mod ask;
pub mod file;
pub mod link;
pub mod names;
mod ping;
pub mod pool;
mod propose;
mod said;
mod session;

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use self::file::Machine;
use self::link::Listener;
use self::propose::{Naming, Proposer, Wish};
use self::said::{Candidate, Said};
use self::session::{Goal, Session, network_on};
use crate::cli::{Addhost, Output};
use crate::data_dir::DataDir;
use crate::input;
use crate::plugins::{self, Report, Verb};
use crate::store::Store;
use crate::store::inventory::{Dhcp, Network};
use crate::store::nodes::Node;

/// What every part works with.
pub struct Work<'a> {
    /// The store.
    pub store: &'a Store,
    /// The data folder.
    pub dir: &'a DataDir,
    /// Who typed, for the audit log.
    pub actor: String,
    /// For people or for programs.
    pub output: Output,
    /// Whether nodes are armed at once.
    pub install: bool,
}

impl Work<'_> {
    fn say(&self, said: &Said<'_>) -> Result<()> {
        said.tell(self.output)
    }
}

/// What was done, and what plugins made of it.
#[derive(Default)]
pub struct Told {
    /// Nodes that were added or replaced.
    nodes: Vec<Node>,
    reports: Vec<Report>,
}

impl Told {
    /// Tells plugins of all changes that they were not told of. If this is killed, the next run tells them again: they hear
    /// of each change, and of the last one perhaps twice.
    async fn announce(&mut self, work: &Work<'_>) -> Result<()> {
        let announcements = work.store.announcements().await?;
        for alike in announcements.chunk_by(|a, b| a.replaced.is_some() == b.replaced.is_some()) {
            let verb = if alike[0].replaced.is_some() { Verb::Replaced } else { Verb::Added };
            let nodes: Vec<Node> = alike.iter().map(|announcement| announcement.node.clone()).collect();
            self.reports.push(plugins::run(work.dir, work.store, verb, &nodes).await?);
            for announcement in alike {
                work.store.announced(announcement.id).await?;
            }
        }
        Ok(())
    }

    /// The end: plugins do what is worth doing once.
    async fn finish(mut self, work: &Work<'_>) -> Result<()> {
        self.reports.push(plugins::run(work.dir, work.store, Verb::Finished, &self.nodes).await?);
        work.say(&Said::Finished { added: self.nodes.len() })?;
        self.reports.iter().try_for_each(Report::check)
    }
}

/// Runs it, as the command line says.
///
/// # Errors
/// What cannot be, what failed, and that a required plugin failed.
pub async fn run(work: &Work<'_>, options: &Addhost, batch: bool) -> Result<()> {
    match (&options.file, &options.interface) {
        (Some(path), _) => from_file(work, options, path).await?.finish(work).await,
        (None, Some(interface)) => listen(work, options, interface, batch).await?.finish(work).await,
        (None, None) => anyhow::bail!("say where to listen with --interface, or what to read with --file"),
    }
}

async fn listen(work: &Work<'_>, options: &Addhost, interface: &str, batch: bool) -> Result<Told> {
    let all = work.store.networks().await?;
    let network = network_on(&all, interface, options.network.as_deref())?.clone();
    let others = all.into_iter().filter(|other| other.name != network.name);
    let networks: Vec<Network> = std::iter::once(network.clone()).chain(others).collect();
    let (goal, aim) = match &options.replace {
        Some(name) => {
            let node = work.store.node(name).await?;
            let aim = format!("the next machine takes the place of {name} (now {})", node.mac);
            (Goal::Replace(Box::new(node)), aim)
        }
        None => {
            let proposer = proposer(work, options, networks.clone()).await?;
            rehearse(&proposer, &network).await?;
            let aim =
                format!("new machines become nodes of {}", options.group.as_deref().unwrap_or_default());
            (Goal::Add(Box::new(proposer), options.count.map(|count| count as usize)), aim)
        }
    };
    let listener = Listener::open(interface)?;
    work.say(&Said::Listening { interface, aim: &aim })?;
    if network.dhcp == Dhcp::External {
        let text = "the site's own DHCP server answers on this network: its reservations are its plugin's \
                    (docs/headnode.md, DHCP)";
        work.say(&Said::Note { text })?;
    }
    Session::new(work, goal, batch, options.any, networks).run(&listener).await
}

async fn proposer(work: &Work<'_>, options: &Addhost, networks: Vec<Network>) -> Result<Proposer> {
    let group = options.group.as_deref().context("say which group new nodes belong to with --group")?;
    let naming = Naming::of(work.store, group, options.rack, options.rank).await?;
    Ok(Proposer::new(work.store.clone(), naming, work.install, networks))
}

/// What is wrong with a group is said before the first machine is heard.
async fn rehearse(proposer: &Proposer, network: &Network) -> Result<()> {
    let mac = "02:00:00:00:00:01".parse()?;
    let (network_name, about) = (network.name.clone(), String::new());
    let candidate = Candidate { mac, uuid: None, network: network_name, relayed: false, boots: true, about };
    let sample = proposer.node("sample".into(), &candidate, Some(network.subnet.first_host()));
    proposer.check(&sample).await.context("trying the group with a sample node")
}

/// All nodes of a file, or none.
async fn from_file(work: &Work<'_>, options: &Addhost, path: &Path) -> Result<Told> {
    let (name, text) = read(path)?;
    let machines = file::machines(&name, &text)?;
    let networks = work.store.networks().await?;
    let mut proposer = proposer(work, options, networks.clone()).await?;
    let mut wishes = Vec::new();
    for machine in &machines {
        let network = network_for(&networks, options.network.as_deref(), machine.address);
        let network = network.with_context(|| format!("{name}:{}", machine.line))?;
        wishes.push(wish(machine, &network.name));
    }
    let (mut newcomers, mut wrong) = (Vec::new(), Vec::new());
    for (node, machine) in proposer.propose(&wishes).await?.into_iter().zip(&machines) {
        match node {
            Ok(node) => newcomers.push(node),
            Err(why) => wrong.push(format!("{name}:{}: {why:#}", machine.line)),
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    let enrolled = work.store.enrol(&newcomers, work.install, &work.actor).await;
    enrolled.with_context(|| format!("adding the nodes of {name}"))?;
    let mut told = Told::default();
    for node in &newcomers {
        work.say(&Said::added(node))?;
        told.nodes.push(work.store.node(&node.name).await?);
    }
    told.announce(work).await?;
    Ok(told)
}

fn wish(machine: &Machine, network: &str) -> Wish {
    let Machine { mac, address, name, uid, .. } = machine.clone();
    let (network, about) = (network.to_owned(), String::new());
    let candidate = Candidate { mac, uuid: None, network, relayed: false, boots: true, about };
    Wish { candidate, name, address, uid }
}

/// The network of that name, or the only one that fits.
///
/// # Errors
/// When there is none, or several.
pub fn network_for<'a>(
    networks: &'a [Network],
    name: Option<&str>,
    address: Option<Ipv4Addr>,
) -> Result<&'a Network> {
    let fits = |network: &&Network| {
        name.is_none_or(|name| network.name == name)
            && address.is_none_or(|address| network.subnet.has_host(address))
    };
    let mut fitting = networks.iter().filter(fits);
    let first = fitting.next().context("there is no network for it: see `headnode network list`")?;
    ensure!(fitting.next().is_none(), "there are several networks: say which one with --network");
    Ok(first)
}

/// The hosts of a file of `host:ip` lines.
///
/// # Errors
/// When it cannot be read; all lines that are wrong, and why.
pub fn hosts_of(path: &Path) -> Result<Vec<(String, Ipv4Addr)>> {
    let (name, text) = read(path)?;
    file::hosts(&name, &text)
}

fn read(path: &Path) -> Result<(String, String)> {
    Ok((path.display().to_string(), input::text(path)?))
}
