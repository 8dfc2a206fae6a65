//! How an op reads to a person: one line, no secret. `--plan`, errors and reports print ops with this.

use std::fmt;
use std::net::IpAddr;

use nii::v1::Wipe;

use crate::facts::{Table, TableEntry};
use crate::install::Plan;
use crate::op::{Act, Content, Guard, Holder, Op};
use crate::wipe;

/// A whole plan for a person: every op with its reason and its condition, by step.
pub fn render(plan: &Plan) -> String {
    let mut text = String::new();
    for stage in &plan.stages {
        text.push_str(&format!("{}\n", stage.step));
        for op in &stage.ops {
            text.push_str(&format!("  {op}\n      {}\n", op.reason));
            if !op.guard.is_empty() {
                text.push_str(&format!("      only if the image {}\n", op.guard));
            }
        }
    }
    text.extend(plan.warnings.iter().map(|warning| format!("{warning}\n")));
    text
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = (!self.has.is_empty()).then(|| format!("has {}", self.has.join(" and ")));
        let lacks = (!self.lacks.is_empty()).then(|| format!("lacks {}", self.lacks.join(" and ")));
        let parts: Vec<String> = has.into_iter().chain(lacks).collect();
        f.write_str(&parts.join(", and "))
    }
}

fn joined<T: ToString>(items: &[T], separator: &str) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.act.fmt(f)
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coldplug => f.write_str("load the modules of the hardware that is present"),
            Self::FirstNetwork { boot_mac: Some(mac) } => write!(f, "bring the network up, {mac} first"),
            Self::FirstNetwork { boot_mac: None } => f.write_str("bring the network up"),
            Self::LoadModule { name, options } if options.is_empty() => write!(f, "load module {name}"),
            Self::LoadModule { name, options } => write!(f, "load module {name} with {options}"),
            Self::ConfigureNic { name, mtu, addresses, routes, dhcp } => {
                write!(f, "configure {name}")?;
                nic(f, *mtu, addresses, routes, *dhcp)
            }
            Self::SetResolver { servers, .. } => write!(f, "use name servers {}", joined(servers, " ")),
            Self::Release { holder } => holder.fmt(f),
            Self::CheckDisks { disks } => write!(f, "check that nobody uses {}", joined(disks, ", ")),
            Self::WriteTable { disk, table, keep } => {
                write!(f, "write partition table of {disk}: {table}")?;
                keep.iter().try_for_each(|number| write!(f, "; {number} is kept"))
            }
            Self::Erase { disk, how, keep } => erase(f, disk, *how, keep),
            Self::WriteJournal { partition, record } => {
                write!(f, "write journal of arming {} to {}", record.arming, partition.path())
            }
            Self::Stack(act) => act.fmt(f),
            Self::MakeSubvolumes { device, names } => {
                write!(f, "make subvolumes {} of {}", names.join(", "), device.path())
            }
            Self::Mkfs { device, format, uuid, options, .. } => {
                write!(f, "make {} {uuid} on {}", format.name(), device.path())?;
                if options.is_empty() { Ok(()) } else { write!(f, " with {}", options.join(" ")) }
            }
            Self::Mount { device, format, path, options } => {
                write!(f, "mount {} ({}", device.path(), format.name())?;
                options.iter().try_for_each(|option| write!(f, ",{option}"))?;
                write!(f, ") on {path}")
            }
            Self::MountTmpfs { size, inodes } => {
                write!(f, "mount tmpfs of {} MiB and {inodes} inodes on /", size >> 20)
            }
            Self::MountKernelFs => f.write_str("mount /dev, /proc, /sys and /run into the new root"),
            Self::Unpack { manifest, sources } => {
                write!(f, "unpack image {manifest} from {}", sources.join(" or "))
            }
            Self::WriteFile { path, content, mode, uid, gid } => {
                write!(f, "write {path} (mode {mode:04o}, owner {uid}:{gid}, ")?;
                match content {
                    Content::Text(text) => write!(f, "{} bytes)", text.len()),
                    Content::Secret(_) => f.write_str("secret)"),
                }
            }
            Self::Mkdir { path, mode } => write!(f, "make directory {path} (mode {mode:04o})"),
            Self::Symlink { path, target } => write!(f, "link {path} to {target}"),
            Self::CopyFile { from, to } => write!(f, "copy {from} to {to}"),
            Self::Remove { path } => write!(f, "remove {path}"),
            Self::SetPassword { user, hash: Some(_) } => write!(f, "set password of {user}"),
            Self::SetPassword { user, hash: None } => write!(f, "lock password of {user}"),
            Self::Require { any, .. } => write!(f, "check that the image has {}", any.join(" or ")),
            Self::Deliver { from, to, mode, .. } => write!(f, "copy {from} to {to} (mode {mode:04o})"),
            Self::SetClock { time } => write!(f, "set the clock to {time} s since 1970"),
            Self::Run { argv } => write!(f, "run in the new root: {}", argv.join(" ")),
            Self::LoadKernel { kernel, .. } => write!(f, "load {kernel} for kexec"),
            Self::Sync => f.write_str("write everything out and check for errors"),
            Self::Unmount => f.write_str("unmount the new root"),
            Self::SetPartitionType { partition, kind } => {
                write!(f, "set type of {} to {kind}", partition.path())
            }
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mount { path } => write!(f, "unmount {path} and what is below it"),
            Self::Swap { device } => write!(f, "stop swapping on {device}"),
            Self::Mapped { name, .. } => write!(f, "take the mapping {name} away"),
            Self::Array { node } => write!(f, "stop the array {node}"),
        }
    }
}

fn erase(f: &mut fmt::Formatter<'_>, disk: &str, how: Wipe, keep: &[u32]) -> fmt::Result {
    match how {
        Wipe::Zero => write!(f, "write zeroes over all of {disk} but for its table")?,
        Wipe::Discard => write!(f, "discard all of {disk} but for its table")?,
        Wipe::Secure => {
            write!(f, "let {disk} erase itself")?;
            wipe::commands(disk).iter().try_for_each(|argv| write!(f, "; {}", argv.join(" ")))?;
        }
    }
    keep.iter().try_for_each(|number| write!(f, "; {number} is spared"))
}

fn nic(
    f: &mut fmt::Formatter<'_>,
    mtu: Option<u32>,
    addresses: &[(IpAddr, u8)],
    routes: &[(IpAddr, u8, IpAddr)],
    dhcp: bool,
) -> fmt::Result {
    if dhcp {
        f.write_str(" dhcp")?;
    }
    if let Some(mtu) = mtu {
        write!(f, " mtu {mtu}")?;
    }
    addresses.iter().try_for_each(|(address, prefix)| write!(f, " {address}/{prefix}"))?;
    routes.iter().try_for_each(|(network, prefix, hop)| write!(f, " {network}/{prefix} via {hop}"))
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.partitions.is_empty() {
            return f.write_str("empty");
        }
        self.partitions.iter().enumerate().try_for_each(|(i, entry)| {
            f.write_str(if i == 0 { "" } else { ", " })?;
            entry.fmt(f)
        })
    }
}

impl fmt::Display for TableEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} (blocks {}-{}", self.number, self.label, self.first, self.last)?;
        match self.attributes {
            0 => f.write_str(")"),
            attributes => write!(f, ", attributes {attributes:#x})"),
        }
    }
}
