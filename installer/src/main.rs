//! `installer`: the package flow's program in a stock installer (`docs/installer.md`).
//!
//! It comes four times in an install: [`prepare`] runs in the distribution's initrd and ends with a kickstart; [`report`]
//! is called by that kickstart's `%pre` and `%onerror`; [`finish`] ends the install from its `%post`. What one leaves for the
//! next is [`state`]. The other subcommands look at what would be done.

mod cli;
mod context;
mod finish;
mod heartbeat;
mod hold;
mod logs;
mod offline;
mod prepare;
mod report;
mod state;
mod steps;

use std::process::ExitCode;

use anyhow::Result;
use cli::Command;
use host::linux::cores;

fn main() -> ExitCode {
    let done = cores::none().and_then(|()| cli::parse(std::env::args().skip(1))).and_then(carry_out);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("installer: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(command: Command) -> Result<()> {
    match command {
        Command::Prepare { out } => prepare::run(&out),
        Command::Finish { root } => finish::run(&root),
        Command::ReportBegin => report::begin(),
        Command::ReportFailed(reason) => report::failed(&reason),
        Command::Heartbeat => heartbeat::run(),
        Command::Kickstart { inputs, template } => offline::kickstart(&inputs, template.as_deref()),
        Command::Plan(inputs, output) => offline::plan(&inputs, output),
        Command::Facts => offline::facts(),
        Command::List => offline::list(),
        Command::Help => offline::help(),
    }
}
