//! What `serve` takes from the distribution: dnsmasq, iPXE, GRUB.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::{Examined, Finding};
use crate::boot_files::{Loader, loaders, looked_in};
use crate::dhcp::child;
use crate::dhcp::config::{self, Files, Managed};
use crate::localboot;

/// The oldest dnsmasq that the configuration is written for (Debian 11, RHEL 9).
const DNSMASQ_MIN: (u32, u32) = (2, 85);

/// Whether dnsmasq is there and takes the configuration that `serve` would give it.
pub fn dnsmasq(examined: &Examined) -> Result<Vec<Finding>> {
    let managed = Managed::all(&examined.networks);
    if managed.is_empty() {
        return Ok(vec![Finding::ok("dnsmasq", "not needed: no network is --dhcp managed")]);
    }
    let wanted = &examined.programs.dnsmasq;
    let about = wanted.display().to_string();
    let Some(program) = child::find(wanted) else {
        let todo = "install it (Debian: dnsmasq-base), or give --dnsmasq";
        return Ok(vec![Finding::problem(about, "it is not there", todo)]);
    };
    let about = program.display().to_string();
    let version = version(&program)?;
    let said = format!("version {}.{}", version.0, version.1);
    if version < DNSMASQ_MIN {
        let todo = format!("install {}.{} or newer", DNSMASQ_MIN.0, DNSMASQ_MIN.1);
        return Ok(vec![Finding::problem(about, said, todo)]);
    }
    Ok(vec![match refusal(examined, &program, &managed)? {
        None => Finding::ok(about, format!("{said}, takes its configuration")),
        Some(why) => {
            let todo = "see `headnode network list`; what dnsmasq does not take is in its words";
            Finding::problem(about, format!("{said}, refuses its configuration: {why}"), todo)
        }
    }])
}

/// `Dnsmasq version 2.90  Copyright …`; distributions add to it (`2.85-14.el9`).
fn version(program: &Path) -> Result<(u32, u32)> {
    let output = Command::new(program).arg("--version").output();
    let output = output.with_context(|| format!("running {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let number = said.split_whitespace().skip_while(|word| *word != "version").nth(1).unwrap_or_default();
    let mut parts = number.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => bail!("{} --version says no version", program.display()),
    }
}

fn refusal(examined: &Examined, program: &Path, managed: &[Managed]) -> Result<Option<String>> {
    // Not that of the data folder: it is a running dnsmasq's, and the folder may be full.
    let scratch = tempfile::tempdir().context("making a temporary folder")?;
    let path = scratch.path().join("dnsmasq.conf");
    let dir = &examined.dir;
    let (tftp, hosts, leases) = (dir.run("tftp"), dir.run("hosts"), dir.run("leases"));
    let files = Files { tftp: &tftp, hosts: &hosts, leases: &leases, user: "root" };
    fs::write(&path, config::dnsmasq(managed, files, examined.http)).context("writing a temporary file")?;
    let output = Command::new(program).arg("--test").arg("-C").arg(&path).output();
    let output = output.with_context(|| format!("running {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Ok((!output.status.success()).then_some(said))
}

/// Whether iPXE is there for firmware that has none.
pub fn ipxe(examined: &Examined) -> Result<Vec<Finding>> {
    let dir = examined.programs.ipxe_dir.as_deref();
    let served = examined.dir.run("tftp");
    let finding = |Loader { name, source }: Loader| -> Result<Finding> {
        let Some(source) = source else {
            let what = format!("not in {}", looked_in(dir));
            let todo = "install iPXE (Debian: ipxe; RHEL: ipxe-bootimgs), or give --ipxe-dir";
            return Ok(Finding::problem(name, what, todo));
        };
        let bytes = fs::read(&source).with_context(|| format!("reading {}", source.display()))?;
        let about = source.display().to_string();
        Ok(match fs::read(served.join(name)) {
            Ok(copy) if copy != bytes => {
                let todo = "restart `headnode serve`: it copies the file at its start";
                Finding::warning(about, "it is another one than `headnode serve` gives out", todo)
            }
            _ => Finding::ok(about, format!("{} KiB", bytes.len() >> 10)),
        })
    };
    loaders(dir).into_iter().map(finding).collect()
}

/// Whether the helper for UEFI nodes' local disks can be made.
pub fn grub(_: &Examined) -> Result<Vec<Finding>> {
    let scratch = tempfile::tempdir().context("making a temporary folder")?;
    Ok(vec![match localboot::make(&scratch.path().join("localboot.efi")) {
        Ok(()) => Finding::ok("grub-mkimage", "makes the helper that boots UEFI nodes' disks"),
        Err(error) => {
            let what = format!("{error:#}: UEFI nodes start their disk slowly, by way of their firmware");
            let todo = "install it with its x86_64-efi modules (Debian: grub-common, grub-efi-amd64-bin)";
            Finding::warning("grub-mkimage", what, todo)
        }
    }])
}
