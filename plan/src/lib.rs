//! Pure planning: facts about a machine, an NII and an image's manifest go in, [`Op`]s come out. No I/O at all.
//!
//! * [`facts`]: what `host` read about the machine, plain data.
//! * [`install`]: the complete plan of an image install: [`Inputs`] -> [`Plan`], or findings.
//! * [`journal`]: the marks that an install leaves on its disk while it is in progress.
//! * [`op`]: one change to the machine each, plain data with a one-line reason.

pub mod facts;
pub mod install;
pub mod journal;
pub mod op;
mod show;

pub use facts::Facts;
pub use install::{Inputs, Plan, Stage};
pub use op::{Act, Op};
