//! Machines whose firmware starts nothing that our key has not signed, on a network where somebody else answers.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tests::artefacts;
use tests::group::{Group, NODE, UEFI_XFS};
use tests::head::{self, Head};
use tests::net::HEAD;
use tests::run::{cmd, output};
use tests::scenario::{self, Scenario};
use tests::secure_boot::Signer;
use tests::ssh::Key;
use tests::vm::{Firmware, KERNEL_ARGUMENTS, Spec, Vm, empty_disk};

use crate::{INSTALL, PREFLIGHT};

/// Where distributions have iPXE.
const IPXE: &str = "/usr/lib/ipxe";
/// The netboot of the UKI.
const SIGNED: &str = "signed";
/// What somebody else would have the kernel do.
const EVIL: &str = "rdinit=/evil";

/// Firmware refuses an iPXE that nobody signed, and a UKI with one other byte; the command line and the initrds that a boot
/// script gives beside a UKI have no effect. What is signed installs the machine.
#[test]
fn trust_secure_boot() -> Result<()> {
    scenario::run("trust_secure_boot", |scenario| {
        let site = Site::new(scenario)?;
        let mut head = site.head(scenario)?;
        head.serve_with(&["--ipxe-dir", &site.ipxe.to_string_lossy()])?;
        site.refuses_unsigned_ipxe(&head)?;
        site.obeys_no_script(&head)?;
        site.installs_what_is_signed(&head)
    })
}

/// A site with a key of its own.
struct Site<'a> {
    scenario: &'a Scenario,
    /// iPXE, signed.
    ipxe: PathBuf,
    /// Kernel, initrd and command line, signed.
    uki: PathBuf,
    /// The machine.
    spec: Spec,
}

impl<'a> Site<'a> {
    fn new(scenario: &'a Scenario) -> Result<Self> {
        let scratch = scenario.scratch();
        let signer = Signer::new(scratch, "db")?;
        let (ipxe, uki) = (scratch.join("ipxe"), scratch.join("camphor.efi"));
        fs::create_dir(&ipxe).context("making a folder for iPXE")?;
        output(cmd("cp", [format!("{IPXE}/undionly.kpxe")]).arg(&ipxe))?;
        signer.sign(&Path::new(IPXE).join("snponly.efi"), &ipxe.join("snponly.efi"))?;
        let arguments = format!(
            "camphor.head=http://{HEAD}:8080 camphor.token=ask {} loglevel=7",
            KERNEL_ARGUMENTS.join(" ")
        );
        signer.uki(&artefacts::kernel()?.image, &head::prepared()?.initrd, &arguments, &uki)?;
        let spec = Spec {
            firmware: Firmware::UefiSecure,
            variables: Some(signer.variables(scratch)?),
            disks: vec![empty_disk(scratch.join("disk"), 2000)?],
            ..Spec::default()
        };
        Ok(Self { scenario, ipxe, uki, spec })
    }

    /// A head node with the UKI, and the node armed for it. Its group does not say yet that it is one: the boot script has a
    /// command line and initrds for it, as that of somebody else may.
    fn head(&self, scenario: &'a Scenario) -> Result<Head<'a>> {
        let head = Head::new(scenario)?;
        let (uki, initrd) = (self.uki.to_string_lossy(), head::prepared()?.initrd);
        let initrd = initrd.to_string_lossy();
        head.cli(["netboot", "add", SIGNED, "--kernel", &uki, "--initrd", &initrd])?;
        Group::disked(UEFI_XFS).netboot(SIGNED, EVIL).arm(&head, &Key::new(scenario.scratch())?)?;
        Ok(head)
    }

    fn start(&self) -> Result<Vm> {
        Vm::start(&self.scenario.net, &self.spec, &self.scenario.logs)
    }

    fn refuses_unsigned_ipxe(&self, head: &Head<'_>) -> Result<()> {
        let served = head.data().join("run/tftp/snponly.efi");
        fs::copy(Path::new(IPXE).join("snponly.efi"), &served).context("serving another iPXE")?;
        let mut vm = self.start()?;
        let before = vm.console.expect("Access Denied", PREFLIGHT)?;
        ensure!(
            before.contains("NBP file downloaded successfully"),
            "it was not for the signature: {before}"
        );
        ensure!(!before.contains("iPXE initialising"), "firmware started it: {before}");
        fs::copy(self.ipxe.join("snponly.efi"), &served).map(drop).context("serving our iPXE again")
    }

    fn obeys_no_script(&self, head: &Head<'_>) -> Result<()> {
        let script = head.cli(["boot", "show", NODE, "--platform", "efi"])?;
        ensure!(script.contains(EVIL) && script.contains("\ninitrd "), "nothing to disobey: {script}");
        let mut vm = self.start()?;
        vm.console.expect("Command line: ", PREFLIGHT)?;
        let line = vm.console.expect("\n", PREFLIGHT)?;
        ensure!(line.starts_with("camphor.head=") && !line.contains("evil"), "the kernel obeys {line}");
        vm.console.expect("secureboot: Secure boot enabled", PREFLIGHT)?;
        vm.console.expect("camphor: imageinit", PREFLIGHT).map(drop)
    }

    /// First with one bit of its initrd changed, and as it was when iPXE asks again.
    fn installs_what_is_signed(&self, head: &Head<'_>) -> Result<()> {
        head.cli(["--yes", "group", "set", "nodes", "uki=true"])?;
        head.cli(["boot", "install", NODE])?;
        let served = served_uki(head)?;
        let signed = fs::read(&served).context("reading the UKI")?;
        let initrd = fs::read(head::prepared()?.initrd).context("reading the initrd")?;
        let beginning = &initrd[..initrd.len().min(4096)];
        let within = signed.windows(beginning.len()).position(|window| window == beginning);
        let mut changed = signed.clone();
        changed[within.context("the UKI has not this initrd")? + initrd.len() / 2] ^= 1;
        fs::write(&served, changed).context("serving another UKI")?;
        let mut vm = self.start()?;
        let before = vm.console.expect("that did not work; asking again", PREFLIGHT)?;
        // iPXE cannot tell why firmware does not take it.
        ensure!(before.contains("/vmlinuz... ok"), "it was not for the signature: {before}");
        ensure!(!before.contains("EFI stub"), "firmware started it: {before}");
        fs::write(&served, signed).context("serving our UKI again")?;
        vm.console.expect("secureboot: Secure boot enabled", PREFLIGHT)?;
        vm.console.expect(" partition", PREFLIGHT)?;
        vm.wait_reset(INSTALL)?;
        head.expect_state(NODE, "installed")
    }
}

/// Where the head node keeps the netboot's kernel.
fn served_uki(head: &Head<'_>) -> Result<PathBuf> {
    let list = head.cli(["netboot", "list", "--output", "json"])?;
    let list: serde_json::Value = serde_json::from_str(&list).context("reading the netboots")?;
    let signed = list.as_array().and_then(|list| list.iter().find(|netboot| netboot["name"] == SIGNED));
    let digest = signed.and_then(|netboot| netboot["kernel"].as_str()).context("there is no such netboot")?;
    Ok(head.data().join("boot").join(digest).join("vmlinuz"))
}
