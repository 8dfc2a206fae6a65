//! The rescue shell: busybox under the names of its applets.

use std::collections::HashSet;

use anyhow::Result;

use crate::tree::{Node, Tree};

/// Where busybox may lie in the initrd.
const PLACES: &[&str] = &["usr/bin/busybox", "usr/sbin/busybox"];

/// What a person at a failed node wants. A busybox that lacks one gets no link for it.
const APPLETS: &[&str] = &[
    "ash",
    "awk",
    "basename",
    "blkid",
    "blockdev",
    "cat",
    "chmod",
    "chown",
    "chroot",
    "clear",
    "cmp",
    "cp",
    "cpio",
    "cut",
    "date",
    "dd",
    "df",
    "diff",
    "dirname",
    "dmesg",
    "du",
    "echo",
    "egrep",
    "env",
    "expr",
    "false",
    "fdisk",
    "find",
    "free",
    "grep",
    "gunzip",
    "gzip",
    "halt",
    "head",
    "hexdump",
    "hostname",
    "id",
    "ifconfig",
    "insmod",
    "ip",
    "kill",
    "killall",
    "less",
    "ln",
    "losetup",
    "ls",
    "lsmod",
    "lsof",
    "lspci",
    "lsusb",
    "md5sum",
    "mkdir",
    "mknod",
    "mktemp",
    "modprobe",
    "more",
    "mount",
    "mv",
    "nc",
    "netstat",
    "nslookup",
    "od",
    "pidof",
    "ping",
    "ping6",
    "poweroff",
    "printf",
    "ps",
    "pwd",
    "readlink",
    "realpath",
    "reboot",
    "reset",
    "rm",
    "rmdir",
    "rmmod",
    "route",
    "sed",
    "setsid",
    "sh",
    "sha256sum",
    "sha512sum",
    "sleep",
    "sort",
    "stat",
    "stty",
    "swapoff",
    "swapon",
    "switch_root",
    "sync",
    "sysctl",
    "tail",
    "tar",
    "tee",
    "telnet",
    "test",
    "tftp",
    "time",
    "top",
    "touch",
    "tr",
    "traceroute",
    "true",
    "tty",
    "udhcpc",
    "umount",
    "uname",
    "uniq",
    "uptime",
    "vi",
    "watch",
    "wc",
    "wget",
    "which",
    "xargs",
    "xxd",
    "xz",
    "zcat",
];

/// Links the applets of the packed busybox, if there is one, into its folder. Real tools go before applets.
pub fn link(tree: &mut Tree) -> Result<()> {
    let packed = tree.entries().find(|(path, _)| PLACES.contains(path));
    let Some((path, Node::File(program))) = packed.map(|(path, entry)| (path, &entry.node)) else {
        return Ok(());
    };
    let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir).to_owned();
    // Its table of names is a run of NUL-terminated strings: read, not asked for, as it may be for another machine.
    let strings: HashSet<&[u8]> = program.split(|&byte| byte == 0).collect();
    let known: Vec<&str> =
        APPLETS.iter().copied().filter(|applet| strings.contains(applet.as_bytes())).collect();
    for applet in known {
        if !tree.contains(&format!("/usr/bin/{applet}")) && !tree.contains(&format!("/usr/sbin/{applet}")) {
            tree.symlink(&format!("/{dir}/{applet}"), "busybox")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applets_it_has_and_nothing_else_has() {
        let mut tree = Tree::skeleton().unwrap();
        tree.file("/bin/busybox", 0o755, b"\x7fELF\0\0[\0[[\0ash\0ls\0mount\0sh\0x-vi\0".to_vec()).unwrap();
        tree.file("/sbin/mount", 0o755, b"real".to_vec()).unwrap();
        link(&mut tree).unwrap();
        let links: Vec<&str> = tree
            .entries()
            .filter(|(_, entry)| entry.node == Node::Symlink("busybox".into()))
            .map(|(path, _)| path)
            .collect();
        assert_eq!(links, ["usr/bin/ash", "usr/bin/ls", "usr/bin/sh"]);
    }
}
