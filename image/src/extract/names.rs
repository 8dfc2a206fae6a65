//! The target's users and groups, read off its own files.

use std::fs::File;
use std::io::Read;

use rustix::fs::{self, Mode, OFlags};

use super::dirs::Dirs;
use crate::acl::{NAMES_MAX, Names};

/// What the target's `/etc/passwd` and `/etc/group` say; nobody is known where they are missing.
pub(super) fn of_target(dirs: &mut Dirs) -> Names {
    Names::parse(&text(dirs, "passwd"), &text(dirs, "group"))
}

fn text(dirs: &mut Dirs, file: &str) -> Vec<u8> {
    let mut text = Vec::new();
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    if let Ok(etc) = dirs.enter(b"etc", None)
        && let Ok(fd) = fs::openat(etc.fd(), file, flags, Mode::empty())
    {
        // What cannot be read names nobody, and the ACL that needs it is refused by its name.
        let _ = File::from(fd).take(NAMES_MAX as u64).read_to_end(&mut text);
    }
    text
}
