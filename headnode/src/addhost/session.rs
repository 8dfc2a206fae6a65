//! One run: hears machines, asks about them or not, makes them nodes, and tells plugins. What it keeps in mind is lost with
//! it; what counts is in the store, one transaction a change.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::mpsc::Receiver;
use tokio::time::MissedTickBehavior;

use super::ask::{self, Answer, Question};
use super::link::Listener;
use super::names::Taken;
use super::propose::{Proposer, Wish};
use super::said::{Candidate, Said};
use super::{Told, Work};
use crate::addresses::Mac;
use crate::clock;
use crate::dhcp::packet::{Kind, Packet};
use crate::recipe::Recipe;
use crate::serve;
use crate::site;
use crate::store::Watch;
use crate::store::enrol::Refused;
use crate::store::inventory::{Dhcp, Network};
use crate::store::nodes::Node;

/// How often the store is looked at for machines that wait for a boot script.
const LOOK: Duration = Duration::from_millis(500);
/// They ask every 10 s; who has not asked for so long is gone.
const WAITING_MS: i64 = 30_000;
/// Machines that are kept in mind: anybody can make up addresses.
const MIND_MAX: usize = 4096;
/// Machines that become nodes in one go.
const GO: usize = 64;

/// What is to come of machines.
pub enum Goal {
    /// They become nodes: so many, or all.
    Add(Box<Proposer>, Option<usize>),
    /// The next one takes this node's place.
    Replace(Box<Node>),
}

/// What was decided about a machine in this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It waits for its turn.
    Queued,
    /// Not in this run.
    Dismissed,
    /// Whatever it is, it was told.
    Told,
}

/// A run.
pub struct Session<'a> {
    work: &'a Work<'a>,
    goal: Goal,
    batch: bool,
    /// Whether machines count that do not show that they boot from the network.
    any: bool,
    /// That of the interface that is listened on, then all others: relays are on some of them.
    networks: Vec<Network>,
    queue: VecDeque<Candidate>,
    fates: HashMap<Mac, Fate>,
    /// Other DHCP servers that were heard of.
    servers: HashSet<Ipv4Addr>,
    asking: Option<Question>,
    told: Told,
}

impl<'a> Session<'a> {
    /// Not begun yet.
    pub fn new(work: &'a Work<'a>, goal: Goal, batch: bool, any: bool, networks: Vec<Network>) -> Self {
        Self {
            work,
            goal,
            batch,
            any,
            networks,
            queue: VecDeque::new(),
            fates: HashMap::new(),
            servers: HashSet::new(),
            asking: None,
            told: Told::default(),
        }
    }

    /// Runs until it is told to end, or has done what it was for; what came of it.
    ///
    /// # Errors
    /// When the interface or the store fails. What is in the store stays.
    pub async fn run(mut self, listener: &Listener) -> Result<Told> {
        let mut ended = pin!(serve::asked_to_end()?);
        let mut answers = (!self.batch).then(ask::answers);
        let mut watch = self.work.store.watch().await?;
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Of changes whose plugins an earlier run had no time to tell.
        self.told.announce(self.work).await?;
        while !self.is_done() {
            self.go_on().await?;
            if self.is_done() {
                break;
            }
            tokio::select! {
                name = &mut ended => {
                    self.note(&format!("{name}: ending"))?;
                    break;
                }
                packet = listener.next() => {
                    self.hear(packet?).await?;
                    while let Some(packet) = listener.waiting() {
                        self.hear(packet).await?;
                    }
                }
                _ = look.tick() => self.look(&mut watch).await?,
                line = next(&mut answers) => match line {
                    Some(line) if self.asking.is_some() => {
                        if self.answered(&line).await? {
                            break;
                        }
                    }
                    Some(line) if ask::is_end(&line) => break,
                    Some(_) => self.note("nobody is asked about now; q ends")?,
                    None => {
                        self.note("stdin is at its end, so nobody can be asked (--batch asks nobody): ending")?;
                        break;
                    }
                },
            }
        }
        Ok(self.told)
    }

    fn is_done(&self) -> bool {
        match &self.goal {
            Goal::Add(_, count) => count.is_some_and(|count| self.told.nodes.len() >= count),
            Goal::Replace(_) => !self.told.nodes.is_empty(),
        }
    }

    /// A machine asks for an address.
    async fn hear(&mut self, packet: Packet) -> Result<()> {
        if matches!(packet.kind, Kind::Other(_)) {
            return Ok(());
        }
        self.other_server(packet.server)?;
        let network = match packet.relay {
            None => self.networks.first(),
            Some(relay) => self.networks.iter().find(|network| network.subnet.has_host(relay)),
        };
        let Some(network) = network.map(|network| network.name.clone()) else {
            let relay = packet.relay.map(|relay| relay.to_string()).unwrap_or_default();
            return self
                .refuse(&packet.mac, &format!("its relay {relay} is in no network (headnode network add)"));
        };
        self.consider(Candidate::of_packet(packet, &network)).await
    }

    /// Where ours answers, another server's leases end in nothing that we know.
    fn other_server(&mut self, server: Option<Ipv4Addr>) -> Result<()> {
        let Some((server, network)) = server.zip(self.networks.first()) else { return Ok(()) };
        if server == network.address || network.dhcp == Dhcp::External || !self.servers.insert(server) {
            return Ok(());
        }
        let interface = network.interface.clone();
        self.note(&format!(
            "another DHCP server, {server}, gives out addresses on {interface}: end it, or let it serve alone \
             (docs/headnode.md, DHCP)"
        ))
    }

    /// Machines that got an address before this began, and ask for boot scripts since.
    async fn look(&mut self, watch: &mut Watch) -> Result<()> {
        if !watch.changed().await? {
            return Ok(());
        }
        let since = clock::now_ms() - WAITING_MS;
        for stranger in self.work.store.strangers().await? {
            let address = stranger.address.parse::<IpAddr>().ok();
            let Some(IpAddr::V4(address)) = address.filter(|_| stranger.last_seen >= since) else { continue };
            let ours = self.networks.first().filter(|network| network.subnet.has_host(address));
            if let Some(name) = ours.map(|network| network.name.clone()) {
                self.consider(Candidate::of_stranger(stranger, &name)).await?;
            }
        }
        Ok(())
    }

    async fn consider(&mut self, candidate: Candidate) -> Result<()> {
        let mac = &candidate.mac;
        let fate = self.fates.get(mac).copied();
        if matches!(fate, Some(Fate::Queued | Fate::Dismissed)) {
            return Ok(());
        }
        if let Some(node) = self.work.store.node_by_mac(mac).await? {
            if fate.is_none() {
                self.work.say(&Said::Known { mac: mac.as_str(), node: &node.name })?;
                self.decide(mac, Fate::Told);
            }
            return Ok(());
        }
        if !candidate.boots && !self.any {
            // A server or a BMC that renews its lease must not be armed.
            if fate.is_none() {
                self.work.say(&Said::Heard {
                    mac: mac.as_str(),
                    about: &candidate.about,
                    candidate: false,
                })?;
                self.decide(mac, Fate::Told);
            }
            return Ok(());
        }
        if let Some(uuid) = candidate.uuid
            && let Some(node) = self.work.store.node_by_uuid(uuid).await?
            && !matches!(&self.goal, Goal::Replace(old) if old.name == node)
        {
            return self.refuse(mac, &Refused::Machine { mac: mac.clone(), uuid, node }.to_string());
        }
        self.work.say(&Said::Heard { mac: mac.as_str(), about: &candidate.about, candidate: true })?;
        self.decide(mac, Fate::Queued);
        self.queue.push_back(candidate);
        Ok(())
    }

    fn decide(&mut self, mac: &Mac, fate: Fate) {
        if self.fates.len() >= MIND_MAX {
            self.fates.retain(|_, fate| *fate == Fate::Queued);
        }
        self.fates.insert(mac.clone(), fate);
    }

    /// Says once why.
    fn refuse(&mut self, mac: &Mac, reason: &str) -> Result<()> {
        if self.fates.get(mac) != Some(&Fate::Told) {
            self.work.say(&Said::Refused { mac: mac.as_str(), reason })?;
            self.decide(mac, Fate::Told);
        }
        Ok(())
    }

    fn note(&self, text: &str) -> Result<()> {
        self.work.say(&Said::Note { text })
    }

    /// Takes up those who wait: all, or one to ask about.
    async fn go_on(&mut self) -> Result<()> {
        while !self.queue.is_empty() && self.asking.is_none() && !self.is_done() {
            let room = match &self.goal {
                Goal::Add(_, count) if self.batch => {
                    count.map_or(GO, |count| count - self.told.nodes.len()).min(GO)
                }
                _ => 1,
            };
            let candidates: Vec<Candidate> = self.queue.drain(..room.min(self.queue.len())).collect();
            for question in self.questions(candidates).await? {
                match self.batch {
                    true => self.carry_out(question).await?,
                    false => {
                        question.put();
                        self.asking = Some(question);
                    }
                }
            }
            self.told.announce(self.work).await?;
        }
        Ok(())
    }

    /// What each would be.
    async fn questions(&mut self, candidates: Vec<Candidate>) -> Result<Vec<Question>> {
        let proposed = match &mut self.goal {
            Goal::Replace(node) => {
                let question = |candidate| Question::replace(candidate, Node::clone(node));
                return Ok(candidates.into_iter().map(question).collect());
            }
            Goal::Add(proposer, _) => {
                let wishes: Vec<Wish> = candidates.iter().cloned().map(Wish::from).collect();
                proposer.propose(&wishes).await?
            }
        };
        let mut questions = Vec::new();
        for (candidate, node) in candidates.into_iter().zip(proposed) {
            match node {
                Ok(node) => questions.push(Question::approve(candidate, node)),
                Err(why) => self.refuse(&candidate.mac, &format!("{why:#}"))?,
            }
        }
        Ok(questions)
    }

    /// The machine becomes the node, or takes its place.
    async fn carry_out(&mut self, question: Question) -> Result<()> {
        let Question { candidate, node, .. } = question;
        let Work { store, install, actor, .. } = self.work;
        let replaced = matches!(self.goal, Goal::Replace(_));
        if replaced && *install {
            // The name that jobs run under, whatever machine it is.
            let recipe = Recipe::of(store, store.node(&node.name).await?).await?;
            site::ask_before_install(&recipe).await?;
        }
        let outcome = match replaced {
            true => store.replace(&node, &candidate.mac, candidate.uuid, *install, actor).await,
            false => store.enrol(std::slice::from_ref(&node), *install, actor).await,
        };
        match outcome {
            Ok(()) => {
                let mac = candidate.mac.as_str();
                self.work.say(&match replaced {
                    true => Said::Replaced { node: &node.name, mac, before: node.mac.as_str() },
                    false => Said::added(&node),
                })?;
                self.decide(&candidate.mac, Fate::Told);
                self.told.nodes.push(store.node(&node.name).await?);
            }
            // Somebody was faster, with another command: the next one that is free.
            Err(Refused::Name(_) | Refused::Address(_)) => self.queue.push_front(candidate),
            Err(Refused::Store(error)) => return Err(error),
            Err(refused) => {
                self.decide(&candidate.mac, Fate::Dismissed);
                self.work
                    .say(&Said::Refused { mac: candidate.mac.as_str(), reason: &refused.to_string() })?;
            }
        }
        Ok(())
    }

    /// Whether the answer ends it all.
    async fn answered(&mut self, line: &str) -> Result<bool> {
        let Some(mut question) = self.asking.take() else { return Ok(false) };
        match question.answer(line) {
            Answer::Yes => {
                self.carry_out(question).await?;
                self.told.announce(self.work).await?;
            }
            Answer::No => self.decide(&question.candidate.mac, Fate::Dismissed),
            Answer::Skip => drop(self.fates.remove(&question.candidate.mac)),
            Answer::Quit => return Ok(true),
            Answer::Again(words) => self.ask_again(question, &words)?,
            answer => match self.objection(&answer, &question.candidate).await? {
                None => {
                    question.accept(answer);
                    self.ask_again(question, "")?;
                }
                Some(words) => self.ask_again(question, &words)?,
            },
        }
        Ok(false)
    }

    fn ask_again(&mut self, question: Question, words: &str) -> Result<()> {
        if !words.is_empty() {
            self.note(words)?;
        }
        question.put();
        self.asking = Some(question);
        Ok(())
    }

    /// Why a name or an address that an admin wants cannot be had.
    async fn objection(&mut self, answer: &Answer, candidate: &Candidate) -> Result<Option<String>> {
        let (names, addresses) = self.work.store.taken().await?;
        let Goal::Add(proposer, _) = &mut self.goal else { return Ok(None) };
        Ok(match answer {
            Answer::Name(name) if names.iter().collect::<Taken>().has(name) => {
                Some(format!("the name {name} is taken"))
            }
            Answer::Address(address) => {
                let network = proposer.network(candidate)?;
                if !network.subnet.has_host(*address) || *address == network.address {
                    Some(format!("{address} is no other host's address in {}", network.subnet))
                } else if addresses.contains(address) {
                    Some(format!("the address {address} is taken"))
                } else {
                    let user = proposer.user_of(*address, candidate).await?;
                    user.map(|user| format!("{user} answers to {address}"))
                }
            }
            _ => None,
        })
    }
}

/// The next line of stdin, for ever none in a batch; `None` at its end.
async fn next(answers: &mut Option<Receiver<String>>) -> Option<String> {
    match answers {
        Some(answers) => answers.recv().await,
        None => std::future::pending().await,
    }
}

/// The network on an interface.
///
/// # Errors
/// When there is none, or several and none is named.
pub fn network_on<'a>(networks: &'a [Network], interface: &str, name: Option<&str>) -> Result<&'a Network> {
    let mut on = networks
        .iter()
        .filter(|network| network.interface == interface)
        // Those behind relays are named, or what their relays say tells them apart.
        .filter(|network| name.map_or(!network.is_relayed(), |name| network.name == name));
    let first = on.next().with_context(|| match name {
        Some(name) => format!("there is no network `{name}` on {interface}: see `headnode network list`"),
        None => format!("there is no network on {interface}: see `headnode network list`"),
    })?;
    anyhow::ensure!(
        on.next().is_none(),
        "there are several networks on {interface}: say which one with --network"
    );
    Ok(first)
}
