//! What must be so whatever headnode's parsers are given. headnode's tests have this module, too, and do the same with the
//! seeds.

use std::collections::BTreeSet;

use crate::addhost::file::{self, Machine};
use crate::addresses::Mac;
use crate::dhcp::packet::{self, Packet, SERVER_PORT};
use crate::document::{self, Source};
use crate::names::is_name;
use crate::os::{repomd, treeinfo};
use crate::ranges::{self, Selection, Term};
use crate::site_import::formats::{self, Format};
use crate::store_file;

/// Bytes from a packet socket, and the same as the payload of a packet.
pub fn dhcp_packet(bytes: &[u8]) {
    if let Some(payload) = packet::to_server(bytes) {
        assert!(payload.len() + 28 <= bytes.len());
        request(payload);
    }
    if let Some(ip) = wrapped(bytes) {
        assert_eq!(packet::to_server(&ip), Some(bytes), "what is sent is heard");
    }
    request(bytes);
}

fn request(payload: &[u8]) {
    let Ok(packet) = packet::read(payload) else { return };
    let Packet { mac, relay, requested, server, uuid, vendor_class, user_class, host_name, .. } = &packet;
    assert_eq!(mac.as_str().parse::<Mac>().ok().as_ref(), Some(mac));
    assert!(mac.as_str().as_bytes()[1].is_ascii_hexdigit() && mac.as_str() != "00:00:00:00:00:00");
    for address in [relay, requested, server].into_iter().flatten() {
        assert!(!address.is_unspecified());
    }
    for text in [vendor_class, user_class, host_name].into_iter().flatten() {
        assert!(!text.is_empty() && !text.ends_with('\0'));
    }
    assert!(uuid.is_none_or(|id| !id.is_nil() && !id.is_max()));
}

/// A UDP datagram to a DHCP server, if one may be so long.
fn wrapped(payload: &[u8]) -> Option<Vec<u8>> {
    let udp = u16::try_from(payload.len() + 8).ok()?;
    let total = udp.checked_add(20)?.to_be_bytes();
    let mut ip = vec![0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255];
    for number in [68, SERVER_PORT, udp, 0] {
        ip.extend(number.to_be_bytes());
    }
    ip.extend(payload);
    Some(ip)
}

/// Words of a command line: lines here.
pub fn node_range(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let selection = match Selection::read(text.lines()) {
        Ok(selection) => selection,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    for term in selection.with.iter().chain(&selection.without) {
        let Term::Names(names) = term else { continue };
        let names: BTreeSet<&str> = names.iter().map(String::as_str).filter(|name| is_name(name)).collect();
        let folded = ranges::fold(names.iter().copied());
        if !names.is_empty() {
            let again = Selection::read([folded.as_str()]).map(|selection| selection.with);
            let again: BTreeSet<String> = again
                .into_iter()
                .flatten()
                .flat_map(|term| if let Term::Names(names) = term { names } else { Vec::new() })
                .collect();
            assert!(again.iter().map(String::as_str).eq(names), "{folded}");
        }
    }
}

/// A file of machines, and the same as one of hosts.
pub fn addhost_file(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(machines) = file::machines("x", &text) {
        let written: String = machines.iter().map(line).collect();
        let again = file::machines("x", &written).unwrap_or_default();
        assert!(again.iter().map(line).eq(machines.iter().map(line)), "{written:?}");
        assert!(machines.iter().flat_map(|machine| &machine.name).all(|name| is_name(name)));
    }
    if let Ok(hosts) = file::hosts("x", &text) {
        let written: String = hosts.iter().map(|(name, address)| format!("{name}:{address}\n")).collect();
        assert_eq!(file::hosts("x", &written).ok(), Some(hosts));
    }
}

fn line(machine: &Machine) -> String {
    let Machine { mac, address, name, uid, .. } = machine;
    let address = address.map_or_else(String::new, |address| address.to_string());
    format!(
        "{mac},{address},{},{}\n",
        name.as_deref().unwrap_or_default(),
        uid.as_deref().unwrap_or_default()
    )
}

/// The document of a group, as an admin or a program of the site writes it. No secret of it is shown.
pub fn group_document(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let source = Source { name: "x", text };
    if let Err(refusal) = source.read() {
        assert!(refusal.to_string().starts_with("x:"), "{refusal}");
        return;
    }
    let hidden = document::hide_secrets(text).unwrap_or_default();
    let shown = Source { name: "x", text: &hidden }.read();
    let Ok(shown) = shown else { panic!("{hidden:?} is no document any more") };
    let keys = shown.root.password_hash.iter().chain(shown.luks_keys.values());
    assert!(keys.map(nii::secret::Secret::expose).all(|secret| secret == document::HIDDEN), "{hidden:?}");
}

/// What a mirror's tree says of itself: no path leads out.
pub fn treeinfo(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for folder in ["", "BaseOS/x86_64/os"] {
        let Ok(info) = treeinfo::parse(text, folder) else { continue };
        let paths = info.variants.iter().map(|(_, path)| path).chain(info.checksums.keys());
        for path in paths.chain([&info.kernel, &info.initrd, &info.stage2]) {
            let outside = path.starts_with('/') || path.split('/').any(|part| part == "..");
            assert!(!outside && !path.contains(char::is_control), "{path:?}");
        }
        assert!(info.variants.iter().all(|(name, _)| is_name(name)));
        assert!(!info.title.contains(char::is_control));
    }
}

/// What a mirror's repository says of its metadata.
pub fn repomd(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for data in repomd::parse(text).into_iter().flatten() {
        // Whoever opens it holds it against the tree.
        drop(treeinfo::join("repository", &data.href));
    }
}

/// Files of other systems: the first line is the file's name, which tells what it is.
pub fn site_files(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (name, text) = text.split_once('\n').unwrap_or(("x", &text));
    for format in [Format::Kusu, Format::Warewulf, Format::Xcat] {
        let file = formats::File { name: name.to_owned(), text: text.to_owned() };
        let Ok(site) = formats::read(format, &[file]) else { continue };
        assert!(site.machines.iter().all(|machine| machine.mac.as_deref() != Some("")));
    }
}

/// What `headnode import` reads: written again, it is the same.
pub fn store_file(bytes: &[u8]) {
    let Ok((mut tables, texts)) = store_file::read(&String::from_utf8_lossy(bytes)) else { return };
    let scripts = tables.get("scripts").map_or(0, Vec::len);
    assert!(texts.len() <= scripts, "a text has a row");
    for line in tables.values().flatten() {
        let mac = line.get("mac").map(|mac| mac.as_str().and_then(|mac| mac.parse::<Mac>().ok()));
        assert!(mac.is_none_or(|mac| mac.is_some()), "{line:?}");
    }
    tables.values_mut().flatten().for_each(|line| line.retain(|_, value| !value.is_f64()));
    let Ok(written) = store_file::write(tables.clone()) else { return };
    let again = store_file::read(&written).map(|(tables, _)| tables);
    assert_eq!(again.ok(), Some(tables), "{written}");
}

#[cfg(test)]
#[path = "corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn replay(target: &str, check: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
        let seeds = fs::read_dir(&folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
        assert!(seeds.inspect(|seed| check(seed)).count() >= 3, "{}", folder.display());
        corpus::inputs(target).iter().for_each(|input| check(input));
    }

    #[test]
    fn seeds_are_read_or_refused() {
        replay("dhcp_packet", dhcp_packet);
        replay("node_range", node_range);
        replay("addhost_file", addhost_file);
        replay("group_document", group_document);
        replay("treeinfo", treeinfo);
        replay("repomd", repomd);
        replay("site_files", site_files);
        replay("store_file", store_file);
    }
}
