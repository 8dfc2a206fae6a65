//! What an archive holds: what the manifest says about it, and whether every member is one that nodes will unpack.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::BufRead;

use nii::manifest::{Kernel, Os};

use super::error::ImportError;
use super::privileges::Privileged;
use super::sift::head;
use crate::acl::{self, Names};
use crate::path::{self, normal};
use crate::tar::member::{Kind, Member, shown};
use crate::tar::read::Reader;

/// What a page is in a tmpfs.
const PAGE: u64 = 4096;
/// What an inode and its name take in a tmpfs: shmem's inode and dentry, some 1000 bytes on 64-bit kernels.
const INODE_RAM: u64 = 1024;
/// Most symlinks that a path may pass through; the kernel's MAXSYMLINKS.
const LINKS_MAX: usize = 40;
/// os-release(5) is a page or so.
const OS_RELEASE_MAX: usize = 64 << 10;
/// Files whose contents are kept, and how much of them.
const TEXTS: [(&str, usize); 4] = [
    ("etc/os-release", OS_RELEASE_MAX),
    ("usr/lib/os-release", OS_RELEASE_MAX),
    ("etc/passwd", acl::NAMES_MAX),
    ("etc/group", acl::NAMES_MAX),
];

/// See the module.
#[derive(Default)]
pub(super) struct Survey {
    members: u64,
    /// Directories known or implied. The root is always there, and is not in here.
    dirs: HashSet<Vec<u8>>,
    /// What a hard link may point at.
    files: HashSet<Vec<u8>>,
    symlinks: HashMap<Vec<u8>, Vec<u8>>,
    inodes: u64,
    ram_bytes: u64,
    namespaces: BTreeSet<String>,
    kernels: BTreeMap<String, Kernel>,
    /// Programs by ELF machine.
    machines: BTreeMap<u16, u64>,
    /// Contents of the files that tell something, by path.
    texts: HashMap<&'static str, Vec<u8>>,
    /// ACLs by name, and whose they are: their names must be the image's.
    named_acls: Vec<(String, Vec<u8>)>,
    /// By path: a later member of the same name wins.
    privileged: BTreeMap<Vec<u8>, Privileged>,
}

/// What was found in all.
pub(super) struct Found {
    pub members: u64,
    pub arch: String,
    pub os: Os,
    pub kernels: Vec<Kernel>,
    pub inodes: u64,
    pub ram_bytes: u64,
    pub xattr_namespaces: Vec<String>,
    pub privileged: Vec<Privileged>,
}

impl Survey {
    pub fn members(&self) -> u64 {
        self.members
    }

    /// Checks a member and counts it; reads as much of its data as tells something. `seen` of it was read before.
    pub fn member<R: BufRead>(
        &mut self,
        member: Member,
        seen: Vec<u8>,
        reader: &mut Reader<R>,
    ) -> Result<(), ImportError> {
        self.members += 1;
        let refuse = |what, cause| ImportError::Path { member: shown(&member.path), what, cause };
        let path = normal(&member.path).map_err(|cause| refuse("path", cause))?;
        if path.is_empty() && member.kind != Kind::Dir {
            return Err(problem(&member.path, "names the root, and is no directory"));
        }
        let (dir, _) = path::split(&path);
        self.parents(&path, dir)?;
        if member.kind == Kind::HardLink {
            let target = normal(&member.link).map_err(|cause| refuse("link target", cause))?;
            let real = self.real(&target, path::split(&target).0)?;
            if !self.files.contains(&target) && !self.files.contains(&real) {
                return Err(problem(
                    &path,
                    &format!("is a hard link to {:?}, which is no earlier file", shown(&target)),
                ));
            }
        }
        self.count(&member, &path);
        self.look(&member, &path, seen, reader)
    }

    /// Checks that a path's directories are within the root, and counts those that the archive does not name.
    fn parents(&mut self, path: &[u8], dir: &[u8]) -> Result<(), ImportError> {
        if dir.is_empty() || self.dirs.contains(dir) {
            return Ok(());
        }
        self.real(path, dir)?;
        let ends = dir.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(index, _)| index);
        for end in ends.chain([dir.len()]) {
            let parent = &dir[..end];
            if !self.symlinks.contains_key(parent) && self.dirs.insert(parent.to_vec()) {
                self.inodes += 1;
            }
        }
        Ok(())
    }

    /// Where a path really is, with the symlinks among its directories followed. One that leads out is refused.
    fn real(&self, path: &[u8], dir: &[u8]) -> Result<Vec<u8>, ImportError> {
        let mut left: Vec<&[u8]> = dir.rsplit(|&byte| byte == b'/').filter(|part| !part.is_empty()).collect();
        let mut at = Vec::new();
        let mut links = 0;
        while let Some(part) = left.pop() {
            let before = at.len();
            match part {
                b"" | b"." => continue,
                b".." if at.is_empty() => {
                    return Err(problem(path, "passes through a symlink that leads out of the root"));
                }
                b".." => {
                    at.truncate(path::split(&at).0.len());
                    continue;
                }
                part => {
                    if !at.is_empty() {
                        at.push(b'/');
                    }
                    at.extend_from_slice(part);
                }
            }
            let Some(target) = self.symlinks.get(&at) else { continue };
            links += 1;
            if target.starts_with(b"/") || links > LINKS_MAX {
                return Err(problem(
                    path,
                    &format!("passes through the symlink {:?} to {:?}", shown(&at), shown(target)),
                ));
            }
            at.truncate(before);
            left.extend(target.rsplit(|&byte| byte == b'/'));
        }
        let (_, name) = path::split(path);
        Ok(if at.is_empty() { name.to_vec() } else { [&at, &b"/"[..], name].concat() })
    }

    fn count(&mut self, member: &Member, path: &[u8]) {
        if member.kind == Kind::Dir {
            if !path.is_empty() && self.dirs.insert(path.to_vec()) {
                self.inodes += 1;
            }
        } else {
            self.files.insert(path.to_vec());
            self.inodes += u64::from(member.kind != Kind::HardLink);
        }
        match member.kind {
            Kind::Symlink => self.symlinks.insert(path.to_vec(), member.link.clone()),
            _ => self.symlinks.remove(path),
        };
        self.ram_bytes += match &member.spans {
            Some(spans) => spans
                .iter()
                .map(|span| (span.offset + span.len).next_multiple_of(PAGE) - span.offset / PAGE * PAGE)
                .sum(),
            None => member.stored.next_multiple_of(PAGE),
        };
        for (name, value) in &member.meta.xattrs {
            self.ram_bytes += (name.len() + value.len()) as u64;
            let namespace = name.split(|&byte| byte == b'.').next().unwrap_or_default();
            self.namespaces.insert(shown(namespace));
        }
        for text in [&member.meta.acl_access, &member.meta.acl_default].into_iter().flatten() {
            self.namespaces.insert("system".to_owned());
            if acl::by_name(text) {
                self.named_acls.push((shown(path), text.clone()));
            }
        }
        let other = if member.kind == Kind::HardLink { normal(&member.link).ok() } else { None };
        let other = other.and_then(|target| self.privileged.get(&target));
        let privileged = Privileged::of(member, path)
            .or_else(|| other.map(|other| Privileged { path: shown(path), ..other.clone() }));
        match privileged {
            Some(privileged) => drop(self.privileged.insert(path.to_vec(), privileged)),
            None => drop(self.privileged.remove(path)),
        }
    }

    /// Learns what names and contents tell: kernels, the OS, the machine.
    fn look<R: BufRead>(
        &mut self,
        member: &Member,
        path: &[u8],
        seen: Vec<u8>,
        reader: &mut Reader<R>,
    ) -> Result<(), ImportError> {
        if member.kind != Kind::File {
            return Ok(());
        }
        let Ok(path) = str::from_utf8(path) else { return Ok(()) };
        self.kernel(path);
        let program = path.strip_prefix("usr/").unwrap_or(path);
        if let Some((name, max)) = TEXTS.iter().find(|(name, _)| *name == path) {
            self.texts.insert(name, head(reader, *max, seen)?);
        } else if program.starts_with("bin/") || program.starts_with("sbin/") {
            // ELF's e_machine: two bytes at 18, in the byte order that byte 5 tells.
            if let [0x7f, b'E', b'L', b'F', _, order, .., low, high] = head(reader, 20, seen)?[..] {
                let machine = if order == 2 { [high, low] } else { [low, high] };
                *self.machines.entry(u16::from_le_bytes(machine)).or_default() += 1;
            }
        }
        Ok(())
    }

    fn kernel(&mut self, path: &str) {
        let modules = path.strip_prefix("usr/").unwrap_or(path).strip_prefix("lib/modules/");
        let boot = path.strip_prefix("boot/");
        let initramfs = |name: &str| Some(name.strip_prefix("initramfs-")?.strip_suffix(".img")?.to_owned());
        let kernels = &mut self.kernels;
        let path = path.to_owned();
        if let Some((version, file)) = modules.and_then(|rest| rest.split_once('/')) {
            match file {
                "modules.dep" => entry(kernels, version).modules = true,
                // Where Fedora keeps the original; what is in /boot was made to be booted.
                "vmlinuz" => drop(entry(kernels, version).vmlinuz.get_or_insert(path)),
                _ => {}
            }
        } else if let Some(version) = boot.and_then(|name| name.strip_prefix("vmlinuz-")) {
            entry(kernels, version).vmlinuz = Some(path);
        } else if let Some(version) = boot.and_then(|name| name.strip_prefix("initrd.img-")) {
            entry(kernels, version).initrd = Some(path);
        } else if let Some(version) = boot.and_then(initramfs) {
            entry(kernels, &version).initrd = Some(path);
        }
    }

    /// What was found in all.
    pub fn finish(self) -> Result<Found, ImportError> {
        let text = |name| self.texts.get(name).map(Vec::as_slice);
        let names =
            Names::parse(text("etc/passwd").unwrap_or_default(), text("etc/group").unwrap_or_default());
        for (member, text) in self.named_acls {
            acl::encode(&text, &names).map_err(|cause| ImportError::Acl { member, cause })?;
        }
        let os = os(text("etc/os-release").or(text("usr/lib/os-release")).unwrap_or_default());
        let most = self.machines.into_iter().max_by_key(|(_, count)| *count);
        // The root counts, whether the archive names it or not.
        let inodes = self.inodes + 1;
        Ok(Found {
            members: self.members,
            arch: most.map_or("unknown", |(machine, _)| machine_name(machine)).to_owned(),
            os,
            kernels: self
                .kernels
                .into_values()
                .filter(|kernel| kernel.modules || kernel.vmlinuz.is_some())
                .collect(),
            inodes,
            ram_bytes: self.ram_bytes + inodes * INODE_RAM,
            xattr_namespaces: self.namespaces.into_iter().collect(),
            privileged: self.privileged.into_values().collect(),
        })
    }
}

fn entry<'a>(kernels: &'a mut BTreeMap<String, Kernel>, version: &str) -> &'a mut Kernel {
    let kernel = || Kernel { version: version.to_owned(), ..Kernel::default() };
    kernels.entry(version.to_owned()).or_insert_with(kernel)
}

fn problem(path: &[u8], problem: &str) -> ImportError {
    ImportError::Member { member: shown(path), problem: problem.to_owned() }
}

/// ELF's e_machine (elf(5)) as `uname -m` says it.
fn machine_name(machine: u16) -> &'static str {
    match machine {
        3 => "i686",
        21 => "ppc64le",
        22 => "s390x",
        62 => "x86_64",
        183 => "aarch64",
        243 => "riscv64",
        _ => "unknown",
    }
}

/// Reads os-release(5): assignments in shell syntax, quoted or not.
fn os(text: &[u8]) -> Os {
    let text = String::from_utf8_lossy(text);
    let field = |key: &str| {
        let value = text.lines().rev().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
        let value = value.unwrap_or_default().trim();
        let quoted = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
        quoted('"').or_else(|| quoted('\'')).unwrap_or(value).replace('\\', "")
    };
    Os {
        id: field("ID"),
        id_like: field("ID_LIKE").split_whitespace().map(str::to_owned).collect(),
        version_id: field("VERSION_ID"),
        pretty_name: field("PRETTY_NAME"),
    }
}
