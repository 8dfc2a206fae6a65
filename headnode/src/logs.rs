//! Logs that nodes send (`POST /api/v1/log`): `logs/<node>/<attempt>/<name>`, each 0600.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};
use uuid::Uuid;

use crate::data_dir::{DataDir, write_private};
use crate::names::is_name;

/// Size limit of a log.
pub const LOG_MAX: usize = 8 << 20;
/// How many logs an attempt may have.
pub const LOGS_MAX: usize = 32;
/// How many attempts of a node have logs; those of older ones go.
const ATTEMPTS_MAX: usize = 10;

/// A log that is kept.
#[derive(Clone, Debug)]
pub struct Log {
    /// The attempt that it is of.
    pub attempt: Uuid,
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it came.
    pub at: SystemTime,
    /// Where it is.
    pub path: PathBuf,
}

/// Keeps a log of a node's attempt, in the place of one of the same name. False: the attempt has [`LOGS_MAX`] others
/// already. Not to be called twice at once.
///
/// # Errors
/// When `node` or `name` is no name, or the data folder cannot be written.
pub fn keep(dir: &DataDir, node: &str, attempt: Uuid, name: &str, bytes: &[u8]) -> Result<bool> {
    ensure!(is_name(node) && is_name(name), "`{node}/{name}` is no place for a log");
    let of_node = dir.logs(node);
    let folder = of_node.join(attempt.to_string());
    if !folder.exists() {
        forget_oldest(&of_node)?;
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let others = entries(&folder)?.filter(|(other, _)| is_name(other) && other != name).count();
    if others >= LOGS_MAX {
        return Ok(false);
    }
    write_private(&folder.join(name), bytes)?;
    Ok(true)
}

/// Makes room for one more attempt.
fn forget_oldest(of_node: &Path) -> Result<()> {
    let mut attempts: Vec<(SystemTime, PathBuf)> = Vec::new();
    for (_, path) in entries(of_node)? {
        attempts.push((changed(&path)?, path));
    }
    attempts.sort();
    let surplus = (attempts.len() + 1).saturating_sub(ATTEMPTS_MAX);
    for (_, path) in attempts.iter().take(surplus) {
        fs::remove_dir_all(path).with_context(|| format!("removing {}", path.display()))?;
    }
    Ok(())
}

/// A node's logs, by attempt and name.
///
/// # Errors
/// When the data folder cannot be read.
pub fn list(dir: &DataDir, node: &str) -> Result<Vec<Log>> {
    let mut logs = Vec::new();
    for (attempt, folder) in entries(&dir.logs(node))? {
        let Ok(attempt) = attempt.parse() else { continue };
        for (name, path) in entries(&folder)?.filter(|(name, _)| is_name(name)) {
            let size = fs::metadata(&path).with_context(|| format!("reading {}", path.display()))?.len();
            logs.push(Log { attempt, name, size, at: changed(&path)?, path });
        }
    }
    logs.sort_by(|a, b| (a.attempt, &a.name).cmp(&(b.attempt, &b.name)));
    Ok(logs)
}

/// Removes all logs of a node.
///
/// # Errors
/// When they cannot be removed.
pub fn forget(dir: &DataDir, node: &str) -> Result<()> {
    let folder = dir.logs(node);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Names and paths in a folder, which need not be there.
fn entries(folder: &Path) -> Result<impl Iterator<Item = (String, PathBuf)> + use<>> {
    let found = match fs::read_dir(folder) {
        Ok(found) => found.collect::<Result<Vec<_>, _>>(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let found = found.with_context(|| format!("reading {}", folder.display()))?;
    Ok(found
        .into_iter()
        .filter_map(|entry| entry.file_name().into_string().ok().map(|name| (name, entry.path()))))
}

fn changed(path: &Path) -> Result<SystemTime> {
    fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn fresh() -> (tempfile::TempDir, DataDir) {
        let scratch = tempfile::tempdir().unwrap();
        let dir = DataDir::create(&scratch.path().join("data")).unwrap();
        (scratch, dir)
    }

    #[test]
    fn logs_are_private_and_replaced_by_name() {
        let (_scratch, dir) = fresh();
        let attempt = Uuid::new_v4();
        assert!(keep(&dir, "n1", attempt, "anaconda.log", b"old").unwrap());
        assert!(keep(&dir, "n1", attempt, "anaconda.log", b"new!").unwrap());
        assert!(keep(&dir, "n2", attempt, "anaconda.log", b"another's").unwrap());
        let logs = list(&dir, "n1").unwrap();
        assert_eq!((logs.len(), logs[0].size, logs[0].attempt), (1, 4, attempt));
        let mode = fs::metadata(&logs[0].path).unwrap().permissions().mode();
        assert_eq!((mode & 0o777, fs::read(&logs[0].path).unwrap()), (0o600, b"new!".to_vec()));
        forget(&dir, "n1").unwrap();
        forget(&dir, "n1").unwrap();
        assert_eq!((list(&dir, "n1").unwrap().len(), list(&dir, "n2").unwrap().len()), (0, 1));
    }

    #[test]
    fn attempts_and_their_logs_are_counted() {
        let (_scratch, dir) = fresh();
        let attempt = Uuid::new_v4();
        for i in 0..LOGS_MAX {
            assert!(keep(&dir, "n1", attempt, &format!("{i}.log"), b"x").unwrap());
        }
        assert!(!keep(&dir, "n1", attempt, "more.log", b"x").unwrap());
        assert!(keep(&dir, "n1", attempt, "3.log", b"again").unwrap(), "one of them may come again");
        for _ in 0..ATTEMPTS_MAX {
            assert!(keep(&dir, "n1", Uuid::new_v4(), "a.log", b"x").unwrap());
        }
        let logs = list(&dir, "n1").unwrap();
        assert_eq!(logs.len(), ATTEMPTS_MAX);
        assert!(logs.iter().all(|log| log.attempt != attempt), "the oldest is gone");
    }

    #[test]
    fn nothing_is_written_elsewhere() {
        let (_scratch, dir) = fresh();
        for (node, name) in [("n1", "../x"), ("n1", ".."), ("..", "x"), ("n1", ""), ("n1", "a/b")] {
            assert!(keep(&dir, node, Uuid::new_v4(), name, b"x").is_err(), "{node} {name}");
        }
    }
}
