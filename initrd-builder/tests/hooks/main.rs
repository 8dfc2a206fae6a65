//! The shell files of `dracut-module/`: their form, and what they do when dracut sources them.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod flow;
mod form;
mod image;
mod initrd;
