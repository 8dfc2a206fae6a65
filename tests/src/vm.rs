//! A machine in QEMU: firmware, disks, one network card on a [`Net`], a serial console and QMP.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::console::Console;
use crate::group::MAC;
use crate::net::Net;
use crate::qmp::Qmp;
use crate::run::Process;
use crate::tpm;

const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const OVMF_CODE_SECURE: &str = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd";
const OVMF_VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/// A controller with one namespace, whose sectors have 4096 bytes.
const NVME: &str = "nvme,logical_block_size=4096,physical_block_size=4096";

/// What a machine's firmware is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS.
    #[default]
    Bios,
    /// OVMF, without Secure Boot; the network card's ROM is iPXE.
    Uefi,
    /// OVMF with its own PXE, which loads iPXE over TFTP as a card without a ROM does. Without a DHCP server it tries
    /// for minutes before it turns to the disk.
    UefiPxe,
    /// The same with Secure Boot, by the keys in [`Spec::variables`].
    UefiSecure,
}

/// A machine to start. By default: BIOS, 768 MiB, no disk, the network first.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The firmware.
    pub firmware: Firmware,
    /// A copy of this file is what UEFI firmware has stored; by default nothing.
    pub variables: Option<PathBuf>,
    /// RAM in MiB.
    pub memory: u32,
    /// Raw disk images; they become `/dev/vda` and so on, with the serial numbers `camphor0` and so on.
    pub disks: Vec<PathBuf>,
    /// Raw disk images with sectors of 4096 bytes; they become `/dev/nvme0n1` and so on. Serial numbers go on from those
    /// of the others.
    pub nvme: Vec<PathBuf>,
    /// The network card's address.
    pub mac: String,
    /// It starts from a disk, and not from the network.
    pub disk_first: bool,
    /// Started in the place of what firmware finds.
    pub kernel: Option<Kernel>,
    /// What its real-time clock says at the start, as in `1970-01-01T00:00:00`; else the time of this host.
    pub clock: Option<&'static str>,
    /// Every frame that the network card sends or gets goes to this file, in the format of pcap.
    pub capture: Option<PathBuf>,
    /// Every write to the first disk goes to this file too, in the format of the kernel's dm-log-writes.
    pub log: Option<PathBuf>,
    /// The folder of its TPM's state: a new chip if it is not there. Without one the machine has none.
    pub tpm: Option<PathBuf>,
}

/// A kernel that QEMU starts itself.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The bzImage.
    pub image: PathBuf,
    /// Its initrd.
    pub initrd: PathBuf,
}

impl Default for Spec {
    fn default() -> Self {
        let (firmware, mac) = (Firmware::Bios, MAC.to_owned());
        Self {
            firmware,
            variables: None,
            memory: 768,
            disks: Vec::new(),
            nvme: Vec::new(),
            mac,
            disk_first: false,
            kernel: None,
            clock: None,
            capture: None,
            log: None,
            tpm: None,
        }
    }
}

/// Kernel arguments that every boot needs here. QEMU's translations of code are bound to virtual addresses: with random
/// ones every process brings its own, thousands for each page of libc, and each store to such a page, once it is
/// memory for something else, walks them all. A reboot's loader may then take minutes to copy a kernel.
pub const KERNEL_ARGUMENTS: [&str; 2] = ["console=ttyS0", "norandmaps"];

/// A running machine; killed when dropped.
pub struct Vm {
    /// Its serial console.
    pub console: Console,
    /// Its QMP connection.
    pub qmp: Qmp,
    process: Process,
    _chip: Option<Process>,
    logs: PathBuf,
    /// Sockets and the firmware's variables.
    _folder: TempDir,
}

impl Vm {
    /// Starts the machine; `console.log` and `qemu.log` go to the folder `logs`.
    ///
    /// # Errors
    /// When QEMU or its firmware is missing, or it refuses to start.
    pub fn start(net: &Net, spec: &Spec, logs: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("camphor-vm-").tempdir().context("making a folder")?;
        let serial = Socket::listen(folder.path().join("serial"))?;
        let control = Socket::listen(folder.path().join("qmp"))?;
        let complaints = logs.join("qemu.log");
        let mut command = net.command("qemu-system-x86_64");
        command.args(machine(spec)).args(firmware(spec, folder.path())?).args(disks(spec));
        if let Some(Kernel { image, initrd }) = &spec.kernel {
            command.arg("-kernel").arg(image).arg("-initrd").arg(initrd);
            // On a busy host the timer may not tick while Linux looks whether it does.
            // And what it says must not come between the words of /init.
            let arguments = format!("{} no_timer_check loglevel=3", KERNEL_ARGUMENTS.join(" "));
            command.args(["-no-reboot", "-append", &arguments]);
        }
        let tap = net.tap()?;
        command.args(["-netdev", &format!("tap,id=net0,ifname={tap},script=no,downscript=no")]);
        if let Some(file) = &spec.capture {
            let dump = json!({"qom-type": "filter-dump", "id": "capture", "netdev": "net0", "file": file});
            command.args(["-object", &dump.to_string()]);
        }
        let own_pxe = matches!(spec.firmware, Firmware::UefiPxe | Firmware::UefiSecure);
        let rom = if own_pxe { ",romfile=" } else { "" };
        // A kernel that is given has the first place itself.
        let place = if spec.kernel.is_some() || spec.disk_first { "" } else { ",bootindex=0" };
        let card = format!("virtio-net-pci,id=card,netdev=net0,mac={}{place}{rom}", spec.mac);
        command.args(["-device", &card]);
        command.args(["-chardev", &format!("socket,id=serial,path={}", serial.path.display())]);
        command.args(["-serial", "chardev:serial"]);
        command.args(["-qmp", &format!("unix:{}", control.path.display())]);
        let socket = folder.path().join("tpm");
        let chip = spec.tpm.as_ref().map(|state| tpm::start(net, state, &socket)).transpose()?;
        if chip.is_some() {
            command.args(tpm::arguments(&socket));
        }
        let stderr =
            File::create(&complaints).with_context(|| format!("creating {}", complaints.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let process = Process::start(&mut command)?;
        let said = || format!("QEMU: {}", fs::read_to_string(&complaints).unwrap_or_default().trim());
        let serial = serial.accept().with_context(said)?;
        let qmp = control.accept().and_then(Qmp::new).with_context(said)?;
        let console = Console::new(serial, &logs.join("console.log"))?;
        Ok(Self { console, qmp, process, _chip: chip, logs: logs.to_owned(), _folder: folder })
    }

    /// Cuts the power: QEMU is killed. What it had written to its disks stays.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn cut_power(mut self) -> Result<()> {
        self.process.kill()
    }

    /// Puts the disks before the network, from the next reset on: what a person does in the firmware's menu.
    ///
    /// # Errors
    /// When QEMU refuses.
    pub fn disk_first(&mut self) -> Result<()> {
        let last = json!({ "path": "/machine/peripheral/card", "property": "bootindex", "value": 99 });
        self.qmp.execute("qom-set", last).map(drop)
    }

    /// Waits until the machine resets itself.
    ///
    /// # Errors
    /// At the deadline, or when it ends instead.
    pub fn wait_reset(&mut self, within: Duration) -> Result<()> {
        self.qmp.wait_event("RESET", within).map(drop).context("waiting for the machine to reset")
    }
}

impl Drop for Vm {
    /// What a silent machine was doing: its registers, twice, go to `state.log`.
    fn drop(&mut self) {
        let registers = json!({ "command-line": "info registers" });
        let mut ask = || self.qmp.execute("human-monitor-command", registers.clone());
        let state = [ask(), ask()].map(|answer| match answer {
            Ok(text) => text.as_str().unwrap_or_default().to_owned(),
            Err(error) => format!("{error:#}\n"),
        });
        // A log that cannot be written must not hide why the scenario ended.
        let _ = fs::write(self.logs.join("state.log"), state.concat());
    }
}

/// An empty disk of `mib` MiB at `path`, sparse.
///
/// # Errors
/// When the file cannot be made.
pub fn empty_disk(path: PathBuf, mib: u64) -> Result<PathBuf> {
    let disk = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    disk.set_len(mib << 20).with_context(|| format!("sizing {}", path.display()))?;
    Ok(path)
}

/// TCG always: `/dev/kvm` may exist and not work. The CPU has what stock kernels wait for when it is missing: without
/// rdrand, the first reader of random numbers stalls for seconds.
fn machine(spec: &Spec) -> Vec<OsString> {
    let mut args: Vec<OsString> = "-nodefaults -display none -no-user-config -machine q35,graphics=off \
         -accel tcg -cpu qemu64,+rdrand,+rdseed -smp 1"
        .split_whitespace()
        .map(OsString::from)
        .collect();
    args.extend(["-m".into(), spec.memory.to_string().into()]);
    args.extend(spec.clock.iter().flat_map(|time| ["-rtc".into(), format!("base={time}").into()]));
    args
}

fn firmware(spec: &Spec, folder: &Path) -> Result<Vec<OsString>> {
    let (code, guard): (_, &[&str]) = match spec.firmware {
        Firmware::Bios => return Ok(Vec::new()),
        Firmware::Uefi | Firmware::UefiPxe => (OVMF_CODE, &[]),
        // What it has stored is written in system management mode, and nowhere else.
        Firmware::UefiSecure => (
            OVMF_CODE_SECURE,
            &["-machine", "smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on"],
        ),
    };
    let vars = folder.join("vars.fd");
    let stored = spec.variables.as_deref().unwrap_or(Path::new(OVMF_VARS));
    fs::copy(stored, &vars).with_context(|| format!("copying {}", stored.display()))?;
    let mut args: Vec<OsString> = guard.iter().map(OsString::from).collect();
    args.extend([
        "-drive".into(),
        format!("if=pflash,format=raw,readonly=on,file={code}").into(),
        "-drive".into(),
        format!("if=pflash,format=raw,file={}", vars.display()).into(),
    ]);
    Ok(args)
}

/// A flush need not reach the host's disk, since what is cut in these tests is QEMU, never the host.
fn disks(spec: &Spec) -> Vec<OsString> {
    let mut args = Vec::new();
    for (index, disk) in spec.disks.iter().chain(&spec.nvme).enumerate() {
        let log = spec.log.as_ref().filter(|_| index == 0);
        for node in blocks(index, disk, log.map(PathBuf::as_path)) {
            args.extend(["-blockdev".into(), node.to_string().into()]);
        }
        let device = match (index < spec.disks.len(), log) {
            (false, _) => NVME,
            (true, None) => "virtio-blk-pci",
            // As few zeroings as can be: see `Log::open`.
            (true, Some(_)) => "virtio-blk-pci,write-zeroes=off",
        };
        let place = format!("{device},drive=disk{index},serial=camphor{index},bootindex={}", index + 1);
        args.extend(["-device".into(), place.into()]);
    }
    args
}

/// The block nodes of a disk. Only the files at the bottom ignore flushes, so that a log between has them.
fn blocks(index: usize, disk: &Path, log: Option<&Path>) -> Vec<Value> {
    let file = |name: String, path: &Path| json!({"driver": "file", "node-name": name, "filename": path, "discard": "unmap", "cache": {"no-flush": true}});
    let (bottom, top) = (format!("file{index}"), format!("disk{index}"));
    let mut nodes = vec![file(bottom.clone(), disk)];
    let raw = |name: &str| json!({"driver": "raw", "node-name": name, "file": bottom, "discard": "unmap"});
    match log {
        None => nodes.push(raw(&top)),
        Some(log) => {
            nodes.extend([raw("logged"), file("log".to_owned(), log)]);
            nodes.push(json!({"driver": "blklogwrites", "node-name": top, "file": "logged", "log": "log",
                              "discard": "unmap"}));
        }
    }
    nodes
}

/// A Unix socket that QEMU connects to as it starts, before the machine runs: nothing it says is lost.
struct Socket {
    path: PathBuf,
    listener: UnixListener,
}

impl Socket {
    fn listen(path: PathBuf) -> Result<Self> {
        let listener =
            UnixListener::bind(&path).with_context(|| format!("listening on {}", path.display()))?;
        Ok(Self { path, listener })
    }

    fn accept(&self) -> Result<UnixStream> {
        let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
        let mut ready = [PollFd::new(&self.listener, PollFlags::IN)];
        if poll(&mut ready, Some(&limit)).context("waiting for QEMU to connect")? == 0 {
            bail!("it did not connect to {}", self.path.display());
        }
        Ok(self.listener.accept().context("accepting QEMU's connection")?.0)
    }
}
