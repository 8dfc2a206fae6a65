//! Whether a node's packets come through this machine's firewall, as far as its rules can be read: nftables (that is
//! also firewalld, ufw and `iptables` of today) by `nft`, by a walk through the rules that a packet would take. What a rule
//! asks that is not known beforehand (a sender's address, a rate) makes the answer "could not tell", never "ok".

use std::fs;
use std::io::ErrorKind;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{Examined, Finding};
use crate::store::inventory::Dhcp;

/// Jumps in jumps; the kernel allows 16.
const DEPTH: usize = 16;

/// A node's packet.
#[derive(Clone, Copy, Debug)]
struct Packet<'a> {
    interface: &'a str,
    protocol: &'a str,
    port: u16,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Passes,
    Dropped,
    /// A rule asks what is not known here.
    Unsure,
}

/// What a chain, or a rule, does with it; `None`: it goes on to the next.
type Verdict = Option<Fate>;

/// Each network's interface, with each port that its nodes need.
pub fn check(examined: &Examined) -> Result<Vec<Finding>> {
    if legacy_rules() {
        let why = "there are rules of the old iptables; look at `iptables-legacy -S`";
        return Ok(vec![Finding::untold("iptables", why)]);
    }
    let Some(ruleset) = ruleset()? else {
        let why = "there is no `nft` to ask for rules (Debian: nftables)";
        return Ok(vec![Finding::untold("nftables", why)]);
    };
    let mut findings = Vec::new();
    for network in &examined.networks {
        let mut ports = vec![("tcp", examined.http), ("tcp", examined.https)];
        if network.dhcp == Dhcp::Managed {
            ports.extend([("udp", 67), ("udp", 69)]);
        }
        let interface = network.interface.as_str();
        let fated = |fate: Fate| -> Vec<String> {
            let packet = |&(protocol, port): &(&'static str, u16)| Packet { interface, protocol, port };
            let mine = ports.iter().filter(|port| ruleset.fate(packet(port)) == fate);
            mine.map(|(protocol, port)| format!("{protocol} {port}")).collect()
        };
        let (dropped, unsure) = (fated(Fate::Dropped), fated(Fate::Unsure));
        let about = format!("{interface} ({})", network.name);
        findings.push(if !dropped.is_empty() {
            let what = format!("the firewall drops {}", dropped.join(", "));
            let todo = format!(
                "let them in: firewall-cmd --zone=trusted --change-interface={interface}, or nft insert rule … input iifname {interface} accept"
            );
            Finding::problem(about, what, todo)
        } else if !unsure.is_empty() {
            let why = format!("whether the firewall lets {} in (`nft list ruleset`)", unsure.join(", "));
            Finding::untold(about, &why)
        } else {
            Finding::ok(about, "the firewall lets DHCP, TFTP and HTTP in, by its rules")
        });
    }
    Ok(findings)
}

/// Tables of the iptables of before nftables; the file is there only where the kernel has them.
fn legacy_rules() -> bool {
    fs::read_to_string("/proc/self/net/ip_tables_names").is_ok_and(|names| names.contains("filter"))
}

fn ruleset() -> Result<Option<Ruleset>> {
    let mut found = Err(ErrorKind::NotFound.into());
    for program in ["nft", "/usr/sbin/nft"] {
        found = Command::new(program).args(["--json", "list", "ruleset"]).output();
        if !matches!(&found, Err(error) if error.kind() == ErrorKind::NotFound) {
            break;
        }
    }
    let output = match found {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        output => output.context("running nft")?,
    };
    if !output.status.success() {
        bail!("nft: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(Some(Ruleset::read(&output.stdout)?))
}

/// All rules, as libnftables-json(5) has them.
struct Ruleset(Vec<Value>);

impl Ruleset {
    fn read(json: &[u8]) -> Result<Self> {
        let mut all: Value = serde_json::from_slice(json).context("reading what nft says")?;
        let Value::Array(objects) = all["nftables"].take() else { bail!("nft lists no objects") };
        Ok(Self(objects))
    }

    fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter_map(move |object| object.get(kind))
    }

    /// Every chain that packets to this machine come through must let it pass.
    fn fate(&self, packet: Packet<'_>) -> Fate {
        let mut fate = Fate::Passes;
        for chain in self.of_kind("chain") {
            let ours = ["ip", "inet"].contains(&text(&chain["family"]))
                && ["prerouting", "input"].contains(&text(&chain["hook"]));
            if !ours {
                continue;
            }
            let policy = if chain["policy"] == "drop" { Fate::Dropped } else { Fate::Passes };
            match self.walk(chain, text(&chain["name"]), packet, 0).unwrap_or(policy) {
                Fate::Dropped => return Fate::Dropped,
                Fate::Unsure => fate = Fate::Unsure,
                Fate::Passes => {}
            }
        }
        fate
    }

    /// Through the rules of the chain `name` of the table that `of`, a chain or a rule, is in.
    fn walk(&self, of: &Value, name: &str, packet: Packet<'_>, depth: usize) -> Verdict {
        let rules = self.of_kind("rule");
        let rules = rules.filter(|rule| {
            rule["family"] == of["family"] && rule["table"] == of["table"] && rule["chain"] == name
        });
        for rule in rules {
            let applies = self.applies(rule, packet);
            if applies == Some(false) {
                continue;
            }
            let verdict = match self.verdict(rule, packet, depth) {
                Step::On => continue,
                Step::Return if applies.is_some() => return None,
                Step::Return => return Some(Fate::Unsure),
                Step::End(fate) => fate,
            };
            return Some(if applies.is_some() { verdict } else { Fate::Unsure });
        }
        None
    }

    /// Whether all that a rule asks is so; `None`: that is not known.
    fn applies(&self, rule: &Value, packet: Packet<'_>) -> Option<bool> {
        let mut known = true;
        for statement in statements(rule) {
            let answer = match statement.get("match") {
                Some(question) => self.answer(rule, question, packet),
                // Of what else can stand there, these ask nothing.
                None => harmless(statement).then_some(true),
            };
            match answer {
                Some(false) => return Some(false),
                Some(true) => {}
                None => known = false,
            }
        }
        known.then_some(true)
    }

    fn answer(&self, rule: &Value, question: &Value, packet: Packet<'_>) -> Option<bool> {
        let (left, right) = (&question["left"], &question["right"]);
        let (meta, payload) = (text(&left["meta"]["key"]), &left["payload"]);
        let (protocol, field) = (text(&payload["protocol"]), text(&payload["field"]));
        let held = match (meta, protocol, field) {
            ("iif" | "iifname", ..) => self.has_word(rule, right, packet.interface)?,
            ("l4proto", ..) | (_, "ip", "protocol") => self.has_word(rule, right, packet.protocol)?,
            ("nfproto", ..) => self.has_word(rule, right, "ipv4")?,
            (_, "tcp" | "udp", _) if protocol != packet.protocol => return Some(false),
            (_, "tcp" | "udp" | "th", "dport") => self.has_port(rule, right, packet.port)?,
            // A node's first packet belongs to nothing that is known already.
            _ if text(&left["ct"]["key"]) == "state" => self.has_word(rule, right, "new")?,
            _ => return None,
        };
        Some(held != (question["op"] == "!="))
    }

    fn has_word(&self, rule: &Value, right: &Value, word: &str) -> Option<bool> {
        self.any(rule, right, &|value| {
            let value = value.as_str()?;
            Some(match value.strip_suffix('*') {
                Some(start) => word.starts_with(start),
                None => value == word,
            })
        })
    }

    fn has_port(&self, rule: &Value, right: &Value, port: u16) -> Option<bool> {
        let port = u64::from(port);
        self.any(rule, right, &|value| match &value["range"] {
            Value::Array(ends) => Some((ends.first()?.as_u64()?..=ends.get(1)?.as_u64()?).contains(&port)),
            _ => Some(value.as_u64()? == port),
        })
    }

    /// Whether one of the values on the right side, which may be a set's name, is it.
    fn any(&self, rule: &Value, right: &Value, is: &dyn Fn(&Value) -> Option<bool>) -> Option<bool> {
        let values = match right {
            Value::String(name) if name.starts_with('@') => {
                let mut sets = self.of_kind("set");
                let set = sets.find(|set| {
                    set["family"] == rule["family"]
                        && set["table"] == rule["table"]
                        && set["name"] == name[1..]
                })?;
                set["elem"].as_array().cloned().unwrap_or_default()
            }
            Value::Array(values) => values.clone(),
            Value::Object(object) if object.contains_key("set") => {
                object["set"].as_array().cloned().unwrap_or_else(|| vec![object["set"].clone()])
            }
            value => vec![value.clone()],
        };
        let answers: Option<Vec<bool>> = values.iter().map(is).collect();
        Some(answers?.contains(&true))
    }

    fn verdict(&self, rule: &Value, packet: Packet<'_>, depth: usize) -> Step {
        for statement in statements(rule) {
            for kind in ["accept", "drop", "reject", "return", "jump", "goto"] {
                let Some(target) = statement.get(kind).map(|jump| text(&jump["target"])) else { continue };
                let into = || match depth {
                    DEPTH.. => Some(Fate::Unsure),
                    _ => self.walk(rule, target, packet, depth + 1),
                };
                return match kind {
                    "accept" => Step::End(Fate::Passes),
                    "drop" | "reject" => Step::End(Fate::Dropped),
                    "return" => Step::Return,
                    "jump" => into().map_or(Step::On, Step::End),
                    _ => into().map_or(Step::Return, Step::End),
                };
            }
        }
        Step::On
    }
}

/// What a rule that applies does.
enum Step {
    /// The next rule's turn.
    On,
    /// Back to where the chain was called from, or to its policy.
    Return,
    End(Fate),
}

fn statements(rule: &Value) -> &[Value] {
    rule["expr"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn harmless(statement: &Value) -> bool {
    let kinds = ["accept", "drop", "reject", "return", "jump", "goto", "counter", "log", "mangle", "notrack"];
    kinds.iter().any(|kind| statement.get(kind).is_some())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As nft 1.0.6 printed the rules in its head.
    const RULES: &str = include_str!("testdata/ruleset.json");

    fn fate(interface: &str, protocol: &str, port: u16) -> Fate {
        Ruleset::read(RULES.as_bytes()).unwrap().fate(Packet { interface, protocol, port })
    }

    #[test]
    fn a_packet_goes_through_the_rules() {
        assert_eq!(fate("eth1", "udp", 69), Fate::Passes, "by a chain that is jumped to");
        assert_eq!(fate("eth1", "udp", 67), Fate::Dropped, "there, before the set's turn");
        assert_eq!(fate("eth2", "udp", 67), Fate::Passes, "by a set");
        assert_eq!(fate("eth2", "tcp", 8081), Fate::Unsure, "who sends it decides");
        assert_eq!(fate("eth2", "tcp", 85), Fate::Passes, "by a range");
        assert_eq!(fate("eth2", "tcp", 5), Fate::Dropped, "by the policy");
        assert_eq!(fate("eth3", "tcp", 5), Fate::Passes, "by a set of interfaces");
        assert_eq!(fate("virbr1", "tcp", 5), Fate::Passes, "by a pattern");
        assert_eq!(fate("lo", "udp", 9), Fate::Passes);
    }

    #[test]
    fn without_rules_all_pass() {
        let rules = br#"{"nftables": [{"metainfo": {"version": "1.0.6"}}]}"#;
        let packet = Packet { interface: "eth0", protocol: "udp", port: 67 };
        assert_eq!(Ruleset::read(rules).unwrap().fate(packet), Fate::Passes);
    }
}
