//! The program as a user runs it.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod append;
mod build;
mod common;
mod explain;
