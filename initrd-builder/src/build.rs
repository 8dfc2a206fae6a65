//! The `build` command: collects the contents, writes the archive, compresses it, puts the file in place.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::archive::Segment;
use crate::cli::BuildArgs;
use crate::codec::Codec;
use crate::compress::compress;
use crate::kernel::firmware::Firmware;
use crate::kernel::index::Index;
use crate::kernel::{self, closure};
use crate::tools::Packer;
use crate::tools::object::Object;
use crate::tools::root::Root;
use crate::tree::Tree;
use crate::{cpio, trust};

/// What was built.
#[derive(Debug)]
pub struct Built {
    /// The contents as they were written.
    pub segment: Segment,
    /// How many modules are inside.
    pub modules: usize,
    /// How many of the modules asked for are part of the kernel image.
    pub builtin: usize,
    /// What is not as it should be, one sentence each.
    pub warnings: Vec<String>,
}

/// Builds the initrd that `args` describe.
pub fn build(args: &BuildArgs) -> Result<Built> {
    let mut tree = Tree::skeleton()?;
    tree.file(trust::PATH, 0o644, trust::read(&args.trust, &args.allow_kusu)?)?;
    pack_programs(args, &mut tree)?;

    let index = Index::read(&args.modules, &args.kernel_version)?;
    let chosen = closure::choose(&index, &args.module_set, &args.module)?;
    let firmware = Firmware::new(&firmware_trees(args)?, &args.kernel_version);
    let warnings =
        kernel::pack(&mut tree, &index, &chosen, &firmware).context("packing the kernel modules")?;

    let archive = cpio::write(&tree)?;
    let stored = compress(&archive, args.level).context("compressing the initrd")?;
    replace(&args.output, &stored)?;
    let segment = Segment { codec: Codec::Zstd, stored: stored.len(), members: cpio::read(&archive)?.0 };
    Ok(Built { segment, modules: chosen.modules.len(), builtin: chosen.builtin, warnings })
}

/// `/init`, tools, and the files of `--add`.
fn pack_programs(args: &BuildArgs, tree: &mut Tree) -> Result<()> {
    let mut packer = Packer::new(Root::new(args.tools_root.clone()), tree)?;
    packer.contents("/init", 0o755, program(&args.init)?)?;
    for set in &args.tool_set {
        packer.set(*set)?;
    }
    for tool in &args.tool {
        packer.program(tool)?;
    }
    for add in &args.add {
        let (source, dest, mode, data) = added(add)?;
        packer.contents(dest, mode, data).with_context(|| format!("adding {source}"))?;
    }
    packer.finish()
}

/// Reads a program of ours. A dynamic one would fail to start as soon as one library is missing; as `/init` with a
/// kernel panic that says nothing.
pub fn program(path: &Path) -> Result<Vec<u8>> {
    let data = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    match Object::parse(&data).with_context(|| format!("reading the ELF headers of {}", path.display()))? {
        Some(object) if !object.is_static() => {
            bail!("{} is not static: build it for a musl target", path.display())
        }
        None if !data.starts_with(b"#!") => bail!("{} is no program", path.display()),
        _ => Ok(data),
    }
}

/// Splits `SRC:DEST` and reads SRC: source, destination, mode, contents.
fn added(add: &str) -> Result<(&str, &str, u32, Vec<u8>)> {
    use std::os::unix::fs::PermissionsExt;
    let (source, dest) =
        add.rsplit_once(':').with_context(|| format!("--add {add}: not of the form SRC:DEST"))?;
    let data = std::fs::read(source).with_context(|| format!("reading {source}"))?;
    trust::refuse_private(&data).with_context(|| format!("adding {source}"))?;
    let executable = std::fs::metadata(source)?.permissions().mode() & 0o111 != 0;
    Ok((source, dest, if executable { 0o755 } else { 0o644 }, data))
}

/// The firmware trees: those given, which must exist, or those of the modules' root.
fn firmware_trees(args: &BuildArgs) -> Result<Vec<PathBuf>> {
    if let Some(missing) = args.firmware.iter().find(|dir| !dir.is_dir()) {
        bail!("--firmware {} is no folder", missing.display());
    }
    let default = || ["lib/firmware", "usr/lib/firmware"].map(|dir| args.modules.join(dir)).to_vec();
    Ok(if args.firmware.is_empty() { default() } else { args.firmware.clone() })
}

/// Writes beside `path` and renames, so that a head node never serves half an initrd.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.part", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        // The write failed, which is what is reported; a leftover is all that this can fail on.
        let _ = std::fs::remove_file(&beside);
    }
    written.with_context(|| format!("writing {}", path.display()))
}
