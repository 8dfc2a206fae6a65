//! The machine: interfaces, ports, disk space, clock.

use std::collections::HashMap;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use rustix::fs::statvfs;
use serde::Deserialize;

use super::sockets::{self, Holder};
use super::{Examined, Finding};
use crate::clock;
use crate::keys;
use crate::store::inventory::Network;

/// Below this the store and the log of an install may find no room.
const DISK_MIN: u64 = 64 << 20;
/// An image needs this much and more.
const DISK_LOW: u64 = 2 << 30;
/// Files that can still be made.
const FILES_MIN: u64 = 1000;
/// 2100-01-01: a clock beyond is wrong.
const YEAR_2100: u64 = 4_102_444_800;
/// Ports of DHCP and TFTP.
const DHCP_PORTS: [(u16, &str); 2] = [(67, "DHCP"), (69, "TFTP")];

/// An interface as `ip -json address` shows it (ip-address(8)).
#[derive(Debug, Deserialize)]
struct Link {
    ifname: String,
    flags: Vec<String>,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Debug, Deserialize)]
struct Address {
    #[serde(default)]
    local: String,
    #[serde(default)]
    prefixlen: u8,
}

/// Whether the networks' interfaces are there, up, and have the networks' addresses.
pub fn interfaces(examined: &Examined) -> Result<Vec<Finding>> {
    ensure!(examined.stored.is_ok(), "the store is not read, which names them");
    let output = Command::new("ip").args(["-json", "-4", "address", "show"]).output();
    let output = output.context("running `ip` (Debian: iproute2)")?;
    ensure!(output.status.success(), "ip: {}", String::from_utf8_lossy(&output.stderr).trim());
    // Those that have no address are left out of `-4`'s list, or empty in it, by version.
    let all = Command::new("ip").args(["-json", "link", "show"]).output().context("running `ip`")?;
    let addresses = links(&output.stdout)?;
    let links = links(&all.stdout)?;
    if examined.networks.is_empty() {
        let todo = "headnode network add";
        return Ok(vec![Finding::problem("-", "there is no network: nothing is served", todo)]);
    }
    Ok(examined
        .networks
        .iter()
        .map(|network| interface(network, links.get(&network.interface), &addresses))
        .collect())
}

fn links(json: &[u8]) -> Result<HashMap<String, Link>> {
    let links: Vec<Link> = serde_json::from_slice(json).context("reading what `ip` says")?;
    Ok(links.into_iter().map(|link| (link.ifname.clone(), link)).collect())
}

fn interface(network: &Network, link: Option<&Link>, addresses: &HashMap<String, Link>) -> Finding {
    let Network { name, interface, subnet, address, .. } = network;
    let Some(link) = link else {
        let todo = format!("headnode network set {name} --interface IF (`ip link` lists them)");
        return Finding::problem(interface, format!("there is no such interface (network {name})"), todo);
    };
    let has = |flag: &str| link.flags.iter().any(|has| has == flag);
    if !has("UP") {
        return Finding::problem(interface, "it is down", format!("ip link set {interface} up"));
    }
    let held = addresses.get(interface).map(|link| link.addr_info.as_slice()).unwrap_or_default();
    let Some(own) = held.iter().find(|own| own.local == address.to_string()) else {
        let todo = format!(
            "ip address add {address}/{} dev {interface}, and in the system's own network configuration",
            subnet.prefix
        );
        return Finding::problem(interface, format!("it has not the address {address} of {name}"), todo);
    };
    let own = format!("{}/{}", own.local, own.prefixlen);
    if !network.is_relayed() && !own.ends_with(&format!("/{}", subnet.prefix)) {
        let todo = "one of them is wrong (headnode network set, ip address)";
        return Finding::warning(interface, format!("it has {own}, and {name} is {subnet}"), todo);
    }
    if has("NO-CARRIER") {
        return Finding::warning(interface, "it has no carrier", "plug a cable in, or switch the switch on");
    }
    Finding::ok(interface, format!("up, with {own} ({name})"))
}

/// Whether our ports are free or ours.
pub fn ports(examined: &Examined) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut addresses: Vec<_> = examined.networks.iter().map(|network| network.address).collect();
    addresses.sort();
    addresses.dedup();
    let (http, https) = (sockets::tcp(examined.http)?, sockets::tcp(examined.https)?);
    let database = examined.dir.database();
    let ours = |holder: &Holder| holder.has_open(&database);
    let runs = http.iter().chain(&https).any(ours);
    for (port, held, option) in
        [(examined.http, &http, "--http-port"), (examined.https, &https, "--https-port")]
    {
        for address in &addresses {
            let at = format!("{address}:{port}");
            let mut here =
                held.iter().filter(|holder| holder.address == *address || holder.address.is_unspecified());
            findings.push(match here.next() {
                Some(holder) if ours(holder) => Finding::ok(at, format!("served by {holder}")),
                Some(holder) => {
                    let todo = format!("end it, or take another port: headnode init {option} PORT");
                    Finding::problem(at, format!("held by {holder}"), todo)
                }
                None if runs => {
                    let todo = "restart it: it serves the networks of its start";
                    Finding::problem(at, "`headnode serve` runs, but not here", todo)
                }
                None => Finding::ok(at, "free (`headnode serve` does not run)"),
            });
        }
    }
    if examined.managed().next().is_some() {
        for (port, protocol) in DHCP_PORTS {
            findings.push(dhcp_port(examined, port, protocol, runs)?);
        }
    }
    Ok(findings)
}

fn dhcp_port(examined: &Examined, port: u16, protocol: &str, runs: bool) -> Result<Finding> {
    let config = examined.dir.run("dnsmasq.conf");
    let about = format!("{protocol}, UDP {port}");
    let held = sockets::udp(port)?;
    let (ours, others): (Vec<Holder>, Vec<Holder>) =
        held.into_iter().partition(|holder| holder.was_told(&config));
    Ok(match (others.first(), ours.first()) {
        (Some(holder), _) if holder.name == "dnsmasq" => Finding::warning(
            about,
            format!("held by another dnsmasq, {holder}"),
            "it must be bound to other interfaces (bind-interfaces, except-interface) for both to work",
        ),
        (Some(holder), _) => Finding::problem(
            about,
            format!("held by {holder}"),
            "end it; if it is the site's DHCP server and stays: headnode network set NAME --dhcp external",
        ),
        (None, Some(holder)) => Finding::ok(about, format!("served by {holder}")),
        (None, None) if runs => {
            Finding::problem(about, "`headnode serve` runs without its dnsmasq", "its log says why")
        }
        (None, None) => Finding::ok(about, "free (`headnode serve` does not run)"),
    })
}

/// Room in the data folder.
pub fn disk(examined: &Examined) -> Result<Vec<Finding>> {
    let folder = examined.dir.run("..");
    let about = folder.canonicalize().unwrap_or(folder).display().to_string();
    let room = statvfs(about.as_str()).context("asking for the data folder's room")?;
    let (free, all) = (room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize);
    let said = format!("{} MiB free of {} MiB", free >> 20, all >> 20);
    let todo = "make room, or move the data folder (--data-dir)";
    // Some file systems count no files.
    let files = room.f_files == 0 || room.f_favail >= FILES_MIN;
    Ok(vec![match free {
        ..DISK_MIN => Finding::problem(about, said, todo),
        _ if !files => Finding::problem(about, format!("room for {} files more", room.f_favail), todo),
        DISK_MIN..DISK_LOW => Finding::warning(about, said, todo),
        _ => Finding::ok(about, said),
    }])
}

/// Whether the clock can be right: nodes take the time from it, and certificates count by it.
pub fn clock(examined: &Examined) -> Result<Vec<Finding>> {
    let now = clock::now_s();
    let said = clock::text(clock::now_ms());
    let todo = "set it, and let a time service (chrony, systemd-timesyncd) keep it";
    let floor = keys::read_trust(&examined.dir)?.time_floor;
    if now < floor {
        let what = format!("{said}, which is before the keys were made: nodes refuse this time");
        return Ok(vec![Finding::problem("clock", what, todo)]);
    }
    if now > YEAR_2100 {
        return Ok(vec![Finding::problem("clock", format!("{said} cannot be"), todo)]);
    }
    Ok(vec![match is_synchronised() {
        Some(true) => Finding::ok("clock", format!("{said}, synchronised")),
        Some(false) => {
            let what = format!("{said}; the kernel knows of no time service that keeps it");
            Finding::warning("clock", what, todo)
        }
        None => Finding::untold("clock", "the kernel does not say whether it is synchronised"),
    }])
}

/// As adjtimex(2) says it; asking needs no rights.
fn is_synchronised() -> Option<bool> {
    // SAFETY: timex is numbers only, and zero is a value of each.
    let mut time: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a timex of ours; with `modes` 0 nothing is set.
    let state = unsafe { libc::adjtimex(&raw mut time) };
    (state >= 0).then_some(time.status & libc::STA_UNSYNC == 0)
}
