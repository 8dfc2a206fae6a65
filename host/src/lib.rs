//! The side-effect wall: everything that touches the machine goes through [`Machine`].
//!
//! Facts come in, [`plan::Op`]s go out, bytes come from the head node. Programs above this crate (`imageinit`,
//! `installer`) decide nothing about *how*; tests replace the machine by a recorder that can fail at op *k*.

pub mod machine;

pub use machine::{Applied, ApplyError, FetchError, Machine, Request, Watch};
