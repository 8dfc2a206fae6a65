//! Which name and which address a machine would get.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::link;
use super::names::{Format, Taken};
use super::ping::ping;
use super::pool::Pool;
use super::said::Candidate;
use crate::addresses::{Mac, Range};
use crate::document::Source;
use crate::recipe::Recipe;
use crate::state::State;
use crate::store::Store;
use crate::store::inventory::Network;
use crate::store::nodes::Node;

/// How many addresses are asked for at once, and how long the answers count: a rack that is switched on waits once.
const AHEAD: usize = 64;
const FRESH: Duration = Duration::from_secs(60);

/// How new nodes are called, and where their addresses come from.
#[derive(Clone, Debug)]
pub struct Naming {
    /// Their group.
    pub group: String,
    /// Their names.
    pub format: Format,
    /// Their addresses; `None`: any of their network.
    pub within: Option<Range>,
    /// Their rack.
    pub rack: u32,
    /// The first rank that they may have.
    pub from: u32,
}

impl Naming {
    /// What the group's document says.
    ///
    /// # Errors
    /// When there is no such group, or its names have no rack and one is asked for.
    pub async fn of(store: &Store, group: &str, rack: u32, from: u32) -> Result<Self> {
        let row = store.group(group).await?;
        let name = format!("group {group}");
        let addhost = Source { name: &name, text: &row.document }.read()?.addhost;
        let format = match &addhost.names {
            Some(names) => names.parse()?,
            None => Format::of_group(group)?,
        };
        ensure!(
            rack == 0 || format.has_rack(),
            "{format}, the names of group {group}, has no #R: --rack {rack} says nothing"
        );
        let within = addhost.addresses.map(|range| range.parse()).transpose()?;
        Ok(Self { group: group.to_owned(), format, within, rack, from })
    }
}

/// What is known of an address.
#[derive(Clone, Debug)]
struct Asked {
    when: Instant,
    user: Option<User>,
}

/// Who answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// On the link.
    Mac(Mac),
    /// Beyond a router.
    Somebody,
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => mac.fmt(f),
            Self::Somebody => f.write_str("somebody"),
        }
    }
}

/// A machine, and what it is to have in any case.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The machine.
    pub candidate: Candidate,
    /// Its name.
    pub name: Option<String>,
    /// Its address.
    pub address: Option<Ipv4Addr>,
    /// Its id in the site's own inventory.
    pub uid: Option<String>,
}

impl From<Candidate> for Wish {
    fn from(candidate: Candidate) -> Self {
        Self { candidate, name: None, address: None, uid: None }
    }
}

/// Gives names and addresses out.
pub struct Proposer {
    store: Store,
    naming: Naming,
    install: bool,
    networks: Vec<Network>,
    asked: HashMap<Ipv4Addr, Asked>,
}

impl Proposer {
    /// `install`: nodes are to be armed, so their group must say what they boot.
    pub fn new(store: Store, naming: Naming, install: bool, networks: Vec<Network>) -> Self {
        Self { store, naming, install, networks, asked: HashMap::new() }
    }

    /// A name and an address for each, all different, and nobody's now; or why there is none.
    ///
    /// # Errors
    /// When the store cannot be read, or the link not be asked.
    pub async fn propose(&mut self, wishes: &[Wish]) -> Result<Vec<Result<Node>>> {
        let (names, mut addresses) = self.store.taken().await?;
        let mut names: Taken = names.into_iter().collect();
        let mut proposed = Vec::new();
        // What is wished for is out of the others' reach before the first of them gets anything.
        let granted: Vec<Result<()>> =
            wishes.iter().map(|wish| self.grant(wish, &mut names, &mut addresses)).collect();
        for (wish, granted) in wishes.iter().zip(granted) {
            let node = match granted {
                Ok(()) => self.fulfil(wish, &mut names, &mut addresses).await?,
                Err(why) => Err(why),
            };
            proposed.push(match node {
                Ok(node) => self.check(&node).await.map(|()| node),
                Err(why) => Err(why),
            });
        }
        Ok(proposed)
    }

    fn grant(&self, wish: &Wish, names: &mut Taken, addresses: &mut HashSet<Ipv4Addr>) -> Result<()> {
        if let Some(name) = &wish.name {
            ensure!(!names.has(name), "the name {name} is taken");
            names.take(name);
        }
        if let Some(address) = wish.address {
            let network = self.network(&wish.candidate)?;
            ensure!(
                network.subnet.has_host(address) && address != network.address,
                "{address} is no other host's address in {}",
                network.subnet
            );
            ensure!(addresses.insert(address), "the address {address} is taken");
        }
        Ok(())
    }

    async fn fulfil(
        &mut self,
        wish: &Wish,
        names: &mut Taken,
        addresses: &mut HashSet<Ipv4Addr>,
    ) -> Result<Result<Node>> {
        let Naming { format, rack, from, .. } = &self.naming;
        let name = match &wish.name {
            Some(name) => Ok(name.clone()),
            None => format.free(*rack, *from, names).map(|ranked| ranked.name),
        };
        let address = match wish.address {
            Some(address) => Ok(address),
            None => self.address(&wish.candidate, addresses).await?,
        };
        let (name, address) = match (name, address) {
            (Ok(name), Ok(address)) => (name, address),
            (Err(why), _) | (_, Err(why)) => return Ok(Err(why)),
        };
        names.take(&name);
        addresses.insert(address);
        Ok(Ok(Node { uid: wish.uid.clone(), ..self.node(name, &wish.candidate, Some(address)) }))
    }

    /// The node that a machine would be.
    pub fn node(&self, name: String, candidate: &Candidate, address: Option<Ipv4Addr>) -> Node {
        Node {
            id: 0,
            name,
            group: self.naming.group.clone(),
            network: candidate.network.clone(),
            mac: candidate.mac.clone(),
            address,
            uid: None,
            machine: candidate.uuid,
            overrides: String::new(),
            state: State::Unknown,
            since: 0,
            seen_at: None,
        }
    }

    /// Whether it would be a node that can be installed.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self, node: &Node) -> Result<()> {
        let recipe = Recipe::of(&self.store, node.clone()).await?;
        if self.install {
            recipe.netboot()?;
        }
        Ok(())
    }

    /// Who answers to an address, other than the machine that is to get it.
    ///
    /// # Errors
    /// When the link cannot be asked.
    pub async fn user_of(&mut self, address: Ipv4Addr, candidate: &Candidate) -> Result<Option<User>> {
        self.ask(candidate, &[address]).await?;
        let user = self.asked.get(&address).and_then(|asked| asked.user.clone());
        Ok(user.filter(|user| *user != User::Mac(candidate.mac.clone())))
    }

    /// The network that a machine is on.
    ///
    /// # Errors
    /// When it is gone.
    pub fn network(&self, candidate: &Candidate) -> Result<&Network> {
        let found = self.networks.iter().find(|network| network.name == candidate.network);
        found.with_context(|| format!("there is no network `{}`", candidate.network))
    }

    /// The lowest address that nobody has or answers to.
    async fn address(
        &mut self,
        candidate: &Candidate,
        taken: &HashSet<Ipv4Addr>,
    ) -> Result<Result<Ipv4Addr>> {
        let pool = Pool::new(self.network(candidate)?, self.naming.within);
        let own = User::Mac(candidate.mac.clone());
        self.asked.retain(|_, asked| asked.when.elapsed() < FRESH);
        loop {
            let in_use =
                self.asked.iter().filter(|(_, asked)| asked.user.as_ref().is_some_and(|user| *user != own));
            let used: HashSet<Ipv4Addr> =
                taken.iter().chain(in_use.map(|(address, _)| address)).copied().collect();
            let free = pool.free(AHEAD, &used);
            let Some(first) = free.first() else {
                let pool = pool.describe();
                return Ok(Err(anyhow!(
                    "all addresses of {} are taken ({pool}): give group {} more (addhost.addresses in its document)",
                    candidate.network,
                    self.naming.group
                )));
            };
            if self.asked.contains_key(first) {
                return Ok(Ok(*first));
            }
            self.ask(candidate, &free).await?;
        }
    }

    /// Asks on the candidate's link, or over routers where that is none of ours.
    async fn ask(&mut self, candidate: &Candidate, addresses: &[Ipv4Addr]) -> Result<()> {
        let users: HashMap<Ipv4Addr, User> = if candidate.relayed {
            let answered = ping(addresses).await?;
            answered.into_iter().map(|address| (address, User::Somebody)).collect()
        } else {
            let answered = link::who_has(&self.network(candidate)?.interface, addresses).await?;
            answered.into_iter().map(|(address, mac)| (address, User::Mac(mac))).collect()
        };
        let when = Instant::now();
        let asked = |address: &Ipv4Addr| (*address, Asked { when, user: users.get(address).cloned() });
        self.asked.extend(addresses.iter().map(asked));
        Ok(())
    }
}
