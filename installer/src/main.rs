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

use cli::Command;

fn main() -> ExitCode {
    let done = match cli::parse(std::env::args().skip(1)) {
        Ok(Command::Prepare { out }) => prepare::run(&out),
        Ok(Command::Finish { root }) => finish::run(&root),
        Ok(Command::ReportBegin) => report::begin(),
        Ok(Command::ReportFailed(reason)) => report::failed(&reason),
        Ok(Command::Heartbeat) => heartbeat::run(),
        Ok(Command::Kickstart { inputs, template }) => offline::kickstart(&inputs, template.as_deref()),
        Ok(Command::Plan(inputs, output)) => offline::plan(&inputs, output),
        Ok(Command::Facts) => offline::facts(),
        Ok(Command::List) => offline::list(),
        Ok(Command::Help) => offline::help(),
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("installer: {error:#}");
            ExitCode::FAILURE
        }
    }
}
