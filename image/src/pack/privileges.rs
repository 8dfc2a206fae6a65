//! Files that give whoever starts them more than he has: setuid, setgid, file capabilities. An admin sees them, and what
//! became of them since the version before.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::tar::member::{Kind, Member, shown};

/// Where Linux keeps a file's capabilities.
const ATTRIBUTE: &[u8] = b"security.capability";
/// capabilities(7) by number.
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// Such a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Privileged {
    /// Its path.
    pub path: String,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// The capabilities that it may give, by their names without `cap_`.
    pub capabilities: Vec<String>,
}

impl Privileged {
    /// What `member` gives, if it gives something.
    pub(super) fn of(member: &Member, path: &[u8]) -> Option<Self> {
        let meta = &member.meta;
        let attribute = meta.xattrs.iter().find(|(name, _)| name == ATTRIBUTE);
        let is_one = member.kind == Kind::File && (meta.mode & 0o6000 != 0 || attribute.is_some());
        is_one.then(|| Self {
            path: shown(path),
            mode: meta.mode,
            uid: meta.uid,
            gid: meta.gid,
            capabilities: attribute.map(|(_, value)| capabilities(value)).unwrap_or_default(),
        })
    }
}

impl fmt::Display for Privileged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, mode, uid, gid, capabilities } = self;
        write!(f, "{path} (mode {mode:04o}, owner {uid}:{gid}")?;
        for name in capabilities {
            write!(f, ", cap_{name}")?;
        }
        f.write_str(")")
    }
}

/// The permitted set of `struct vfs_cap_data` (include/uapi/linux/capability.h): a word of flags, then the lower half of
/// the permitted and of the inheritable set, then the upper halves; all little-endian.
fn capabilities(value: &[u8]) -> Vec<String> {
    let word = |at: usize| value.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let permitted = u64::from(word(4).unwrap_or_default()) | u64::from(word(12).unwrap_or_default()) << 32;
    let given = (0..64usize).filter(|bit| permitted >> bit & 1 == 1);
    given.map(|bit| NAMES.get(bit).map_or_else(|| bit.to_string(), |name| (*name).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_have_names() {
        // As `setcap cap_net_raw,cap_bpf+ep` writes it: revision 2, with the effective bit.
        let value = [0x0200_0001u32, 1 << 13, 0, 1 << 7, 0].map(u32::to_le_bytes).concat();
        assert_eq!(capabilities(&value), ["net_raw", "bpf"]);
        assert_eq!(capabilities(&[1, 2]), [""; 0]);
    }
}
