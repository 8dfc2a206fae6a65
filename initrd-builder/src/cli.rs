//! The command line: what can be asked, and nothing about how it is done. `docs/initrd.md` is its manual.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::kernel::sets::ModuleSet;
use crate::tools::sets::ToolSet;

/// Builds and explains Camphor's initrds. Needs neither root nor dracut.
#[derive(Debug, Parser)]
#[command(name = "initrd-builder", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build an initrd; the same inputs give the same bytes
    Build(Box<BuildArgs>),
    /// Make the segment of the package flow, to be loaded behind a distribution's initrd; the same inputs give the same
    /// bytes
    Append(AppendArgs),
    /// List what is inside an initrd (any distribution's)
    List {
        /// The initrd: cpio segments, plain or compressed with gzip, zstd, xz or lz4
        file: PathBuf,
    },
    /// Compare two initrds entry by entry; exits with 1 when they differ
    Diff {
        /// The old one
        a: PathBuf,
        /// The new one
        b: PathBuf,
    },
    /// Explain where the bytes of an initrd go
    Size {
        /// The initrd: cpio segments, plain or compressed with gzip, zstd, xz or lz4
        file: PathBuf,
    },
}

/// Inputs of `build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Kernel release, as `uname -r` prints it
    #[arg(long, value_name = "V")]
    pub kernel_version: String,

    /// Root that holds lib/modules/V with modules.dep (an unpacked kernel package after `depmod -b`, or /)
    #[arg(long, value_name = "DIR")]
    pub modules: PathBuf,

    /// Firmware tree, searched in the order given [default: lib/firmware of --modules]
    #[arg(long, value_name = "DIR")]
    pub firmware: Vec<PathBuf>,

    /// Program that becomes /init: the static imageinit
    #[arg(long, value_name = "FILE")]
    pub init: PathBuf,

    /// Trust anchors, public parts only; becomes /etc/camphor/trust.json
    #[arg(long, value_name = "FILE")]
    pub trust: PathBuf,

    /// Old Kusu head node whose unsigned NII is obeyed; goes into trust.json
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub allow_kusu: Vec<String>,

    /// Further program, with its libraries: a name, or an absolute path inside --tools-root
    #[arg(long, value_name = "NAME|PATH", value_delimiter = ',')]
    pub tool: Vec<String>,

    /// Root that tools and libraries are taken from
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub tools_root: PathBuf,

    /// Groups of programs; replaces the default
    #[arg(long, value_name = "SET", value_delimiter = ',', default_value = "ext4,xfs,vfat,busybox")]
    pub tool_set: Vec<ToolSet>,

    /// Further kernel module; it must exist in this kernel
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub module: Vec<String>,

    /// Groups of kernel modules, as far as this kernel has them; replaces the default
    #[arg(long, value_name = "SET", value_delimiter = ',', default_value = "net,storage,fs,console")]
    pub module_set: Vec<ModuleSet>,

    /// Further file; an ELF program brings its libraries from --tools-root
    #[arg(long, value_name = "SRC:DEST")]
    pub add: Vec<String>,

    /// zstd level
    #[arg(long, value_name = "N", default_value_t = crate::DEFAULT_LEVEL, value_parser = clap::value_parser!(i32).range(1..=19))]
    pub level: i32,

    /// Where the initrd is written (replaced in one step when it is complete)
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
}

/// Inputs of `append`.
#[derive(Debug, Args)]
pub struct AppendArgs {
    /// The static installer
    #[arg(long, value_name = "FILE")]
    pub installer: PathBuf,

    /// Trust anchors, public parts only; becomes /etc/camphor/trust.json
    #[arg(long, value_name = "FILE")]
    pub trust: PathBuf,

    /// The distribution's initrd: its bytes come first, unchanged [default: the segment alone]
    #[arg(long, value_name = "FILE")]
    pub initrd: Option<PathBuf>,

    /// Old Kusu head node whose unsigned NII is obeyed; goes into trust.json
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub allow_kusu: Vec<String>,

    /// Where the result is written (replaced in one step when it is complete)
    #[arg(long, visible_alias = "out", value_name = "FILE")]
    pub output: PathBuf,
}
