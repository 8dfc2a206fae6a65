//! The self-test: a machine boots from the network, as firmware and as iPXE, up to its boot script.
//!
//! A dnsmasq of this host does not hear what this host sends on dnsmasq's own interface, and a bridge in between would be a
//! change to the admin's network. So [`room`] makes a network of its own: a second dnsmasq with the configuration that
//! `serve` writes (other files for its leases and hosts), behind an interface of the same name and addresses, and a
//! machine at the other end of the wire. What boot scripts are is asked of the running `serve`, by TCP.
//!
//! Proved so: the configuration, the dnsmasq, the boot files and TFTP, the script's URL and its answer. Not: the real
//! wire and switches, the firewall, that the real dnsmasq has its ports (other checks look at that), and relays.

mod machine;
mod room;

use std::collections::HashSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};

use self::machine::Machine;
use super::{Examined, Finding};
use crate::addhost::pool::Pool;
use crate::addresses::Mac;
use crate::boot_files::{Loader, loaders};
use crate::dhcp::child::{self, Dnsmasq};
use crate::dhcp::client::{NOBODY, Offer};
use crate::dhcp::config::{self, BIOS_LOADER, Files, Managed};
use crate::http::UEFI_LOADER;
use crate::script;
use crate::store::inventory::Network;

/// What a machine says of itself (RFC 4578, 3004; ipxe.org/howto/dhcpd).
struct Firmware {
    name: &'static str,
    options: &'static [(u8, &'static [u8])],
    /// The file that it is to get by TFTP; none: iPXE, which gets the script's URL.
    file: Option<&'static str>,
}

const FIRMWARE: &[Firmware] = &[
    Firmware {
        name: "BIOS",
        options: &[(60, b"PXEClient:Arch:00000:UNDI:002001"), (93, &[0, 0])],
        file: Some(BIOS_LOADER),
    },
    Firmware {
        name: "UEFI",
        options: &[(60, b"PXEClient:Arch:00007:UNDI:003016"), (93, &[0, 7])],
        file: Some(UEFI_LOADER),
    },
    Firmware {
        name: "iPXE",
        options: &[
            (60, b"PXEClient:Arch:00007:UNDI:003010"),
            (77, b"iPXE"),
            (93, &[0, 7]),
            (175, &[1, 1, 1]),
        ],
        file: None,
    },
];

/// A machine on each managed network that is a wire of ours.
pub fn check(examined: &Examined) -> Result<Vec<Finding>> {
    let wired = |network: &&Network| !network.is_relayed() && network.interface != "lo";
    let mut networks: Vec<Network> = examined.managed().filter(wired).cloned().collect();
    // Of two on one wire a server gives a stranger either.
    let mut seen = HashSet::new();
    networks.retain(|network| seen.insert(network.interface.clone()));
    if networks.is_empty() {
        return Ok(vec![Finding::ok("-", "nothing to test: no network with a wire is --dhcp managed")]);
    }
    let scratch = tempfile::tempdir().context("making a temporary folder")?;
    let dnsmasq = prepare(examined, &networks, scratch.path())?;
    let booted = room::run(&networks, &dnsmasq, || {
        let boot = |(at, network)| boot(&Machine::plug_in(at)?, network, examined.http, scratch.path());
        Ok(networks.iter().enumerate().map(boot).collect::<Vec<Result<Vec<String>>>>())
    })?;
    let mut findings = Vec::new();
    for (network, booted) in networks.iter().zip(booted) {
        let about = format!("{} ({})", network.interface, network.name);
        match booted {
            Ok(said) => findings.extend(said.into_iter().map(|said| Finding::ok(&about, said))),
            Err(error) => {
                let todo =
                    "see what the other checks found; what dnsmasq said is above, if it said something";
                findings.push(Finding::problem(&about, format!("{error:#}"), todo));
            }
        }
        findings.push(fetch_script(network, examined.http));
    }
    Ok(findings)
}

/// The files of a dnsmasq that is like the real one, and has nothing of its.
fn prepare(examined: &Examined, networks: &[Network], scratch: &Path) -> Result<Dnsmasq> {
    let program = child::find(&examined.programs.dnsmasq);
    let program = program.with_context(|| format!("there is no {}", examined.programs.dnsmasq.display()))?;
    let path = |name: &str| scratch.join(name);
    let (tftp, hosts, leases, config) = (path("tftp"), path("hosts"), path("leases"), path("dnsmasq.conf"));
    fs::create_dir(&tftp).context("making a temporary folder")?;
    for Loader { name, source } in loaders(examined.programs.ipxe_dir.as_deref()) {
        if let Some(source) = source {
            fs::copy(&source, tftp.join(name)).with_context(|| format!("copying {}", source.display()))?;
        }
    }
    let reserved: Vec<String> = networks.iter().filter_map(reservation).collect();
    fs::write(&hosts, reserved.concat()).context("writing a temporary file")?;
    // Without prefixes: nobody is to be told of routers.
    let managed = networks.iter().map(|network| Managed { network: network.clone(), prefixes: Vec::new() });
    let files = Files { tftp: &tftp, hosts: &hosts, leases: &leases, user: "root" };
    let text = config::dnsmasq(&managed.collect::<Vec<_>>(), files, examined.http);
    fs::write(&config, text).context("writing a temporary file")?;
    Ok(Dnsmasq { program, config })
}

/// Where only nodes get addresses the machine is one, of this dnsmasq only.
fn reservation(network: &Network) -> Option<String> {
    let free = Pool::new(network, None).free(1, &HashSet::new());
    let address = free.first().filter(|_| network.range.is_none())?;
    Some(format!("{},{address}\n", Mac::from_bytes(NOBODY)))
}

/// As each firmware; what came of it.
fn boot(machine: &Machine, network: &Network, http: u16, scratch: &Path) -> Result<Vec<String>> {
    FIRMWARE.iter().map(|firmware| boot_as(firmware, machine, network, http, scratch)).collect()
}

fn boot_as(
    firmware: &Firmware,
    machine: &Machine,
    network: &Network,
    http: u16,
    scratch: &Path,
) -> Result<String> {
    let Firmware { name, options, file } = firmware;
    let path: Option<PathBuf> = file.map(|file| scratch.join("tftp").join(file));
    if path.as_ref().is_some_and(|path| !path.exists()) {
        return Ok(format!("{name}: not tried, there is nothing to give to it"));
    }
    let offer = machine.discover(options).with_context(|| format!("asking for an address as {name}"))?;
    let Offer { address, file: offered, next_server, .. } = offer;
    ensure!(
        network.range.is_none_or(|range| (range.first..=range.last).contains(&address)),
        "{name} is offered {address}, which is not in the range"
    );
    let (Some(file), Some(path)) = (file, path) else {
        let url = script::url(network, http);
        ensure!(offered == url, "{name} is told to boot `{offered}`, not {url}");
        return Ok(format!("{name}: offered {address} and the boot script's URL"));
    };
    ensure!(offered == *file, "{name} is told to boot `{offered}`, not {file}");
    machine.take(address, network.subnet.prefix)?;
    let bytes = machine
        .fetch(next_server, file)
        .with_context(|| format!("fetching {file} by TFTP from {next_server} as {name}"))?;
    ensure!(fs::read(&path)? == bytes, "{file} came by TFTP with other bytes than it has");
    Ok(format!("{name}: offered {address} and {file}, {} KiB by TFTP as they should be", bytes.len() >> 10))
}

/// What the running `serve` says to the machine.
fn fetch_script(network: &Network, port: u16) -> Finding {
    let about = format!("http://{}:{port}{}", network.address, script::PATH);
    let query = script::QUERY
        .replace("${netX/mac:hexhyp}", &Mac::from_bytes(NOBODY).as_str().replace(':', "-"))
        .replace("${uuid}", "")
        .replace("${platform}", "pcbios");
    let todo = "see the log of `headnode serve`";
    match get(network.address, port, &format!("{}{query}", script::PATH)) {
        Ok(Some(body)) if body.starts_with("#!ipxe\n") => {
            Finding::ok(about, "`headnode serve` answers with a script")
        }
        Ok(Some(_)) => Finding::problem(about, "what answers there is no boot script", todo),
        Ok(None) => Finding::untold(about, "`headnode serve` does not run"),
        Err(error) => Finding::untold(about, &format!("{error:#}")),
    }
}

/// The body of an answer by HTTP/1.0; `None`: nobody listens.
fn get(address: Ipv4Addr, port: u16, path: &str) -> Result<Option<String>> {
    machine::http(address, port, path)?
        .map(|answer| {
            let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| anyhow!("no HTTP is spoken"))?;
            let status = head.split(' ').nth(1).unwrap_or_default();
            ensure!(status == "200", "the answer is {status}");
            Ok(body.to_owned())
        })
        .transpose()
}
