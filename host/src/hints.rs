//! What to try, by kind of failure: the last line of a failure screen.

use std::io;

use crate::machine::FetchError;

/// What a person might do about `error`, if its kind is known.
pub fn hint(error: &anyhow::Error) -> Option<String> {
    error
        .chain()
        .find_map(|cause| {
            if let Some(fetch) = cause.downcast_ref::<FetchError>() {
                return fetch_hint(fetch);
            }
            let errno = match cause.downcast_ref::<rustix::io::Errno>() {
                Some(errno) => Some(*errno),
                None => cause.downcast_ref::<io::Error>().and_then(rustix::io::Errno::from_io_error),
            };
            errno.and_then(errno_hint)
        })
        .map(str::to_owned)
}

fn fetch_hint(error: &FetchError) -> Option<&'static str> {
    match error {
        FetchError::Transport { .. } => {
            Some("is the head node up, and reachable from this network? try: ping it from the rescue shell")
        }
        FetchError::Refused { status: 401 | 403, .. } => {
            Some("the head node does not (or no longer) accept this node: arm it again and reboot it")
        }
        FetchError::Refused { status: 404, .. } => {
            Some("the head node has no such thing: compare the node's image and NII on the head node")
        }
        FetchError::Refused { .. } => Some("the head node's log says more about this refusal"),
    }
}

fn errno_hint(errno: rustix::io::Errno) -> Option<&'static str> {
    use rustix::io::Errno;
    Some(match errno {
        Errno::NOSPC => "no space left: give the file system more room in the NII, or make the image smaller",
        Errno::IO => "the device failed: look at dmesg for disk errors, and replace the disk or its cable",
        Errno::NOMEM => "out of memory: give the node more RAM, or install it to disk",
        Errno::BUSY => {
            "something still uses the device: look at /proc/mounts, /proc/swaps and its holders in /sys"
        }
        Errno::ROFS => "the device is write-protected, or its file system found errors: look at dmesg",
        Errno::NOTUNIQ | Errno::NODEV | Errno::NXIO => {
            "the device is gone, or has no driver: add its kernel module to the initrd"
        }
        Errno::CONNREFUSED => "the head node's port is closed: is headnode serve running?",
        Errno::HOSTUNREACH | Errno::NETUNREACH => "no route: compare the node's address, prefix and router",
        Errno::TIMEDOUT => "no answer: look at cable, switch port (VLAN, spanning tree) and firewall",
        _ => return None,
    })
}
