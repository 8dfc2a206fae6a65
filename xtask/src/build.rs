//! `cargo xtask build`: the static programs, proved static.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use harness::paths;
use harness::run::{cmd, output, show};

use crate::setup::musl_script;

/// What is built: the programs of the nodes, and those of the head node.
pub const PROGRAMS: &[&str] = &["imageinit", "installer", "initrd-builder", "headnode"];

/// What scenarios boot in the place of `imageinit`; nobody gets it.
const TEST_PROGRAMS: &[&str] = &["storage-guest"];

/// Apart from each other, or the programs of the nodes would get the features that only the head node's need of the
/// crates that both use (packing, and with it the compressors).
const BUILDS: &[&[&str]] = &[&["imageinit", "installer"], &["initrd-builder", "headnode"]];

const TARGET: &str = "x86_64-unknown-linux-musl";

/// Builds [`PROGRAMS`], and those for tests, into `target/dist`.
pub fn run() -> Result<()> {
    for packages in BUILDS {
        compile(packages)?;
    }
    compile(TEST_PROGRAMS)?;
    let dist = paths::dist();
    fs::create_dir_all(&dist).with_context(|| format!("making {}", dist.display()))?;
    for name in PROGRAMS.iter().chain(TEST_PROGRAMS) {
        let built = paths::target().join(TARGET).join("dist").join(name);
        prove_static(&built)?;
        replace(&built, &dist.join(name))?;
        let bytes = fs::metadata(dist.join(name))?.len();
        println!("{bytes:>10} bytes, static: {}", dist.join(name).display());
    }
    Ok(())
}

/// The musl target may be rustup's or a toolchain of the script's: it prints the environment that selects it.
fn compile(packages: &[&str]) -> Result<()> {
    let script = r#"env=$("$0") && eval "$env" && exec cargo build --locked --profile dist --target "$@""#;
    let mut command = cmd("bash", ["-c", script]);
    command.arg(musl_script()).arg(TARGET).current_dir(paths::workspace());
    for name in packages {
        command.args(["--package", name]);
    }
    show(without_ours(&mut command)).context("building the static programs")
}

/// Takes the variables that `cargo run` set for us from a command's environment. Some build scripts look at them
/// (ring's does), and would rebuild half of the world whenever somebody calls cargo with and without xtask in turns.
pub fn without_ours(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Neither an interpreter nor a needed library: `ldd` calls some dynamic programs static, the headers do not lie.
fn prove_static(program: &Path) -> Result<()> {
    let headers = output(cmd("readelf", ["-lW"]).arg(program))?;
    ensure!(!headers.contains("INTERP"), "{} asks for an interpreter: not static", program.display());
    let dynamic = output(cmd("readelf", ["-dW"]).arg(program))?;
    ensure!(!dynamic.contains("(NEEDED)"), "{} needs shared libraries: not static", program.display());
    Ok(())
}

/// By rename: the old program may be running. Nothing is done when they are the same, so that what is made from them
/// stays valid.
fn replace(built: &Path, path: &Path) -> Result<()> {
    if fs::read(path).ok() == Some(fs::read(built).with_context(|| format!("reading {}", built.display()))?) {
        return Ok(());
    }
    let new = path.with_extension("new");
    fs::copy(built, &new).with_context(|| format!("copying {}", built.display()))?;
    fs::rename(&new, path).with_context(|| format!("renaming {}", new.display()))
}
