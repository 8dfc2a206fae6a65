//! A crash leaves no core behind. In a test program of its own: what is asked of the kernel is for all of it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "test support")]

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use host::linux::cores;
use rustix::process::{DumpableBehavior, Resource, Rlimit, dumpable_behavior, getrlimit, setrlimit};

#[test]
fn trust_a_crash_leaves_no_core() {
    let most = getrlimit(Resource::Core).maximum;
    setrlimit(Resource::Core, Rlimit { current: most, maximum: most }).unwrap();
    cores::none().unwrap();
    assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: most });
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new("sh").args(["-c", "kill -SEGV $$"]).current_dir(&folder).status().unwrap();
    let files = std::fs::read_dir(&folder).unwrap().count();
    assert!(status.signal() == Some(11) && !status.core_dumped() && files == 0, "{status}, {files} files");
}
