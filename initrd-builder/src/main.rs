//! `initrd-builder`: builds the initrd of Camphor's image flow and the segment of its package flow, and explains anybody's. `docs/initrd.md` is its manual.
//!
//! `build` collects the contents in a [`tree::Tree`] (from `kernel` and `tools`), `cpio` and `compress` write it;
//! `append` does the same for the segment;
//! `archive` reads an initrd back for `explain`, and `output` prints. Nothing here needs root, or runs a program.

mod append;
mod archive;
mod build;
mod cli;
mod codec;
mod compress;
mod cpio;
mod explain;
mod kernel;
mod lz4;
mod output;
mod pattern;
mod tools;
mod tree;
mod trust;

use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;

use cli::{AppendArgs, BuildArgs, Cli, Command};

/// The zstd level that pays: see docs/initrd.md for what was measured.
const DEFAULT_LEVEL: i32 = 10;

/// How many of the largest files `size` shows.
const LARGEST: usize = 15;

fn main() -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    let result = run(&Cli::parse().command, &mut out).and_then(|code| Ok(out.flush().map(|()| code)?));
    match result {
        Ok(code) => code,
        // `list | head` is no failure.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("initrd-builder: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(command: &Command, out: &mut impl Write) -> Result<ExitCode> {
    match command {
        Command::Build(args) => build_command(args, out)?,
        Command::Append(args) => append_command(args, out)?,
        Command::List { file } => output::list(out, &archive::read_file(file)?)?,
        Command::Size { file } => size_command(file, out)?,
        Command::Diff { a, b } => {
            let (a, b) = (archive::read_file(a)?, archive::read_file(b)?);
            let changes = explain::changes(&a, &b);
            output::diff(out, &changes)?;
            return Ok(ExitCode::from(u8::from(!changes.is_empty())));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn build_command(args: &BuildArgs, out: &mut impl Write) -> Result<()> {
    let start = Instant::now();
    let built = build::build(args)?;
    let took = start.elapsed();
    let shares = explain::shares(std::slice::from_ref(&built.segment))?;
    output::built(out, &args.output, &built, &shares, took)?;
    out.flush()?;
    for warning in &built.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(())
}

fn append_command(args: &AppendArgs, out: &mut impl Write) -> Result<()> {
    let appended = append::append(args)?;
    Ok(output::appended(out, &args.output, &appended)?)
}

fn size_command(file: &Path, out: &mut impl Write) -> Result<()> {
    let segments = archive::read_file(file)?;
    output::segments(out, &segments)?;
    output::shares(out, &explain::shares(&segments)?)?;
    output::largest(out, &explain::largest(&segments, LARGEST))?;
    Ok(())
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
