//! An old Kusu head node in the place of camphor's: which one, its NII, and the states that it is told.
//!
//! Nothing of it is signed, so it is asked only if the trust file allows its host ([`Source::check`]). There are no
//! sessions and no events either: [`Node`] has the ids that a camphor head node would have given.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use nii::digest::Digest;
use nii::kusu::{self, Around, Client, NodeInfo};
use nii::trust::{KusuHost, Trust};
use nii::v1::{InstallType, Phase, Script};
use nii::{Finding, Nii};
use plan::Facts;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::machine::{FetchError, Machine, Request, Watch};
use crate::net::retry::{Sleep, until_answered};

/// The CGI on a Kusu head node.
const CGI: &str = "/repos/nodeboot.cgi";

/// Where a Kusu NII may be asked for, by the kernel command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    candidates: Vec<Candidate>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    host: KusuHost,
    /// The CGI's path, from its `/`.
    path: String,
}

/// The node to its Kusu head node. Programs that share an install keep it in a file (it has no secrets).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Base URL of the head node that was chosen, as in `http://10.1.0.1`.
    pub base: String,
    /// URL of its `nodeboot.cgi`.
    pub cgi: String,
    /// Kusu's uid of this machine.
    pub uid: String,
    /// Stands for an arming: new with each boot.
    pub arming: Uuid,
    /// Stands for an attempt: new with each boot.
    pub attempt: Uuid,
}

impl Source {
    /// Reads the values of `camphor.nii=kusu+http://HOST[:PORT][/PATH]` and `niihost=IP[,IP]`; the first wins. `None` if there is
    /// neither.
    ///
    /// # Errors
    /// A value of another form.
    pub fn parse(camphor_nii: Option<&str>, niihost: Option<&str>) -> Result<Option<Self>> {
        let candidates = match (camphor_nii, niihost) {
            (Some(url), _) => vec![
                Candidate::from_url(url)
                    .with_context(|| format!("reading camphor.nii={url} of the kernel command line"))?,
            ],
            (None, Some(hosts)) => hosts
                .split(',')
                .filter(|host| !host.is_empty())
                .map(|host| Candidate::new(host, CGI))
                .collect::<Result<_>>()
                .with_context(|| format!("reading niihost={hosts} of the kernel command line"))?,
            (None, None) => return Ok(None),
        };
        ensure!(!candidates.is_empty(), "niihost= on the kernel command line names no host");
        Ok(Some(Self { candidates }))
    }

    /// The head node for this machine: of several that the initrd allows the first on a network that the node is on (`local`:
    /// address and prefix length), else the first. Makes the ids of this boot's install.
    ///
    /// # Errors
    /// The initrd allows none of them, or the machine has no MAC address.
    pub fn choose(&self, trust: &Trust, facts: &Facts, local: &[(Ipv4Addr, u8)]) -> Result<Node> {
        let allowed: Vec<&Candidate> =
            self.candidates.iter().filter(|candidate| trust.allows_kusu(&candidate.host)).collect();
        let near = allowed.iter().find(|candidate| candidate.is_on(local));
        let Some(chosen) = near.or(allowed.first()) else {
            let hosts: Vec<String> =
                self.candidates.iter().map(|candidate| candidate.host.to_string()).collect();
            bail!(
                "this initrd obeys no Kusu head node at {}, whose NII is not signed: build it with `initrd-builder … \
                 --allow-kusu {}` if you trust the network in between",
                hosts.join(", "),
                hosts.first().map(String::as_str).unwrap_or_default()
            );
        };
        let macs: BTreeSet<&str> = facts.nics.iter().map(|nic| nic.mac.as_str()).collect();
        let uid = kusu::uid(macs).context("this machine shows no network interface with a MAC address")?;
        let base = format!("http://{}", chosen.host);
        let cgi = format!("{base}{}", chosen.path);
        Ok(Node { base, cgi, uid, arming: Uuid::new_v4(), attempt: Uuid::new_v4() })
    }
}

impl Candidate {
    fn from_url(url: &str) -> Result<Self> {
        let rest = url.strip_prefix("kusu+http://").context("only kusu+http://HOST/… is known")?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        match path {
            "" => Self::new(host, CGI),
            path => Self::new(host, &format!("/{path}")),
        }
    }

    fn new(host: &str, path: &str) -> Result<Self> {
        let host = host.parse()?;
        let is_right = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
        ensure!(path.chars().all(is_right), "`{path}` is no path without parameters");
        Ok(Self { host, path: path.to_owned() })
    }

    fn is_on(&self, local: &[(Ipv4Addr, u8)]) -> bool {
        let Some(IpAddr::V4(address)) = self.host.address() else { return false };
        local.iter().any(|(own, prefix)| {
            let mask = u32::MAX.checked_shl(32 - u32::from((*prefix).min(32))).unwrap_or(0);
            (u32::from(*own) ^ u32::from(address)) & mask == 0
        })
    }
}

/// The networks that the node has leases on.
pub fn leased(facts: &Facts) -> Vec<(Ipv4Addr, u8)> {
    facts
        .nics
        .iter()
        .filter_map(|nic| nic.lease.as_ref())
        .map(|lease| (lease.address, lease.prefix))
        .collect()
}

/// The networks that the kernel reaches without a router, whoever configured them: `/proc/net/route`, whose addresses
/// are in the machine's byte order (net/ipv4/fib_trie.c, fib_route_seq_show).
///
/// # Errors
/// The file cannot be read.
pub fn connected(proc: &Path) -> Result<Vec<(Ipv4Addr, u8)>> {
    let path = proc.join("net/route");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok(text.lines().skip(1).filter_map(on_link).collect())
}

fn on_link(row: &str) -> Option<(Ipv4Addr, u8)> {
    let fields: Vec<&str> = row.split_whitespace().collect();
    let number = |index: usize| u32::from_str_radix(fields.get(index)?, 16).ok();
    let (to, via, mask) = (number(1)?, number(2)?, number(7)?);
    let prefix = u8::try_from(mask.count_ones()).ok()?;
    (via == 0 && prefix > 0).then(|| (Ipv4Addr::from(to.to_ne_bytes()), prefix))
}

/// Asks for the NII, for ever, and with that says that the install began. What the NII only names (keys, scripts) is fetched too, and scripts are
/// pinned by what the head node has now. With warnings.
///
/// # Errors
/// The head node refuses, does not know this node, or its NII is refused: another try cannot help.
pub fn fetch(
    node: &Node,
    client: Client,
    facts: &Facts,
    sleep: Sleep,
    machine: &mut dyn Machine,
    watch: &mut dyn Watch,
) -> Result<(Nii, Vec<Finding>)> {
    let answer = get(node, &kusu::nii_url(&node.cgi, client, &node.uid), sleep, machine, watch)
        .context("asking the Kusu head node for the NII")?;
    let info = kusu::parse(&answer)?;
    let mut around = Around {
        base: node.base.clone(),
        uid: Some(node.uid.clone()),
        nics: facts.nics.iter().map(|nic| (nic.name.clone(), nic.mac.clone())).collect(),
        ..Around::default()
    };
    if client == Client::Installer {
        around.scripts = scripts(node, &info, sleep, machine, watch)?;
    }
    around.authorized_keys = public_keys(node, sleep, machine, watch)?;
    Ok(info.to_nii(&around)?)
}

/// Tells the head node that the node is what the NII said. For a disked or package install it is to boot from its disk from now on.
///
/// # Errors
/// The head node refuses.
pub fn report_installed(
    node: &Node,
    kind: InstallType,
    sleep: Sleep,
    machine: &mut dyn Machine,
    watch: &mut dyn Watch,
) -> Result<()> {
    let url = kusu::installed_url(&node.cgi, kind != InstallType::Diskless, &node.uid);
    get(node, &url, sleep, machine, watch)
        .context("telling the Kusu head node that this node is installed")?;
    Ok(())
}

fn get(
    node: &Node,
    url: &str,
    sleep: Sleep,
    machine: &mut dyn Machine,
    watch: &mut dyn Watch,
) -> Result<Vec<u8>, FetchError> {
    let request = Request { url: url.to_owned(), bearer: None, body: None };
    until_answered(&format!("the Kusu head node at {}", node.base), sleep, watch, || machine.fetch(&request))
}

/// What is not there is no error: Kusu, too, warned and went on.
fn get_if_there(
    node: &Node,
    url: &str,
    sleep: Sleep,
    machine: &mut dyn Machine,
    watch: &mut dyn Watch,
) -> Result<Option<Vec<u8>>, FetchError> {
    match get(node, url, sleep, machine, watch) {
        Err(FetchError::Refused { status: 403 | 404 | 410, .. }) => Ok(None),
        answer => answer.map(Some),
    }
}

/// `/repos/custom_scripts/NAME`, which ran at the first boot.
fn scripts(
    node: &Node,
    info: &NodeInfo,
    sleep: Sleep,
    machine: &mut dyn Machine,
    watch: &mut dyn Watch,
) -> Result<Vec<Script>> {
    let mut scripts = Vec::new();
    for name in &info.optscripts {
        let url = format!("{}/repos/custom_scripts/{name}", node.base);
        match get_if_there(node, &url, sleep, machine, watch)
            .with_context(|| format!("fetching the script {name}"))?
        {
            Some(text) => scripts.push(Script {
                name: name.clone(),
                phase: Phase::FirstBoot,
                url,
                digest: Digest::of(&text),
                interpreter: None,
            }),
            None => watch
                .log(&format!("warning: the Kusu head node names the script {name}, and does not have it")),
        }
    }
    Ok(scripts)
}

/// `/public_keys`, which became root's authorized_keys. What is no key (a page of a server that answers anything) is left out.
fn public_keys(
    node: &Node,
    sleep: Sleep,
    machine: &mut dyn Machine,
    watch: &mut dyn Watch,
) -> Result<Vec<String>> {
    let url = format!("{}/public_keys", node.base);
    let text = get_if_there(node, &url, sleep, machine, watch).context("fetching root's public keys")?;
    let text = String::from_utf8_lossy(text.as_deref().unwrap_or_default()).into_owned();
    Ok(text.lines().map(str::trim).filter(|line| is_key(line)).map(str::to_owned).collect())
}

/// sshd(8), "AUTHORIZED_KEYS FILE FORMAT": options may come before the type.
fn is_key(line: &str) -> bool {
    let is_type = |word: &str| ["ssh-", "ecdsa-", "sk-"].iter().any(|start| word.starts_with(start));
    !line.starts_with('#') && line.split_whitespace().any(is_type)
}
