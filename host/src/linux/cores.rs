//! Memory with secrets in it stays memory: a program that crashes leaves no core(5) behind.

use anyhow::Context as _;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// No core of this program, which no other one may trace either (`PR_SET_DUMPABLE` of prctl(2): also where cores go to a
/// program), and none of those that it starts, unless they ask for it.
///
/// # Errors
/// When the kernel refuses.
pub fn none() -> anyhow::Result<()> {
    let limit = Rlimit { current: Some(0), ..getrlimit(Resource::Core) };
    setrlimit(Resource::Core, limit).context("limiting core files to none")?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("keeping this program's memory to itself")
}
