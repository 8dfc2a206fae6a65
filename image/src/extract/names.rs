//! Users and groups of the image itself. ACLs may be stored by name, and it is the image's names that count, not those
//! of the machine that unpacks it.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;

use rustix::fs::{self, Mode, OFlags};

use super::dirs::Dirs;
use crate::acl::Names;

/// Knows nobody: for what does without.
pub(super) struct Nobody;

impl Names for Nobody {
    fn user(&self, _: &str) -> Option<u32> {
        None
    }

    fn group(&self, _: &str) -> Option<u32> {
        None
    }
}

/// What the target's `/etc/passwd` and `/etc/group` say; empty where they are missing.
pub(super) struct TargetNames {
    users: HashMap<String, u32>,
    groups: HashMap<String, u32>,
}

impl TargetNames {
    pub fn read(dirs: &mut Dirs) -> Self {
        Self { users: table(dirs, "passwd"), groups: table(dirs, "group") }
    }
}

fn table(dirs: &mut Dirs, file: &str) -> HashMap<String, u32> {
    let mut text = String::new();
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    if let Ok(etc) = dirs.enter(b"etc", None)
        && let Ok(fd) = fs::openat(etc.fd(), file, flags, Mode::empty())
        && File::from(fd).take(16 << 20).read_to_string(&mut text).is_err()
    {
        text.clear();
    }
    text.lines().filter_map(entry).collect()
}

/// `NAME:x:NUMBER:...`, in both files.
fn entry(line: &str) -> Option<(String, u32)> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    Some((name.to_owned(), fields.nth(1)?.parse().ok()?))
}

impl Names for TargetNames {
    fn user(&self, name: &str) -> Option<u32> {
        self.users.get(name).copied()
    }

    fn group(&self, name: &str) -> Option<u32> {
        self.groups.get(name).copied()
    }
}
