//! xCAT's stanza files, as `lsdef -z` prints them (xcatstanzafile(5)): a name and a colon, then indented `attr=value`.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};

use super::{Machine, Site, said};

/// Attributes that have a place here, or say nothing that is worth one.
const TAKEN: [&str; 6] = ["objtype", "groups", "ip", "mac", "usercomment", "serial"];
/// What xCAT writes of itself, not of the machine.
const VOLATILE: [&str; 6] =
    ["status", "statustime", "updatestatus", "updatestatustime", "currstate", "currchain"];

/// Reads it.
///
/// # Errors
/// At the first line that belongs to no stanza.
pub fn read(text: &str) -> Result<Site> {
    let mut site = Site::default();
    for (name, stanza) in stanzas(text)? {
        match stanza.get("objtype").map(String::as_str) {
            Some("node") => site.machines.push(machine(name, &stanza)),
            kind => site.left.push(format!("{} {name}", kind.unwrap_or("object without objtype"))),
        }
    }
    Ok(site)
}

type Stanza = BTreeMap<String, String>;

fn stanzas(text: &str) -> Result<Vec<(String, Stanza)>> {
    let mut stanzas: Vec<(String, Stanza)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        if !line.starts_with(char::is_whitespace) {
            let name = trimmed.strip_suffix(':').with_context(|| format!("line {number}: no `NAME:`"))?;
            stanzas.push((name.to_owned(), Stanza::new()));
            continue;
        }
        let (Some((_, stanza)), Some((key, value))) = (stanzas.last_mut(), trimmed.split_once('=')) else {
            bail!("line {number}: no `attr=value` of a stanza");
        };
        stanza.insert(key.trim().to_owned(), value.trim().to_owned());
    }
    Ok(stanzas)
}

fn machine(name: String, stanza: &Stanza) -> Machine {
    let value = |key: &str| stanza.get(key).and_then(|value| said(value));
    let groups: Vec<String> =
        value("groups").iter().flat_map(|groups| groups.split(',')).filter_map(said).collect();
    let mut left: Vec<String> = Vec::new();
    // `MAC!NAME|MAC!*NOIP*`: the first is the install interface's.
    let macs = value("mac").unwrap_or_default();
    let mut macs = macs.split('|').filter_map(|mac| said(mac.split('!').next()?));
    let mac = macs.next();
    left.extend(macs.map(|mac| format!("interface {mac}")));
    let kept = |key: &&String| !TAKEN.contains(&key.as_str()) && !VOLATILE.contains(&key.as_str());
    let keys: Vec<&str> = stanza.keys().filter(kept).map(String::as_str).collect();
    left.extend((!keys.is_empty()).then(|| keys.join(", ")));
    let comment = value("usercomment").map(|comment| ("comment".to_owned(), comment));
    Machine {
        name,
        unmanaged: mac.is_none(),
        groups,
        mac,
        address: value("ip"),
        uid: value("serial"),
        attributes: comment.into_iter().collect(),
        left,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANZAS: &str = "\
# <xCAT data object stanza file>

cn01:
    objtype=node
    arch=x86_64
    groups=compute,all
    ip=10.1.0.1
    mac=52:54:00:00:00:01!cn01|52:54:00:00:00:aa!*NOIP*
    status=booted
    usercomment=top = left

switch1:
    objtype=node
    groups=switch
    ip=10.1.0.250

rocky9:
    objtype=osimage
";

    #[test]
    fn stanzas_become_machines() {
        let site = read(STANZAS).unwrap();
        assert_eq!(site.left, ["osimage rocky9"]);
        let [node, switch] = &site.machines[..] else { panic!("{site:?}") };
        assert_eq!(
            (node.mac.as_deref(), node.address.as_deref()),
            (Some("52:54:00:00:00:01"), Some("10.1.0.1"))
        );
        assert_eq!(node.groups, ["compute", "all"]);
        assert_eq!(node.left, ["interface 52:54:00:00:00:aa", "arch"]);
        assert_eq!(node.attributes["comment"], "top = left");
        assert!(switch.unmanaged && !node.unmanaged);
        assert!(read("    groups=x\n").is_err() && read("cn01\n").is_err());
    }
}
