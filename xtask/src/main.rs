//! `cargo xtask`: the project's own commands.

#![allow(clippy::print_stdout, reason = "a program for a terminal")]

mod bench;
mod build;
mod demo;
mod fuzz;
mod setup;
mod size;
mod test;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
cargo xtask COMMAND

  setup          install what is missing: packages, the static toolchain, the test root
  build          the static programs, to target/dist
  test [FILTER]  everything; with FILTER, the end-to-end scenarios whose names contain it
  lint           formatting, clippy, licences and bans
  demo           install a node before your eyes, in QEMU
  bench [FILTER] speed and memory against the field's tools: initrd, unpack, head
  size           programs and initrds against their budget
  soak [N]       the end-to-end scenarios, N times (10)
  soak cuts [N]  N power cuts of recorded installs (200)
  soak ops       a kill at each op of every layout, and an install again
  soak layouts   an install on every layout, and its boot
  soak fuzz [M]  parsers of what anybody may send under a fuzzer, M minutes each (10)
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo xtask {}: {error:#}", args.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[&str]) -> Result<()> {
    match args {
        ["setup"] => setup::run(),
        ["build"] => build::run(),
        ["test"] => test::everything(),
        ["test", filter] => test::scenarios(filter),
        ["bench"] => bench::run(""),
        ["bench", filter] => bench::run(filter),
        ["demo"] => demo::run(),
        ["lint"] => test::lint(),
        ["size"] => size::run(),
        ["soak"] => test::soak(10),
        ["soak", "fuzz"] => fuzz::run(10),
        ["soak", "fuzz", minutes] => fuzz::run(minutes.parse()?),
        ["soak", "cuts"] => test::cuts(200),
        ["soak", "cuts", count] => test::cuts(count.parse()?),
        ["soak", "ops"] => test::ops(),
        ["soak", "layouts"] => test::layouts(),
        ["soak", times] => test::soak(times.parse()?),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => bail!("no such command\n\n{USAGE}"),
    }
}
