//! The side-effect wall: everything that touches the machine goes through [`Machine`].
//!
//! Facts come in, [`plan::Op`]s go out, bytes come from the head node. Programs above this crate (`imageinit`,
//! `installer`) decide nothing about *how*; tests replace the machine by a [`recorder`] that can fail at op *k*.
//!
//! * [`machine`]: the trait; [`journal`]: how far an install came, by its disks.
//! * [`runner`], [`tracker`], [`hints`]: running a table of steps, and telling people and the head node about it.
//! * [`kusu`]: an old Kusu head node in the place of camphor's.
//! * [`observers`], [`console`]: the lines on the screen, the failure screen and what follows it; [`cmdline`]: the kernel
//!   command line.
//! * [`settle`], [`keep`]: planning once the disks are there; host keys that outlive an install.
//! * [`linux`]: the real machine; [`net`]: its network and the head node; [`recorder`]: the machine for tests.

pub mod cmdline;
pub mod console;
pub mod hints;
pub mod journal;
pub mod keep;
pub mod kusu;
pub mod linux;
pub mod machine;
pub mod net;
pub mod observers;
pub mod output;
pub mod recorder;
pub mod runner;
pub mod settle;
pub mod tracker;

pub use machine::{Applied, ApplyError, FetchError, Machine, Request, Salvage, Watch};
pub use runner::Step;
pub use tracker::{Note, Observer, Tracker};
