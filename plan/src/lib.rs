//! Pure planning: facts about a machine, an NII and an image's manifest go in, [`Op`]s come out. No I/O at all.
//!
//! * [`facts`]: what `host` read about the machine, plain data.
//! * [`op`]: one change to the machine each, plain data with a one-line reason.
//! * [`install`]: the complete plan of an image install: [`Inputs`] -> [`Plan`], or findings. It is put together from
//!   `preflight` (RAM, kernels), `disks` and [`table`] (which disk, where the partitions go), `filesystems` and
//!   [`mkfs`], `configure` (files of the new root) and `bootloader`.
//! * `complete`: what the firmware needs and the document has not; every plan begins with it.
//! * [`stack`]: arrays, encrypted devices and volumes between partitions and file systems.
//! * [`network`]: the node's own network while it installs.
//! * [`package`]: the plans of a package install, before and after anaconda's work.
//! * [`kickstart`]: the kickstart of a package install.
//! * [`profile()`]: the NII for the site's scripts.
//! * [`journal`]: the marks that an install leaves on its disk while it is in progress.
//! * [`teardown`]: what the kernel has built on the disks, and how it is let go before they are written.
//! * [`wipe`]: how old contents are made unreadable.
//! * [`targets()`]: the disks that an install goes to, and what of them it leaves alone.
//! * [`leftovers()`]: disks that an earlier attempt wrote, and this one would not.
//! * [`summary()`]: what is lost, kept and made, and [`render`]: every op; both for people.

mod bootloader;
mod complete;
mod configure;
mod disks;
pub mod facts;
mod filesystems;
mod ids;
pub mod install;
pub mod journal;
pub mod kickstart;
mod leftovers;
pub mod mkfs;
mod names;
pub mod network;
pub mod op;
mod os;
pub mod package;
mod partition;
mod parts;
mod preflight;
pub mod profile;
mod show;
pub mod stack;
mod summary;
pub mod table;
mod targets;
pub mod teardown;
mod units;
pub mod wipe;

pub use facts::Facts;
pub use ids::filesystem_text;
pub use install::{Inputs, Plan, Stage};
pub use leftovers::leftovers;
pub use op::{Act, Op};
pub use profile::profile;
pub use show::render;
pub use summary::{DiskSummary, Row, Summary, summary};
pub use targets::{Target, targets};
