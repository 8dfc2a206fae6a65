//! Files that plugins write: whole or not at all, with the mode, owner and label that they had.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::names::is_name;

/// Around a block in a file that is somebody else's.
const BEGIN: &str = "# BEGIN camphor: written by headnode, changes within are lost";
const END: &str = "# END camphor";
/// In a folder of ours: which files in it are.
const LIST: &str = ".camphor";
/// SELinux' label.
const LABEL: &str = "security.selinux";
const LABEL_MAX: usize = 1024;

/// Makes `text` the content of a file; whether it was another before. Of a link, the file that it points to.
///
/// # Errors
/// When it cannot be read or written.
pub fn write(path: &Path, text: &str) -> Result<bool> {
    let path = resolved(path)?;
    let old = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        old => Some(old.with_context(|| format!("reading {}", path.display()))?),
    };
    if old.as_deref() == Some(text.as_bytes()) {
        return Ok(false);
    }
    replace(&path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(true)
}

/// Makes `text` the content of our block in a file; the rest stays as it is. Whether it was another before.
///
/// # Errors
/// When it cannot be read or written, or its block has no end.
pub fn write_block(path: &Path, text: &str) -> Result<bool> {
    let old = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        old => old.with_context(|| format!("reading {}", path.display()))?,
    };
    let new = with_block(&old, text).with_context(|| format!("writing {}", path.display()))?;
    write(path, &new)
}

/// Makes these the files of ours in a folder; those that were ours and are not among them go. Whether anything changed.
///
/// # Errors
/// When a name is none, or the folder cannot be read or written.
pub fn write_all(folder: &Path, files: &[(String, String)]) -> Result<bool> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let mut changed = false;
    let now: BTreeSet<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    for name in &now {
        ensure!(is_name(name), "`{name}` is no name of a file");
    }
    let list = folder.join(LIST);
    let listed = fs::read_to_string(&list).unwrap_or_default();
    let before: BTreeSet<&str> = listed.lines().filter(|name| is_name(name)).collect();
    // A file is ours before it is there, and until it is gone.
    let both: Vec<&str> = before.union(&now).copied().collect();
    write(&list, &lines(both))?;
    for (name, text) in files {
        changed |= write(&folder.join(name), text)?;
    }
    for gone in before.difference(&now) {
        let path = folder.join(gone);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            removed => {
                removed.with_context(|| format!("removing {}", path.display()))?;
                changed = true;
            }
        }
    }
    write(&list, &lines(now))?;
    Ok(changed)
}

fn lines<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("{name}\n")).collect()
}

fn with_block(old: &str, text: &str) -> Result<String> {
    let block = format!("{BEGIN}\n{text}{END}\n");
    let line = |wanted: &str| {
        let mut at = 0;
        old.split_inclusive('\n').find_map(|line| {
            let here = (at, at + line.len());
            at = here.1;
            (line.trim_end() == wanted).then_some(here)
        })
    };
    match (line(BEGIN), line(END)) {
        (Some((begin, _)), Some((_, end))) if begin < end => {
            Ok(format!("{}{block}{}", &old[..begin], &old[end..]))
        }
        (None, None) => {
            let gap = if old.is_empty() || old.ends_with('\n') { "" } else { "\n" };
            Ok(format!("{old}{gap}{block}"))
        }
        _ => {
            anyhow::bail!("it has `{BEGIN}` without `{END}`, or the other way round: put that right by hand")
        }
    }
}

fn resolved(path: &Path) -> Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(path.to_owned()),
        found => found.with_context(|| format!("resolving {}", path.display())),
    }
}

fn replace(path: &Path, text: &str) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    let (mut mode, mut owner) = (0o644, None);
    if let Ok(old) = fs::metadata(path) {
        mode = old.mode() & 0o7777;
        owner = Some((old.uid(), old.gid()));
        keep_label(path, file.path());
    }
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::fchown(file.as_file(), Some(uid), Some(gid))?;
    }
    file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    fs::File::open(folder)?.sync_all()?;
    Ok(())
}

/// A new file has its folder's label, and /etc/hosts, for one, has another. Where there are no labels nothing is to do.
fn keep_label(from: &Path, to: &Path) {
    let mut label = [0; LABEL_MAX];
    if let Ok(length) = rustix::fs::getxattr(from, LABEL, &mut label) {
        let _ = rustix::fs::setxattr(to, LABEL, &label[..length], rustix::fs::XattrFlags::empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        fs::write(&path, "127.0.0.1 localhost").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(write_block(&path, "10.1.0.1 n1\n").unwrap());
        let added = format!("127.0.0.1 localhost\n{BEGIN}\n10.1.0.1 n1\n{END}\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), added);
        fs::write(&path, format!("{added}10.9.9.9 mine\n")).unwrap();
        assert!(write_block(&path, "10.1.0.2 n2\n").unwrap());
        assert!(!write_block(&path, "10.1.0.2 n2\n").unwrap(), "nothing is new");
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("127.0.0.1 localhost\n{BEGIN}\n10.1.0.2 n2\n{END}\n10.9.9.9 mine\n"));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        fs::write(&path, format!("{BEGIN}\n")).unwrap();
        assert!(write_block(&path, "").is_err());
    }

    #[test]
    fn a_link_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        assert!(write(&link, "new").unwrap());
        assert_eq!((fs::read_to_string(&file).unwrap().as_str(), link.is_symlink()), ("new", true));
    }

    #[test]
    fn only_files_of_ours_go() {
        let folder = tempfile::tempdir().unwrap();
        let of = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
        let (two, one): (Vec<_>, Vec<_>) = (of(&["a", "b"]), of(&["b"]));
        fs::write(folder.path().join("default"), "theirs").unwrap();
        assert!(write_all(folder.path(), &two).unwrap());
        assert!(write_all(folder.path(), &one).unwrap());
        assert!(!write_all(folder.path(), &one).unwrap());
        let there: Vec<bool> =
            ["a", "b", "default"].iter().map(|name| folder.path().join(name).exists()).collect();
        assert_eq!(there, [false, true, true]);
        assert!(write_all(folder.path(), &of(&["../x"])).is_err());
    }
}
