//! How all old contents of a disk are made unreadable, and what stands against it.

use nii::Finding;
use nii::v1::{Storage, Wipe};

use crate::disks::{self, Planned};
use crate::facts::{AtaSecurity, Disk, Facts};

/// What an ATA disk's erasure is unlocked with. It is no secret: it is forgotten when the erasure ends.
const ATA_PASSWORD: &str = "camphor";

/// The NII's word.
pub(crate) const fn word(how: Wipe) -> &'static str {
    match how {
        Wipe::Zero => "zero",
        Wipe::Discard => "discard",
        Wipe::Secure => "secure",
    }
}

/// The command lines by which a disk erases itself, in order: nvme-format(1), or hdparm(8)'s ATA security erase.
pub fn commands(disk: &str) -> Vec<Vec<String>> {
    let hdparm = |action: &str| argv(&["hdparm", "--user-master", "u", action, ATA_PASSWORD, disk]);
    match tool(disk) {
        "nvme" => vec![argv(&["nvme", "format", disk, "--ses=1", "--force"])],
        _ => vec![hdparm("--security-set-pass"), hdparm("--security-erase")],
    }
}

/// The command line that takes a disk's lock away if its erasure failed: locked, it could not be read after a power cut.
pub fn unlock(disk: &str) -> Option<Vec<String>> {
    let hdparm = argv(&["hdparm", "--user-master", "u", "--security-disable", ATA_PASSWORD, disk]);
    (tool(disk) == "hdparm").then_some(hdparm)
}

/// What to do about a disk that was cut off while it erased itself, if it is locked then: it refuses to be read and written.
pub fn way_out(disk: &str) -> Option<String> {
    let by = "hdparm --user-master u";
    let way = || {
        format!(
            "if it was cut off while it erased itself, it is locked: run `{by} --security-unlock {ATA_PASSWORD} {disk}`, \
             then `{by} --security-disable {ATA_PASSWORD} {disk}`"
        )
    };
    (tool(disk) == "hdparm").then(way)
}

fn argv(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The program that makes a disk erase itself.
fn tool(disk: &str) -> &'static str {
    if disk.starts_with("/dev/nvme") { "nvme" } else { "hdparm" }
}

/// Whether it is an ATA disk, which has a lock.
pub fn is_ata(disk: &Disk) -> bool {
    ["sata", "ata"].contains(&disk.transport.as_deref().unwrap_or("unknown"))
}

/// What stands against the wipes that the NII asks for.
pub(crate) fn check(facts: &Facts, storage: &Storage, planned: &[Planned<'_>], out: &mut Vec<Finding>) {
    for planned in planned {
        let index =
            storage.disks.iter().position(|disk| disk.name == planned.wanted.name).unwrap_or_default();
        let mut refuse = |message: String| {
            let message = format!("disk `{}`: {message}", planned.wanted.name);
            out.push(Finding::error(format!("storage.disks[{index}].wipe"), message));
        };
        match planned.wanted.wipe {
            None | Some(Wipe::Zero) => {}
            Some(Wipe::Discard) if planned.disk.discard => {}
            Some(Wipe::Discard) => refuse(format!(
                "{} takes no discards; use `zero`, or `secure` where it erases itself",
                disks::describe(planned.disk)
            )),
            Some(Wipe::Secure) => secure(facts, planned).into_iter().for_each(&mut refuse),
        }
    }
}

/// Where anaconda writes the tables nothing is wiped but what it wipes itself.
pub(crate) fn not_by_anaconda(storage: &Storage, out: &mut Vec<Finding>) {
    for (index, disk) in storage.disks.iter().enumerate().filter(|(_, disk)| disk.wipe.is_some()) {
        let message = format!(
            "disk `{}` is partitioned by anaconda, which cannot do this; leave it out, or set `storage.mode` to `camphor`",
            disk.name
        );
        out.push(Finding::error(format!("storage.disks[{index}].wipe"), message));
    }
}

/// Why a disk cannot be made to erase itself. That nothing is to be kept on it, validation saw.
fn secure(facts: &Facts, planned: &Planned<'_>) -> Vec<String> {
    let mut why = Vec::new();
    let disk = planned.disk;
    if disk.transport.as_deref() != Some("nvme") && !is_ata(disk) {
        why.push(format!("{} is neither NVMe nor ATA; use `zero` or `discard`", disks::describe(disk)));
        return why;
    }
    if let Some(what) = disk.ata_security.map(|security| stands_against(security, disk)) {
        why.push(format!("{} cannot erase itself: {what}", disks::describe(disk)));
    }
    let tool = tool(&disk.path);
    if !facts.tools.iter().any(|known| known == tool) {
        why.push(format!(
            "this initrd has no {tool}, which makes the disk erase itself; build it with `--tool {tool}`"
        ));
    }
    // A controller may format all of its namespaces at once (Identify Controller, FNA): nobody asked for the others.
    let others = facts.disks.iter().filter(|other| other.path != disk.path);
    let others = others.filter(|other| {
        controller(&disk.path).is_some() && controller(&other.path) == controller(&disk.path)
    });
    let others: Vec<&str> = others.map(|other| other.path.as_str()).collect();
    if !others.is_empty() {
        why.push(format!(
            "{} has its controller in common with {}, which an NVMe format may erase too; use `zero` or `discard`",
            disk.path,
            others.join(", ")
        ));
    }
    why
}

fn stands_against(security: AtaSecurity, disk: &Disk) -> String {
    match security {
        AtaSecurity::Absent => "it has no ATA security; use `zero` or `discard`".into(),
        AtaSecurity::Locked => {
            format!("it has a password; {}", way_out(&disk.path).unwrap_or_default())
        }
        AtaSecurity::Frozen => {
            "the firmware froze its ATA security; see its settings, take the disk's power away for a moment while the \
             machine runs, or use `zero`"
                .into()
        }
    }
}

/// `/dev/nvme0` of the namespace `/dev/nvme0n1`.
fn controller(disk: &str) -> Option<&str> {
    let (controller, _) = disk.rsplit_once('n').filter(|_| disk.starts_with("/dev/nvme"))?;
    Some(controller)
}
