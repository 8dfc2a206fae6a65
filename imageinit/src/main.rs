//! `imageinit`: PID 1 of Camphor's initrd, and the image flow (`docs/imageinit.md`).
//!
//! As PID 1 it is the [`supervisor`], one thread, which starts this program again as the worker: [`worker`] runs the
//! table of [`steps`]. The other subcommands look at what the two would do.

mod cli;
mod context;
mod observers;
mod offline;
mod outcome;
mod steps;
mod supervisor;
mod worker;

use std::process::ExitCode;

use cli::Command;

/// musl's allocator is several times slower under threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done = match cli::parse(std::env::args().skip(1)) {
        Ok(Command::Init) => supervisor::run(),
        Ok(Command::Run) => return worker::run(),
        Ok(Command::List) => offline::list(),
        Ok(Command::Plan(inputs, output)) => offline::plan(&inputs, output),
        Ok(Command::Facts) => offline::facts(),
        Ok(Command::Unpack(image)) => offline::unpack(&image),
        Ok(Command::Help) => offline::help(),
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("imageinit: {error:#}");
            ExitCode::FAILURE
        }
    }
}
