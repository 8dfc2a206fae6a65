//! `storage-guest`: what the storage scenarios boot in the place of `imageinit`. It installs layouts on real disks with
//! the real machine of `host`, and a few files in the place of an image.
//!
//! As PID 1 it is the [`judge`]: it reads the [`cases`], starts this program again as [`worker`], kills it when the case
//! says so, starts it once more, has the outcome looked at (also whether what is [`kept`] is the same), and says on the console how each went.

#![allow(clippy::print_stdout, reason = "the console, and the worker's way to talk to the judge")]

mod cases;
mod check;
mod judge;
mod kept;
mod worker;

use std::process::ExitCode;

use anyhow::{Result, bail};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("failed {}", format!("{error:#}").replace('\n', " | "));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[&str]) -> Result<()> {
    match arguments {
        ["install", case, arming, attempt] => {
            worker::install(&cases::read()?.pick(case)?, arming.parse()?, attempt.parse()?)
        }
        ["check", case, arming] => check::run(&cases::read()?.pick(case)?, arming.parse()?),
        _ if std::process::id() == 1 => judge::run(),
        _ => bail!("this is PID 1 of a machine for tests"),
    }
}
