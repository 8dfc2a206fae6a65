//! An initrd that a site makes itself, by dracut with our module, for the image flow.

use std::path::PathBuf;

use anyhow::Result;

use crate::head::prepared;
use crate::run::{cmd, output};
use crate::{artefacts, cache, paths, stock};

/// Makes it, or finds it in the cache. dracut's PID 1 in it is a shell: `rd.camphor` makes that `imageinit`.
///
/// # Errors
/// When mmdebstrap or dracut fails, or a program is not built.
pub fn initrd() -> Result<PathBuf> {
    let folder = paths::workspace().join("tests/dracut");
    let module = paths::workspace().join("dracut-module/90camphor");
    let (base, kernel, trust) = (stock::base()?, artefacts::kernel()?, prepared()?.trust);
    // The place of `trust` changes with the programs.
    let inputs = [&base, &kernel.modules, &trust].map(|path| path.display().to_string()).join(" ");
    let recipe = format!("1 {inputs} {}{}", cache::texts(&folder)?, cache::texts(&module)?);
    let made = cache::entry("dracut", &recipe, |path| {
        eprintln!("making an initrd with dracut (once, half a minute)");
        let mut command = cmd("unshare", ["--mount", "--propagation", "private"]);
        command.arg(folder.join("make.sh")).arg(&base).arg(&kernel.modules);
        command.arg(paths::program("imageinit")?).arg(&trust).arg(path);
        output(&mut command).map(drop)
    })?;
    Ok(made.join("initrd.img"))
}
