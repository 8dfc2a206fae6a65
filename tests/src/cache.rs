//! What is expensive to make and the same until its recipe changes: kept between runs, under the recipe's hash.
//!
//! The folder is `$CAMPHOR_CACHE`, else `$XDG_CACHE_HOME/camphor`, else `~/.cache/camphor`. An entry appears whole (by
//! rename) or not at all, and two processes never make the same one at once.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::{FlockOperation, flock};

/// The cache folder.
pub fn folder() -> PathBuf {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("CAMPHOR_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|cache| cache.join("camphor")))
        .or_else(|| from("HOME").map(|home| home.join(".cache/camphor")))
        .unwrap_or_else(|| PathBuf::from("/var/tmp/camphor-cache"))
}

/// The entry `name` made by `recipe`: what is there already, or what `make` now leaves at the path it is given.
///
/// `recipe` is any text that changes when the result would. An entry of the same name with another recipe is removed.
///
/// # Errors
/// When `make` fails, or the cache folder cannot be written.
pub fn entry(name: &str, recipe: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let folder = folder();
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let path = folder.join(format!("{name}-{:016x}", hash(recipe)));
    let lock = folder.join(format!("{name}.lock"));
    let lock = File::create(&lock).with_context(|| format!("opening {}", lock.display()))?;
    flock(&lock, FlockOperation::LockExclusive).context("locking the cache")?;
    if path.exists() {
        return Ok(path);
    }
    remove_older(&folder, name)?;
    let partial = folder.join(format!("{name}.partial"));
    remove(&partial)?;
    make(&partial)?;
    fs::rename(&partial, &path).with_context(|| format!("renaming {}", partial.display()))?;
    Ok(path)
}

/// The texts of the files in `folder`, for a recipe.
///
/// # Errors
/// When one cannot be read.
pub fn texts(folder: &Path) -> Result<String> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        paths.push(entry?.path());
    }
    paths.sort();
    let read =
        |path: &PathBuf| fs::read_to_string(path).with_context(|| format!("reading {}", path.display()));
    paths.iter().filter(|path| path.is_file()).map(read).collect()
}

fn remove_older(folder: &Path, name: &str) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let older = path.file_name().and_then(|file| file.to_str()).and_then(|file| {
            file.strip_prefix(name)?.strip_prefix('-').filter(|hash| hash.len() == 16 && !hash.contains('-'))
        });
        if older.is_some() {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Removes a file or a folder, whichever is there, if any.
///
/// # Errors
/// When something is there and cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
    removed.with_context(|| format!("removing {}", path.display()))
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
