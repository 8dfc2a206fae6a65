//! Warewulf 4's `nodes.conf`: YAML with `nodeprofiles` and `nodes` (its user guide, *Node Configuration*). A node has what
//! its profiles say unless it says otherwise.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::{Machine, Site, said};

/// The file. Older ones have a version, which does not matter to what is read.
#[derive(Debug, Deserialize)]
struct NodesConf {
    #[serde(default, rename = "nodeprofiles")]
    profiles: BTreeMap<String, Option<Entry>>,
    #[serde(default)]
    nodes: BTreeMap<String, Option<Entry>>,
}

/// A node or a profile.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    profiles: Vec<String>,
    #[serde(rename = "cluster name")]
    cluster: Option<String>,
    comment: Option<String>,
    #[serde(rename = "asset key", alias = "asset")]
    asset: Option<String>,
    #[serde(rename = "primary network")]
    primary: Option<String>,
    #[serde(rename = "network devices")]
    devices: BTreeMap<String, Device>,
    tags: BTreeMap<String, Value>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Device {
    hwaddr: Option<String>,
    ipaddr: Option<String>,
    primary: Option<Value>,
}

/// Reads it.
///
/// # Errors
/// When it is no such file.
pub fn read(text: &str) -> Result<Site> {
    let conf: NodesConf = serde_yaml_ng::from_str(text).context("as Warewulf's nodes.conf")?;
    let mut site = Site::default();
    for (name, profile) in &conf.profiles {
        let profile = profile.clone().unwrap_or_default();
        if let Some(rest) = rest_of(&profile) {
            site.left.push(format!("profile {name}: {rest}"));
        }
    }
    for (name, node) in conf.nodes {
        site.machines.push(machine(name, node.unwrap_or_default(), &conf.profiles));
    }
    Ok(site)
}

/// What is not carried over of an entry; a network's mask and gateway are the network's here.
fn rest_of(entry: &Entry) -> Option<String> {
    let keys: Vec<&str> = entry.rest.keys().map(String::as_str).collect();
    (!keys.is_empty()).then(|| keys.join(", "))
}

fn machine(name: String, node: Entry, profiles: &BTreeMap<String, Option<Entry>>) -> Machine {
    let left = rest_of(&node);
    // The first that says something counts; among profiles the last.
    let mut all = vec![node.clone()];
    all.extend(node.profiles.iter().rev().filter_map(|profile| profiles.get(profile)?.clone()));
    let first =
        |of: fn(&Entry) -> &Option<String>| all.iter().find_map(|entry| of(entry).as_deref().and_then(said));
    let primary = first(|entry| &entry.primary);
    let boot = boot_device(&node, primary.as_deref());
    let mut attributes: BTreeMap<String, String> = BTreeMap::new();
    for entry in &all {
        for (key, value) in &entry.tags {
            attributes.entry(key.clone()).or_insert_with(|| word(value));
        }
    }
    attributes.extend(first(|entry| &entry.cluster).map(|cluster| ("cluster".to_owned(), cluster)));
    attributes.extend(first(|entry| &entry.comment).map(|comment| ("comment".to_owned(), comment)));
    let others = node.devices.keys().filter(|device| boot.as_ref().is_none_or(|(name, _)| name != *device));
    let device = boot.as_ref().map(|(_, device)| device.clone()).unwrap_or_default();
    Machine {
        name,
        groups: node.profiles.iter().rev().cloned().collect(),
        unmanaged: false,
        mac: device.hwaddr.as_deref().and_then(said),
        address: device.ipaddr.as_deref().and_then(said),
        uid: first(|entry| &entry.asset),
        attributes,
        left: others.map(|device| format!("network device {device}")).chain(left).collect(),
    }
}

/// The primary one by name or by its own word, the one called `default`, or the only one.
fn boot_device(node: &Entry, primary: Option<&str>) -> Option<(String, Device)> {
    let by_name = |name: &str| node.devices.get(name).map(|device| (name.to_owned(), device.clone()));
    let mut devices = node.devices.iter();
    let said = devices.find(|(_, device)| device.primary.as_ref().is_some_and(|value| word(value) == "true"));
    let said = said.map(|(name, device)| (name.clone(), device.clone()));
    let first = || node.devices.iter().next().map(|(name, device)| (name.clone(), device.clone()));
    primary.and_then(by_name).or(said).or_else(|| by_name("default")).or_else(first)
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(yes) => yes.to_string(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONF: &str = "\
WW_INTERNAL: 43
nodeprofiles:
  default:
    comment: all of them
    container name: rocky
    kernel: { args: quiet }
    network devices:
      default: { device: eth0, netmask: 255.255.255.0 }
  gpu:
    tags: { accelerator: a100 }
nodes:
  n1:
    profiles: [default, gpu]
    asset key: inv-7
    network devices:
      ib0: { hwaddr: 'aa:00:00:00:00:01', ipaddr: 10.2.0.1 }
      default: { hwaddr: '52:54:00:00:00:01', ipaddr: 10.1.0.1 }
  n2:
";

    #[test]
    fn a_node_has_what_its_profiles_say() {
        let site = read(CONF).unwrap();
        assert_eq!(site.left, ["profile default: container name, kernel"]);
        let n1 = &site.machines[0];
        assert_eq!((n1.mac.as_deref(), n1.address.as_deref()), (Some("52:54:00:00:00:01"), Some("10.1.0.1")));
        assert_eq!(n1.groups, ["gpu", "default"]);
        assert_eq!(n1.uid.as_deref(), Some("inv-7"));
        assert_eq!(n1.attributes["accelerator"], "a100");
        assert_eq!(n1.attributes["comment"], "all of them");
        assert_eq!(n1.left, ["network device ib0"]);
        assert_eq!(site.machines[1].mac, None);
        assert!(read("nodes: [1, 2]").is_err());
    }
}
