//! `headnode backup` and `headnode restore`: what a head node cannot do without, in one file behind a passphrase.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path};

use anyhow::{Context as _, Result, ensure};
use zeroize::Zeroizing;

use super::{Context, backup, password};
use crate::cli::Output;
use crate::cpio::{self, File};
use crate::data_dir::{DataDir, write_private};
use crate::{keys, log, sealed};

const DATABASE: &str = "camphor.db";
/// Of the data folder; what is not here is large and has a source elsewhere, or is made anew.
const FOLDERS: &[&str] = &["keys", "scripts", "plugins.d"];
/// Who has the file may try passphrases for ever.
const SHORTEST: usize = 12;

pub(super) async fn backup(context: &Context, target: &Path) -> Result<()> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        collect(context.dir.root(), Path::new(folder), &mut files)?;
    }
    let scratch =
        tempfile::tempdir_in(context.dir.run("")).context("making a folder for the store's copy")?;
    let copy = scratch.path().join(DATABASE);
    context.store.copy_to(&copy).await?;
    let data = Zeroizing::new(fs::read(&copy).context("reading the store's copy")?);
    files.push(File { name: DATABASE.to_owned(), mode: 0o600, data });
    let passphrase = password::twice("Passphrase of the backup: ")?;
    ensure!(
        passphrase.chars().count() >= SHORTEST,
        "the passphrase has less than {SHORTEST} characters: who finds the file can try them all"
    );
    write_private(target, &sealed::seal(&passphrase, cpio::archive(&files))?)?;
    log::line(format_args!(
        "{} files; without its passphrase it is worth nothing. Images, kernels and distributions are not in it",
        files.len()
    ));
    Ok(())
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<File>) -> Result<()> {
    let path = root.join(folder);
    if !path.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(&path).with_context(|| format!("reading {}", path.display()))? {
        let entry = entry?;
        let name = folder.join(entry.file_name());
        // Links as what they point to: it is that which `serve` uses.
        let metadata = fs::metadata(entry.path()).with_context(|| format!("reading {}", name.display()))?;
        if metadata.is_dir() {
            collect(root, &name, files)?;
        } else if metadata.is_file() {
            let data = fs::read(entry.path()).with_context(|| format!("reading {}", name.display()))?;
            let name = name.to_str().with_context(|| format!("{} is no text", name.display()))?.to_owned();
            let mode = metadata.permissions().mode() & 0o777;
            files.push(File { name, mode, data: Zeroizing::new(data) });
        }
    }
    Ok(())
}

/// Into a folder that is no head node's yet.
pub(super) async fn restore(folder: &Path, source: &Path) -> Result<()> {
    ensure!(
        !folder.join(DATABASE).exists(),
        "{} is a head node's data folder already: --data-dir names one that is not",
        folder.display()
    );
    let bytes = fs::read(source).with_context(|| format!("reading {}", source.display()))?;
    let passphrase = password::once("Passphrase of the backup: ")?;
    let about = || format!("opening {}", source.display());
    let archive = sealed::open(&passphrase, &bytes).with_context(about)?;
    let (mut files, _) = cpio::files(&archive);
    for File { name, .. } in &files {
        let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        ensure!(inside, "{}: `{name}` is no file of a data folder", source.display());
    }
    let dir = DataDir::create(folder)?;
    // The store comes last: without it the folder is none, and this can be done again.
    files.sort_by_key(|file| file.name == DATABASE);
    for File { name, mode, data } in &files {
        let path = dir.root().join(name);
        let parent = path.parent().context("a file needs a folder")?;
        fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        write_private(&path, data)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(*mode))
            .with_context(|| format!("setting the mode of {}", path.display()))?;
    }
    keys::ensure(&dir)?;
    let context = Context::open(folder, Output::Table, false).await?;
    log::line(format_args!("{} files; `headnode doctor` says what else is missing", files.len()));
    backup::tell_missing(&context).await
}
