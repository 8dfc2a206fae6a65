//! The head node of a Camphor cluster: one process, one data folder.
//!
//! * [`cli`], [`ranges`], [`commands`], [`output`]: what admins type and see.
//! * [`admin`]: admins who are elsewhere.
//! * [`addhost`]: machines become nodes.
//! * [`input`]: files that are named on the command line.
//! * [`store`], [`state`], [`report`]: what is known, and what may follow what. [`store_file`]: all of it as YAML.
//! * [`document`], [`recipe`]: from a group's document to a node's NII.
//! * [`scripts`], [`logs`], [`escrow`]: what package installs take, and leave with us.
//! * [`script`], [`cpio`], [`netboot`], [`boot_files`], [`localboot`]: what firmware gets.
//! * [`http`], [`dhcp`], [`serve`]: the running server. [`meter`]: who asks too often.
//! * [`doctor`]: what keeps nodes from booting.
//! * [`rollout`], [`site`]: many nodes, some at a time; commands of the site.
//! * [`tpm`]: sessions that are for one chip only.
//! * [`keys`], [`data_dir`], [`owner`], [`sealed`]: secrets, where they lie, and whose they are. [`initrd_trust`]: who believes them.

mod addhost;
mod addresses;
mod admin;
mod boot_files;
mod cli;
mod clock;
mod commands;
mod cpio;
mod data_dir;
mod dhcp;
mod doctor;
mod document;
mod escrow;
#[cfg(test)]
#[path = "../../fuzz/src/head.rs"]
mod fuzz;
mod http;
mod initrd_trust;
mod input;
mod keys;
mod localboot;
mod log;
mod logs;
mod meter;
mod names;
mod netboot;
mod os;
mod output;
mod owner;
mod plugins;
mod ranges;
mod recipe;
mod report;
mod rollout;
mod script;
mod scripts;
mod sealed;
mod serve;
mod site;
mod site_import;
mod state;
mod store;
mod store_file;
mod tpm;

use std::process::ExitCode;

use clap::Parser as _;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// musl's allocator is several times slower under threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match admin::command::called() {
        Ok(Some(call)) => cli::Cli::parse_from(call),
        Ok(None) => cli::Cli::parse(),
        Err(error) => {
            log::line(format_args!("{error:#}"));
            return ExitCode::FAILURE;
        }
    };
    // dnsmasq is started from this thread, which `block_on` keeps: it ends with the thread that started it.
    let outcome = owner::become_owner(&cli.data_dir, &cli.command)
        // A crash leaves no core with keys in it, and no other program of this user looks into our memory.
        .and_then(|()| Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?))
        .and_then(|()| Ok(tokio::runtime::Runtime::new()?))
        .and_then(|runtime| runtime.block_on(commands::run(cli)));
    match outcome {
        Ok(status) => status,
        Err(error) => {
            log::line(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
