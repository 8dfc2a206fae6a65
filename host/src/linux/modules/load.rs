//! Loading kernel modules (finit_module(2)), and cold-plugging: one module for each piece of hardware that is there.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::CString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use rustix::io::Errno;

use super::Index;
use super::index::Wanted;
use crate::machine::Watch;

/// Devices behind devices (a PCI bridge, a virtio bus, a SCSI host) show up one layer a pass. More layers than this
/// no machine has.
const PASSES: usize = 32;
/// How long no device must appear for the hardware to count as all there.
const QUIET: Duration = Duration::from_millis(150);
/// What no device announces though the next steps need it: virtio disks and NICs on PCI, SCSI and CD drives' upper
/// half, and what their file systems are checked with.
const BESIDE: [&str; 4] = ["virtio_pci", "sd_mod", "nvme", "crc32c"];

/// The modules of the running kernel.
pub struct Modules {
    directory: PathBuf,
    index: Index,
    /// Options from the kernel command line, `module.parameter=value`, by module.
    options: HashMap<String, String>,
    done: HashSet<String>,
}

impl Modules {
    /// The modules below `directory` (`/lib/modules/VERSION`), with the options of the kernel's command line.
    ///
    /// # Errors
    /// When there is no modules.dep.
    pub fn open(directory: &Path, command_line: &str) -> anyhow::Result<Self> {
        Ok(Self {
            directory: directory.to_owned(),
            index: Index::read(directory)?,
            options: options(command_line),
            done: HashSet::new(),
        })
    }

    /// Loads what `name` stands for (a module or an alias), with its dependencies. Built-in and loaded ones are fine.
    ///
    /// # Errors
    /// When there is no such module, or the kernel refuses it.
    pub fn load(&mut self, name: &str, options: &str, watch: &mut dyn Watch) -> anyhow::Result<()> {
        let modules = self.index.resolve(name);
        if modules.is_empty() && !self.index.is_builtin(name) {
            bail!("this initrd has no module {name} for the kernel in {}", self.directory.display());
        }
        modules.iter().try_for_each(|module| self.load_closure(module, options, watch))
    }

    /// Loads it if this kernel has it as a module; whether or not, there is no error.
    pub fn try_load(&mut self, name: &str, watch: &mut dyn Watch) {
        for module in self.index.resolve(name) {
            if let Err(error) = self.load_closure(&module, "", watch) {
                remark(&error, watch);
            }
        }
    }

    /// Loads the modules of all devices below `sys`, and of those that these bring forth, until nothing is new.
    /// A module that does not load is told and left: its device may be broken, or not needed.
    ///
    /// # Errors
    /// When `sys` cannot be read.
    pub fn coldplug(&mut self, sys: &Path, watch: &mut dyn Watch) -> anyhow::Result<()> {
        BESIDE.iter().for_each(|name| self.try_load(name, watch));
        let mut seen: BTreeSet<String> = BTreeSet::new();
        for _ in 0..PASSES {
            let found = modaliases(&sys.join("devices"))?;
            let new: Vec<String> = found.difference(&seen).cloned().collect();
            if new.is_empty() {
                if is_quiet(&sys.join("kernel/uevent_seqnum")) {
                    return Ok(());
                }
                continue;
            }
            new.iter().for_each(|alias| self.try_load(alias, watch));
            seen = found;
        }
        watch.log("devices keep appearing; going on with those that are there");
        Ok(())
    }

    fn load_closure(&mut self, name: &str, options: &str, watch: &mut dyn Watch) -> anyhow::Result<()> {
        for wanted in self.index.closure(name) {
            if self.done.contains(&wanted.name) {
                continue;
            }
            let own = if wanted.name == name { options } else { "" };
            match self.insert(&wanted, own) {
                Ok(()) => {
                    self.done.insert(wanted.name);
                }
                Err(error) if wanted.optional => remark(&error, watch),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn insert(&self, wanted: &Wanted, options: &str) -> anyhow::Result<()> {
        let path = self.directory.join(&wanted.file);
        let beside = self.options.get(&wanted.name).map_or("", String::as_str);
        let parameters = format!("{beside} {options}");
        let parameters = CString::new(parameters.trim()).context("a module option has a zero byte")?;
        let file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        match rustix::system::finit_module(&file, &parameters, 0) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(Errno::NOENT) => Err(anyhow!("{} needs a symbol that the kernel has not got", wanted.name)),
            Err(error) => Err(error).with_context(|| format!("loading module {}", wanted.name)),
        }
    }
}

/// Tells of a module that the machine may do without; not of one whose hardware is not there, which is how a driver
/// for another CPU (crc32c_intel) answers everywhere else.
fn remark(error: &anyhow::Error, watch: &mut dyn Watch) {
    if error.downcast_ref() != Some(&Errno::NODEV) {
        watch.log(&format!("{error:#}"));
    }
}

/// Whether the kernel announces no device for a while. Buses such as USB and NVMe look for theirs in the background,
/// and nothing but the number of the last uevent tells that they found one.
fn is_quiet(number: &Path) -> bool {
    let before = fs::read_to_string(number).unwrap_or_default();
    let until = Instant::now() + QUIET;
    while Instant::now() < until {
        std::thread::sleep(QUIET / 10);
        if fs::read_to_string(number).unwrap_or_default() != before {
            return false;
        }
    }
    true
}

/// All modaliases of devices below `directory`, which is sysfs: directories only, no links, no cycles.
fn modaliases(directory: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            // Devices go away as they come.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !found.is_empty() => continue,
            Err(error) => return Err(error).with_context(|| format!("reading {}", directory.display())),
        };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                left.push(entry.path());
            } else if entry.file_name() == "modalias" {
                let text = fs::read_to_string(entry.path()).unwrap_or_default();
                found.extend(text.lines().filter(|alias| !alias.is_empty()).map(str::to_owned));
            }
        }
    }
    Ok(found)
}

/// `module.parameter=value` words of a kernel command line, by module.
fn options(command_line: &str) -> HashMap<String, String> {
    let mut options: HashMap<String, String> = HashMap::new();
    for word in command_line.split_whitespace() {
        let name = word.split('=').next().unwrap_or_default();
        if let Some((module, _)) = name.split_once('.') {
            let list = options.entry(module.replace('-', "_")).or_default();
            if !list.is_empty() {
                list.push(' ');
            }
            list.push_str(&word[module.len() + 1..]);
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Silent;
    impl Watch for Silent {
        fn progress(&mut self, _: u64, _: u64) {}
        fn log(&mut self, _: &str) {}
    }

    #[derive(Default)]
    struct Log(Vec<String>);
    impl Watch for Log {
        fn progress(&mut self, _: u64, _: u64) {}
        fn log(&mut self, line: &str) {
            self.0.push(line.to_owned());
        }
    }

    #[test]
    fn absent_hardware_is_no_news() {
        let mut log = Log::default();
        for errno in [Errno::NODEV, Errno::IO] {
            remark(&anyhow::Error::new(errno).context("loading module crc32c_intel"), &mut log);
        }
        assert_eq!(log.0, ["loading module crc32c_intel: Input/output error (os error 5)"]);
    }

    #[test]
    fn options_of_the_command_line() {
        let found = options("console=ttyS0 nvme.io_timeout=30 quiet nvme.poll_queues=2 snd-hda.x=1");
        assert_eq!(found["nvme"], "io_timeout=30 poll_queues=2");
        assert_eq!(found["snd_hda"], "x=1");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn modaliases_of_a_tree_without_following_links() {
        let root = tempfile::tempdir().unwrap();
        let device = root.path().join("devices/pci0000:00/0000:00:01.0/virtio0");
        fs::create_dir_all(&device).unwrap();
        fs::write(device.join("modalias"), "virtio:d00000002v00001AF4\n").unwrap();
        fs::write(device.parent().unwrap().join("modalias"), "pci:v00001AF4\n").unwrap();
        std::os::unix::fs::symlink("..", device.join("device")).unwrap();
        let found = modaliases(&root.path().join("devices")).unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["pci:v00001AF4", "virtio:d00000002v00001AF4"]);
    }

    #[test]
    fn a_missing_module_is_an_error_by_name_and_none_by_alias() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("modules.dep"), "kernel/a.ko: kernel/b.ko\nkernel/b.ko:\n").unwrap();
        fs::write(root.path().join("modules.builtin"), "kernel/fs/ext4.ko\n").unwrap();
        let mut modules = Modules::open(root.path(), "").unwrap();
        assert!(
            modules.load("nothing", "", &mut Silent).unwrap_err().to_string().contains("no module nothing")
        );
        assert!(modules.load("ext4", "", &mut Silent).is_ok());
        modules.try_load("pci:v0000", &mut Silent);
        // Its file is named in the index, but is not there: the dependency comes first and is the one that is named.
        let error = modules.load("a", "", &mut Silent).unwrap_err();
        assert!(error.to_string().ends_with("kernel/b.ko"), "{error}");
    }
}
