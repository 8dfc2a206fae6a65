//! The real machine.
//!
//! * [`facts`], [`disk::survey`], [`nics`]: what there is.
//! * [`modules`]: kernel modules; [`disk`]: partition tables and the journal; [`mounts`]: mounting and writing out.
//! * [`stack`]: arrays, encrypted devices, volumes.
//! * [`root`]: files of the new root; [`shadow`]: its passwords; [`processes`]: its programs and those of the initrd.
//! * [`clock`]: the system's clock; [`power`]: its end.
//! * [`salvage`]: what is worth keeping of the systems that were there before.
//! * [`tpm`]: the machine's TPM; [`cores`]: what a crash must not leave behind.
//! * [`walk`]: paths inside a root, on old kernels; [`patience`]: waiting for the kernel.
//! * [`source`], [`unpack`]: images over HTTP; [`kexec`]: the next kernel.
//!
//! One more act is one more arm in [`Linux::act`], and a function in the module of its subject.

pub mod clock;
pub mod cores;
pub mod disk;
pub mod facts;
pub mod kexec;
pub mod modules;
pub mod mounts;
pub mod nics;
pub mod patience;
pub mod power;
pub mod processes;
pub mod root;
pub mod salvage;
pub mod shadow;
pub mod source;
pub mod stack;
pub mod tpm;
pub mod unpack;
pub mod walk;

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use image::sign::PublicKey;
use nii::digest::Digest;
use nii::manifest::Manifest;
use nii::secret::Secret;
use nii::trust::Trust;
use nii::v1::Format;
use plan::op::{BlockDevice, Content, Guard, NEW_ROOT};
use plan::{Act, Facts, Op, Target};
use uuid::Uuid;

use self::disk::{claim, device, erase, record, release, swap, table};
use self::modules::Modules;
use self::mounts::Mount;
use self::root::{Owner, Root};
use self::source::Sources;
use self::tpm::Chip;
use crate::machine::{Applied, ApplyError, FetchError, Machine, Request, Salvage, Watch};
use crate::net::http::{Exchange, Http};
use crate::net::resolver;
use crate::net::setup::{Network, Wanted};

/// More than the longest RSA key takes.
const PUBLIC_KEY_MAX: u64 = 16 << 10;

const SYS: &str = "/sys";
const PROC: &str = "/proc";
/// Where passwords are, below the new root.
const SHADOW: &str = "etc/shadow";

/// The machine that this program runs on.
pub struct Linux {
    http: Http,
    keys: Vec<PublicKey>,
    network: Network,
    modules: Option<Modules>,
    root: PathBuf,
}

impl Linux {
    /// The machine; images must be signed by one of the keys of `trust`.
    ///
    /// # Errors
    /// When an image key of `trust` is no key.
    pub fn new(http: Http, trust: &Trust) -> anyhow::Result<Self> {
        let keys = trust
            .image_keys
            .iter()
            .map(|key| key.parse().context("reading the image keys of the trust file"));
        let keys = keys.collect::<anyhow::Result<_>>()?;
        Ok(Self { http, keys, network: Network::default(), modules: None, root: NEW_ROOT.into() })
    }

    /// The same, with its new root elsewhere.
    #[must_use]
    pub fn with_root(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = root.into();
        self
    }

    fn act(&mut self, act: &Act, watch: &mut dyn Watch) -> anyhow::Result<()> {
        match act {
            Act::Coldplug => self.modules()?.coldplug(Path::new(SYS), watch),
            Act::LoadModule { name, options } => self.modules()?.load(name, options, watch),
            Act::FirstNetwork { boot_mac } => self.network.first(boot_mac.as_deref(), watch),
            Act::ConfigureNic { name, mtu, addresses, routes, dhcp } => {
                let wanted = Wanted { name, mtu: *mtu, addresses, routes, dhcp: *dhcp };
                self.network.configure(&wanted, watch)
            }
            Act::SetResolver { servers, search } => resolver::set(Path::new(resolver::PATH), servers, search),
            Act::Release { holder } => release::release(Path::new(SYS), &self.root, holder),
            Act::CheckDisks { disks } => claim::check(Path::new(SYS), disks),
            Act::WriteTable { disk, table, keep } => {
                table::write(Path::new(SYS), Path::new(disk), table, keep)
            }
            Act::Erase { disk, how, keep } => erase::erase(Path::new(disk), *how, keep, watch),
            Act::WriteJournal { partition, record } => record::write(partition, record),
            Act::SetPartitionType { partition, kind } => table::set_kind(partition, *kind),
            Act::Stack(act) => {
                self.load(stack::modules(act), watch);
                stack::make(Path::new(SYS), act, watch)
            }
            Act::MakeSubvolumes { device, names } => {
                let node = device::find(Path::new(SYS), device)?;
                self.prepare("btrfs", watch);
                stack::make_subvolumes(&node, names, &self.root)
            }
            Act::Mkfs { device, uuid, label, .. } => {
                let node = device::find(Path::new(SYS), device)?;
                match plan::mkfs::argv(act) {
                    Some(argv) => processes::run(&argv, watch),
                    None => swap::make(&node, *uuid, label.as_deref()),
                }
            }
            Act::Mount { device, format, path, options } => self.mount(device, *format, path, options, watch),
            Act::MountTmpfs { size, inodes } => self.mount_tmpfs(*size, *inodes),
            Act::MountKernelFs => self.mount_kernel_filesystems(watch),
            Act::Sync => mounts::sync(&self.root),
            Act::Unmount => mounts::unmount(&self.root),
            Act::Unpack { manifest, sources } => self.unpack(*manifest, sources, watch),
            Act::Run { argv } => {
                self.root()?;
                processes::run_in(&self.root, argv, watch)
            }
            Act::LoadKernel { kernel, initrd, command_line } => {
                let root = self.root()?;
                let initrd = initrd.as_ref().map(|path| root.open_file(path)).transpose()?;
                kexec::load(&root.open_file(kernel)?, initrd.as_ref(), command_line)
            }
            Act::WriteFile { path, content, mode, uid, gid } => {
                let owner = Owner { mode: *mode, uid: *uid, gid: *gid };
                self.root()?.write(path, bytes(content), owner)
            }
            Act::Mkdir { path, mode } => self.root()?.make_directory(path, *mode),
            Act::Symlink { path, target } => self.root()?.link(path, target),
            Act::Deliver { from, to, digest, mode } => self.deliver(from, to, *digest, *mode),
            Act::SetClock { time } => clock::set(*time),
            Act::CopyFile { from, to } => self.root()?.copy(from, to),
            Act::Remove { path } => self.root()?.remove(path),
            Act::SetPassword { user, hash } => self.set_password(user, hash.as_ref()),
            Act::Require { any, missing } => self.require(any, missing),
        }
    }

    fn set_password(&self, user: &str, hash: Option<&Secret>) -> anyhow::Result<()> {
        let root = self.root()?;
        let (text, owner) = root.read(SHADOW)?;
        let edited = shadow::set_password(&text, user, hash.map(Secret::expose))?;
        root.write(SHADOW, edited.as_bytes(), owner)
    }

    fn deliver(&self, from: &str, to: &str, digest: Digest, mode: u32) -> anyhow::Result<()> {
        let bytes = fs::read(from).with_context(|| format!("reading {from}"))?;
        let found = Digest::of(&bytes);
        ensure!(found == digest, "{from} has the digest {found}, and the NII says {digest}");
        self.root()?.write(to, &bytes, Owner { mode, uid: 0, gid: 0 })
    }

    fn require(&self, any: &[String], missing: &str) -> anyhow::Result<()> {
        let root = self.root()?;
        for path in any {
            if root.has(path)? {
                return Ok(());
            }
        }
        bail!("{missing}")
    }

    fn root(&self) -> anyhow::Result<Root> {
        Root::open(&self.root)
    }

    /// Why the guard does not hold, if it does not.
    fn refusal(&self, guard: &Guard) -> anyhow::Result<Option<String>> {
        if guard.is_empty() {
            return Ok(None);
        }
        let root = self.root()?;
        for path in &guard.has {
            if !root.has(path)? {
                return Ok(Some(format!("the root has no {path}")));
            }
        }
        for path in &guard.lacks {
            if root.has(path)? {
                return Ok(Some(format!("the root has {path}")));
            }
        }
        Ok(None)
    }

    fn modules(&mut self) -> anyhow::Result<&mut Modules> {
        let modules = match self.modules.take() {
            Some(modules) => modules,
            None => {
                let release = rustix::system::uname().release().to_string_lossy().into_owned();
                let command_line = fs::read_to_string("/proc/cmdline").context("reading /proc/cmdline")?;
                Modules::open(&Path::new("/lib/modules").join(release), &command_line)?
            }
        };
        Ok(self.modules.insert(modules))
    }

    fn load(&mut self, names: &[&str], watch: &mut dyn Watch) {
        if let Ok(modules) = self.modules() {
            names.iter().for_each(|name| modules.try_load(name, watch));
        }
    }

    /// Loads what a file system needs; the kernel asks userland for modules, and here nobody would answer.
    fn prepare(&mut self, format: &str, watch: &mut dyn Watch) {
        if mounts::kernel_has(format) {
            return;
        }
        if let Ok(modules) = self.modules() {
            modules.try_load(format, watch);
            if format == "vfat" {
                ["nls_cp437", "nls_iso8859_1", "nls_ascii", "nls_utf8"]
                    .iter()
                    .for_each(|nls| modules.try_load(nls, watch));
            }
        }
    }

    fn mount(
        &mut self,
        device: &BlockDevice,
        format: Format,
        path: &str,
        options: &[String],
        watch: &mut dyn Watch,
    ) -> anyhow::Result<()> {
        device::find(Path::new(SYS), device)?;
        self.prepare(format.name(), watch);
        let what = Mount { source: &device.path(), format: format.name(), options };
        let below = Path::new(path).strip_prefix("/").unwrap_or(Path::new(path));
        if below.as_os_str().is_empty() {
            return self.mount_root(&what);
        }
        let directory = self.root()?.directory_at(below)?;
        mounts::mount(&what, &directory, &self.root.join(below))
    }

    fn mount_tmpfs(&self, size: u64, inodes: u64) -> anyhow::Result<()> {
        let options = [format!("size={size}"), format!("nr_inodes={inodes}"), "mode=0755".to_owned()];
        self.mount_root(&Mount { source: "tmpfs", format: "tmpfs", options: &options })
    }

    fn mount_root(&self, what: &Mount<'_>) -> anyhow::Result<()> {
        fs::create_dir_all(&self.root).with_context(|| format!("making {}", self.root.display()))?;
        let directory =
            fs::File::open(&self.root).with_context(|| format!("opening {}", self.root.display()))?;
        mounts::mount(what, &directory.into(), &self.root)
    }

    fn mount_kernel_filesystems(&mut self, watch: &mut dyn Watch) -> anyhow::Result<()> {
        let efi = Path::new(SYS).join("firmware/efi").exists();
        if efi {
            self.prepare("efivarfs", watch);
        }
        for (format, below) in mounts::kernel_filesystems(efi && mounts::kernel_has("efivarfs")) {
            let directory = self.root()?.directory_at(&below)?;
            let what = Mount { source: format, format, options: &[] };
            mounts::mount(&what, &directory, &self.root.join(&below))?;
        }
        Ok(())
    }

    fn unpack(&self, digest: Digest, sources: &[String], watch: &mut dyn Watch) -> anyhow::Result<()> {
        let root = self.root()?.reopened()?;
        unpack::unpack(Sources::new(self.http.clone(), sources), &self.keys, digest, root.as_fd(), watch)
    }
}

/// What is to be written.
fn bytes(content: &Content) -> &[u8] {
    match content {
        Content::Text(text) => text.as_bytes(),
        Content::Secret(secret) => secret.expose().as_bytes(),
    }
}

impl Machine for Linux {
    fn facts(&mut self, watch: &mut dyn Watch) -> anyhow::Result<Facts> {
        let mut facts = facts::read(Path::new(SYS), Path::new(PROC), watch)?;
        for nic in &mut facts.nics {
            nic.lease = self.network.lease(&nic.name).cloned();
        }
        Ok(facts)
    }

    fn manifest(
        &mut self,
        digest: Digest,
        sources: &[String],
        watch: &mut dyn Watch,
    ) -> anyhow::Result<Manifest> {
        unpack::manifest(Sources::new(self.http.clone(), sources), &self.keys, digest, watch)
    }

    fn salvage(&mut self, facts: &Facts, targets: &[Target], arming: Uuid, watch: &mut dyn Watch) -> Salvage {
        let mut prepare = |format: &str| self.prepare(format, watch);
        let mut disks = facts.disks.clone();
        for disk in disks.iter_mut().filter(|disk| disk.in_use.is_empty()) {
            // An earlier worker's: it is let go before the disk is written, and in use until then.
            let mounts = plan::teardown::mounts(&facts.stacked, &disk.path);
            disk.in_use = mounts.into_iter().map(str::to_owned).collect();
        }
        salvage::host_keys(&disks, targets, arming, &mut prepare)
    }

    fn host_keys(&mut self) -> anyhow::Result<Vec<String>> {
        let root = self.root()?;
        let mut keys = Vec::new();
        for kind in ["ed25519", "ecdsa", "rsa"] {
            let path = format!("etc/ssh/ssh_host_{kind}_key.pub");
            if let Some((line, _)) = root.read_small(&path, PUBLIC_KEY_MAX)? {
                keys.push(String::from_utf8_lossy(&line).trim().to_owned());
            }
        }
        Ok(keys)
    }

    fn apply(&mut self, op: &Op, watch: &mut dyn Watch) -> Result<Applied, ApplyError> {
        let failed = |source: anyhow::Error| ApplyError { op: op.to_string(), source };
        if let Some(why) = self.refusal(&op.guard).map_err(failed)? {
            return Ok(Applied::Skipped(why));
        }
        self.act(&op.act, watch).map_err(failed)?;
        Ok(Applied::Done)
    }

    fn tpm(&mut self) -> anyhow::Result<Chip> {
        Chip::open()
    }

    fn fetch(&mut self, request: &Request) -> Result<Vec<u8>, FetchError> {
        self.http.exchange(request)
    }
}
