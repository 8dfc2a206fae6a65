//! What addhost tells while it runs: a line for people, or a line of JSON for programs. Not the log: it is what was asked for.

use std::net::Ipv4Addr;

use anyhow::Result;
use serde::Serialize;
use uuid::Uuid;

use crate::addresses::Mac;
use crate::cli::Output;
use crate::dhcp::packet::{Packet, firmware};
use crate::log;
use crate::output;
use crate::store::nodes::{Node, Stranger};

/// A machine that is no node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its boot interface.
    pub mac: Mac,
    /// Its own id.
    pub uuid: Option<Uuid>,
    /// The name of the network that it is on.
    pub network: String,
    /// Whether a relay passed on what it said: it is on no link of ours.
    pub relayed: bool,
    /// What it said of itself, for people.
    pub about: String,
    /// Whether it showed that it boots from the network.
    pub boots: bool,
}

impl Candidate {
    /// What asked for an address.
    pub fn of_packet(packet: Packet, network: &str) -> Self {
        let firmware = packet.arch.map(firmware);
        let class = packet.vendor_class.and_then(|class| class.split(':').next().map(str::to_owned));
        let class = packet.user_class.or(class);
        let name = packet.host_name.map(|name| format!("calls itself {name}"));
        let relay = packet.relay.map(|relay| format!("by the relay {relay}"));
        let about = [firmware, class, name, packet.uuid.map(|uuid| uuid.to_string()), relay];
        Self {
            mac: packet.mac,
            uuid: packet.uuid,
            network: network.to_owned(),
            relayed: packet.relay.is_some(),
            boots: packet.boots,
            about: about.into_iter().flatten().collect::<Vec<_>>().join(", "),
        }
    }

    /// What asked for a boot script.
    pub fn of_stranger(stranger: Stranger, network: &str) -> Self {
        let uuid = stranger.uuid.map(|uuid| format!(", {uuid}")).unwrap_or_default();
        Self {
            mac: stranger.mac,
            uuid: stranger.uuid,
            network: network.to_owned(),
            relayed: false,
            boots: true,
            about: format!("waits for a boot script at {}{uuid}", stranger.address),
        }
    }
}

/// Something to tell.
#[derive(Debug, Serialize)]
#[serde(tag = "said", rename_all = "kebab-case")]
pub enum Said<'a> {
    /// Machines are heard from now on.
    Listening {
        /// The interface.
        interface: &'a str,
        /// What is meant to come of them, for people.
        aim: &'a str,
    },
    /// A machine that is no node.
    Heard {
        /// Its MAC address.
        mac: &'a str,
        /// What it said of itself.
        about: &'a str,
        /// Whether it may become a node, or is left alone: it shows no boot from the network.
        candidate: bool,
    },
    /// A machine that is a node.
    Known {
        /// Its MAC address.
        mac: &'a str,
        /// The node.
        node: &'a str,
    },
    /// A machine that does not become a node.
    Refused {
        /// Its MAC address.
        mac: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A machine is a node now. It is in the store.
    Added {
        /// The node.
        node: &'a str,
        /// Its MAC address.
        mac: &'a str,
        /// Its address.
        address: Option<Ipv4Addr>,
    },
    /// A machine has taken a node's place. It is in the store.
    Replaced {
        /// The node.
        node: &'a str,
        /// The machine's MAC address.
        mac: &'a str,
        /// That of the machine before.
        before: &'a str,
    },
    /// Something else that is worth knowing.
    Note {
        /// It.
        text: &'a str,
    },
    /// The end.
    Finished {
        /// How many nodes were added.
        added: usize,
    },
}

impl<'a> Said<'a> {
    /// A node was added.
    pub fn added(node: &'a Node) -> Self {
        Self::Added { node: &node.name, mac: node.mac.as_str(), address: node.address }
    }

    /// Tells it.
    ///
    /// # Errors
    /// When stdout is gone.
    pub fn tell(&self, output: Output) -> Result<()> {
        match output {
            Output::Table => output::text(&format!("{}\n", log::printable(&self.sentence()))),
            // One line a thing: each is a YAML document too.
            _ => output::text(&format!("{}\n", serde_json::to_string(self)?)),
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::Listening { interface, aim } => format!("listening on {interface}: {aim}; Ctrl-C ends"),
            Self::Heard { mac, about, candidate } => {
                let about = if about.is_empty() { String::new() } else { format!(" ({about})") };
                let left = if *candidate { "" } else { ": no network boot, left alone (--any takes it)" };
                format!("heard {mac}{about}{left}")
            }
            Self::Known { mac, node } => format!("heard {mac}, the node {node}"),
            Self::Refused { mac, reason } => format!("refused {mac}: {reason}"),
            Self::Added { node, mac, address: Some(address) } => format!("added {node} {mac} {address}"),
            Self::Added { node, mac, address: None } => format!("added {node} {mac}"),
            Self::Replaced { node, mac, before } => format!("replaced {node}: {mac} (before: {before})"),
            Self::Note { text } => (*text).to_owned(),
            Self::Finished { added: 1 } => "finished: 1 node added".to_owned(),
            Self::Finished { added } => format!("finished: {added} nodes added"),
        }
    }
}
