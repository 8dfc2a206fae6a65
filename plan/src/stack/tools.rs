//! The command lines of mdadm(8), lvm(8) and cryptsetup(8). Nobody answers questions, and nothing outside of the devices
//! that are named is looked at.

use nii::secret::Secret;

use crate::op::{BlockDevice, PartitionRef, StackAct, VolumeKind, VolumeRef};

/// A program with its arguments, and what it reads from its standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// A passphrase, without a line's end.
    pub input: Option<&'a Secret>,
}

/// Two seconds and 128 MiB are the price of a guess. cryptsetup would take half of the machine's memory.
const PASSPHRASE: &[&str] = &["--pbkdf=argon2id", "--pbkdf-memory=131072"];
/// For a key that nobody guesses, as systemd-cryptenroll(1) does it for those of its tokens: LUKS2 has nothing less.
const RANDOM_KEY: &[&str] = &["--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000"];

/// What it runs, in order.
pub fn commands(act: &StackAct) -> Vec<Command<'_>> {
    match act {
        StackAct::MakeArray { .. } => make_array(act).into_iter().collect(),
        StackAct::StartArray { array, devices, read_only } => {
            let uuid = format!("--uuid={}", md_uuid(array.uuid));
            let mut argv = words(&["mdadm", "--assemble", &array.node, "--run", "--quiet", &uuid]);
            argv.extend(read_only.then(|| "--readonly".into()));
            vec![plain(argv, devices.iter().map(PartitionRef::path))]
        }
        StackAct::MakeLuks { crypt, device, key, random_key } => {
            let uuid = format!("--uuid={}", crypt.uuid);
            let mut argv = words(&["cryptsetup", "luksFormat", "--type=luks2", "--batch-mode"]);
            argv.extend(words(if *random_key { RANDOM_KEY } else { PASSPHRASE }));
            argv.extend(words(&[&uuid, "--key-file=-", &device.path()]));
            vec![Command { argv, input: Some(key) }]
        }
        StackAct::OpenLuks { crypt, device, key, read_only } => {
            let path = device.path();
            let mut argv = words(&["cryptsetup", "open", "--type=luks2", "--key-file=-"]);
            argv.extend(read_only.then(|| "--readonly".into()));
            argv.extend([path, crypt.crypt.clone()]);
            vec![Command { argv, input: Some(key) }]
        }
        StackAct::CheckLuks { device, key, .. } => {
            let path = device.path();
            let argv =
                words(&["cryptsetup", "open", "--test-passphrase", "--type=luks2", "--key-file=-", &path]);
            vec![Command { argv, input: Some(key) }]
        }
        StackAct::MakeGroup { group, devices, extent_mib } => {
            let create = lvm("pvcreate", devices, &["--yes", "--force", "--force"]);
            let mut group = lvm("vgcreate", devices, &["--yes", group]);
            let extent = extent_mib.map(|mib| format!("--physicalextentsize={mib}m"));
            group.splice(2..2, extent);
            vec![plain(create, paths(devices)), plain(group, paths(devices))]
        }
        StackAct::CheckGroup { group, devices, .. } => {
            vec![plain(lvm("vgck", devices, &[group]), [])]
        }
        StackAct::StopGroup { group, devices } => {
            vec![plain(lvm("vgchange", devices, &["--activate=n", "--yes", group]), [])]
        }
        StackAct::RemoveVolume { volume, devices } => {
            let name = format!("{}/{}", volume.group, volume.volume);
            vec![plain(lvm("lvremove", devices, &["--yes", &name]), [])]
        }
        StackAct::MakeVolume { volume, devices, kind, size_mib } => {
            vec![plain(make_volume(volume, devices, kind, *size_mib), [])]
        }
    }
}

fn make_array(act: &StackAct) -> Option<Command<'_>> {
    let StackAct::MakeArray { array, host, level, metadata, devices, spares } = act else { return None };
    let mut argv = words(&["mdadm", "--create", &array.node, "--run", "--quiet"]);
    argv.extend([
        format!("--homehost={host}"),
        format!("--name={}", array.array),
        format!("--uuid={}", md_uuid(array.uuid)),
        format!("--metadata={metadata}"),
        format!("--level={}", level.name()),
        format!("--raid-devices={}", devices.len() - *spares as usize),
    ]);
    argv.extend((*spares > 0).then(|| format!("--spare-devices={spares}")));
    Some(plain(argv, devices.iter().map(PartitionRef::path)))
}

fn make_volume(
    volume: &VolumeRef,
    devices: &[BlockDevice],
    kind: &VolumeKind,
    size_mib: Option<u64>,
) -> Vec<String> {
    let size = match (kind, size_mib) {
        (VolumeKind::Thin(_), mib) => format!("--virtualsize={}m", mib.unwrap_or_default()),
        (_, Some(mib)) => format!("--size={mib}m"),
        (_, None) => "--extents=100%FREE".into(),
    };
    let name = format!("--name={}", volume.volume);
    let mut argv = lvm("lvcreate", devices, &["--yes", &name, &size]);
    argv.extend(match kind {
        VolumeKind::Linear => words(&["--wipesignatures=y", &volume.group]),
        VolumeKind::ThinPool => words(&["--type=thin-pool", "--poolmetadataspare=n", &volume.group]),
        VolumeKind::Thin(pool) => words(&["--type=thin", &format!("--thinpool={pool}"), &volume.group]),
    });
    argv
}

/// What prints the names of a group's volumes that a selection (lvmreport(7)) takes.
pub fn volumes(group: &str, devices: &[BlockDevice], select: &str) -> Vec<String> {
    let select = format!("--select={select}");
    lvm("lvs", devices, &["--noheadings", "--options=lv_name", &select, group])
}

/// What succeeds if a group is there.
pub fn is_group(group: &str, devices: &[BlockDevice]) -> Vec<String> {
    lvm("vgs", devices, &["--noheadings", group])
}

/// The volumes' programs see no other devices than these, do without udev, and leave no copies of metadata behind: the
/// initrd is gone in a minute.
fn lvm(command: &str, devices: &[BlockDevice], arguments: &[&str]) -> Vec<String> {
    let accept: String = paths(devices).map(|path| format!("\"a|^{path}$|\", ")).collect();
    let config = format!(
        "devices {{ global_filter = [{accept}\"r|.*|\"] use_devicesfile = 0 hints = \"none\" }} \
         activation {{ udev_sync = 0 udev_rules = 0 verify_udev_operations = 0 monitoring = 0 }} \
         backup {{ backup = 0 archive = 0 }} global {{ thin_check_executable = \"\" }}"
    );
    let mut argv = words(&["lvm", command]);
    argv.extend(words(arguments));
    argv.push(format!("--config={config}"));
    argv
}

fn paths(devices: &[BlockDevice]) -> impl Iterator<Item = String> + '_ {
    devices.iter().map(BlockDevice::path)
}

fn plain<'a>(mut argv: Vec<String>, more: impl IntoIterator<Item = String>) -> Command<'a> {
    argv.extend(more);
    Command { argv, input: None }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

/// As mdadm writes it: four times eight digits.
pub(crate) fn md_uuid(uuid: uuid::Uuid) -> String {
    let digits = uuid.simple().to_string();
    let parts: Vec<&str> = (0..4).map(|part| &digits[8 * part..8 * part + 8]).collect();
    parts.join(":")
}
