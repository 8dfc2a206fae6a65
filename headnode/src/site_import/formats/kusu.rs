//! Kusu: NIIs (the XML that `nodeboot.cgi` answers), or the tables `nodes`, `nics`, `nodegroups` and `networks`.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result, bail};
use nii::kusu::{NodeInfo, parse};

use super::tables::{self, Row, Tables};
use super::{File, Machine, Site, said};

/// Tables that are read; others are named as left.
const READ: [&str; 4] = ["nodes", "nics", "nodegroups", "networks"];

/// Reads all files as one site.
///
/// # Errors
/// Which file cannot be read, and why; or that there are no nodes.
pub fn read(files: &[File]) -> Result<Site> {
    let (mut site, mut tables) = (Site::default(), Tables::new());
    for file in files {
        let reading = || format!("reading {}", file.name);
        match file.text.trim_start().starts_with('<') {
            true => site.machines.push(of_nii(&parse(file.text.as_bytes()).with_context(reading)?)),
            false => tables::read(file, &mut tables).with_context(reading)?,
        }
    }
    if !tables.is_empty() {
        of_tables(&tables, &mut site)?;
    }
    Ok(site)
}

fn of_nii(info: &NodeInfo) -> Machine {
    let boot = info.nics.iter().find(|nic| nic.boot == "1").or(info.nics.first());
    let others = info.nics.iter().filter(|nic| boot.is_none_or(|boot| boot.device != nic.device));
    let mut left: Vec<String> = others.map(|nic| format!("interface {}", nic.device)).collect();
    for (what, number) in [
        ("partitions", info.partitions.len()),
        ("components", info.components.len()),
        ("packages", info.optpackages.len()),
        ("scripts", info.optscripts.len()),
        ("appglobals", info.appglobals.len()),
    ] {
        if number > 0 {
            left.push(format!("{number} {what}"));
        }
    }
    Machine {
        name: info.name.clone(),
        groups: said(&info.nodegrpid).map(|id| format!("ngid-{id}")).into_iter().collect(),
        unmanaged: info.installtype == "unmanaged",
        mac: boot.and_then(|nic| said(&nic.mac)),
        address: boot.and_then(|nic| said(&nic.ip)),
        uid: None,
        attributes: BTreeMap::new(),
        left,
    }
}

fn of_tables(tables: &Tables, site: &mut Site) -> Result<()> {
    let table = |name: &str| tables.get(name).map_or(&[][..], Vec::as_slice);
    if table("nodes").is_empty() {
        bail!("there is no table `nodes` with rows among: {}", names(tables));
    }
    let groups: HashMap<&str, &Row> = by(table("nodegroups"), "ngid");
    let networks: HashMap<&str, &Row> = by(table("networks"), "netid");
    for node in table("nodes") {
        let id = node.get("nid").context("a row of `nodes` has no `nid`")?;
        let nics = table("nics").iter().filter(|nic| nic.get("nid") == Some(id)).collect();
        let group = node.get("ngid").and_then(|id| groups.get(id.as_str()).copied());
        site.machines.push(of_rows(node, group, nics, &networks));
    }
    for (name, rows) in tables.iter().filter(|(name, _)| !READ.contains(&name.as_str())) {
        site.left.push(format!("table {name}, {} rows", rows.len()));
    }
    Ok(())
}

fn names(tables: &Tables) -> String {
    tables.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn by<'a>(rows: &'a [Row], key: &str) -> HashMap<&'a str, &'a Row> {
    rows.iter().filter_map(|row| Some((row.get(key)?.as_str(), row))).collect()
}

fn of_rows(node: &Row, group: Option<&Row>, nics: Vec<&Row>, networks: &HashMap<&str, &Row>) -> Machine {
    let value = |row: &Row, key: &str| row.get(key).and_then(|value| said(value));
    let is_boot =
        |nic: &&&Row| nic.get("boot").is_some_and(|boot| ["1", "t", "true"].contains(&boot.as_str()));
    let boot = nics.iter().find(is_boot).or(nics.first()).copied();
    let device = |nic: &Row| {
        let network = nic.get("netid").and_then(|id| networks.get(id.as_str()))?;
        network.get("device").cloned()
    };
    let others = nics.iter().filter(|nic| boot.is_none_or(|boot| !std::ptr::eq(boot, **nic)));
    let mut left: Vec<String> = others
        .map(|nic| {
            let ip = nic.get("ip").map(String::as_str).unwrap_or("no address");
            format!("interface {} ({ip})", device(nic).as_deref().unwrap_or("?"))
        })
        .collect();
    left.extend(
        ["kernel", "initrd", "kparams"]
            .into_iter()
            .filter(|key| value(node, key).is_some())
            .map(String::from),
    );
    let attributes = ["rack", "rank"].into_iter().filter_map(|key| Some((key.to_owned(), value(node, key)?)));
    let name = group.and_then(|group| value(group, "ngname"));
    let unmanaged =
        group.and_then(|group| value(group, "installtype")).is_some_and(|kind| kind == "unmanaged");
    Machine {
        name: node.get("name").cloned().unwrap_or_default(),
        groups: name.or_else(|| value(node, "ngid").map(|id| format!("ngid-{id}"))).into_iter().collect(),
        unmanaged,
        mac: boot.and_then(|nic| value(nic, "mac")),
        address: boot.and_then(|nic| value(nic, "ip")),
        uid: value(node, "uid"),
        attributes: attributes.collect(),
        left,
    }
}
