//! The folder of plugins: which there are, in what order, and how they are taken.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::names::is_name;

/// An executable of the folder.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// Its file's name.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Whether a command fails with it.
    pub required: bool,
    /// What a call may take.
    pub deadline: Duration,
    /// Why it cannot be called: its settings cannot be read.
    pub broken: Option<String>,
}

/// `NAME.toml`, beside the plugin NAME.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    policy: Policy,
    deadline_s: Option<u32>,
}

/// What a failure means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Policy {
    /// A line in the log.
    #[default]
    BestEffort,
    /// The command fails.
    Required,
}

const DEADLINE_S: u32 = 60;

/// The plugins in `folder`, in the order in which they are called: that of their names. None if there is no such folder.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<Plugin>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("reading {}", folder.display()))?,
    };
    let mut plugins = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("reading {}", folder.display()))?.path();
        // Backups of editors (`x~`, `.x.swp`) are no names; settings and notes are not executable.
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| is_name(name));
        if let Some(name) = name.filter(|_| is_executable(&path)) {
            plugins.push(plugin(name, &path));
        }
    }
    plugins.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(plugins)
}

/// A link counts as what it points to.
fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Whoever wrote settings that cannot be read wanted something: then the plugin is required.
fn plugin(name: &str, path: &Path) -> Plugin {
    let settings = path.with_file_name(format!("{name}.toml"));
    let (read, broken) = match fs::read_to_string(&settings) {
        Err(error) if error.kind() == ErrorKind::NotFound => (Settings::default(), None),
        Err(error) => (Settings::default(), Some(error.to_string())),
        Ok(text) => match toml_edit::de::from_str(&text) {
            Ok(settings) => (settings, None),
            Err(error) => (Settings::default(), Some(error.to_string())),
        },
    };
    Plugin {
        name: name.to_owned(),
        path: path.to_owned(),
        required: read.policy == Policy::Required || broken.is_some(),
        deadline: Duration::from_secs(read.deadline_s.unwrap_or(DEADLINE_S).into()),
        broken: broken.map(|why| format!("reading {}: {}", settings.display(), why.trim_end())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let add = |name: &str, text: &str, mode: u32| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        for name in ["50-b", "09-a", "50-b~", ".50-c.swp", "60-broken"] {
            add(name, "#!/bin/sh\n", 0o755);
        }
        add("notes", "", 0o644);
        add("50-b.toml", "policy = \"required\"\ndeadline_s = 3\n", 0o644);
        add("60-broken.toml", "polcy = \"required\"\n", 0o644);
        fs::create_dir(folder.path().join("dir")).unwrap();
        std::os::unix::fs::symlink("/bin/sh", folder.path().join("70-link")).unwrap();
        let plugins = list(folder.path()).unwrap();
        let seen: Vec<_> = plugins
            .iter()
            .map(|plugin| (plugin.name.as_str(), plugin.required, plugin.deadline.as_secs()))
            .collect();
        assert_eq!(
            seen,
            [("09-a", false, 60), ("50-b", true, 3), ("60-broken", true, 60), ("70-link", false, 60)]
        );
        let broken: Vec<bool> = plugins.iter().map(|plugin| plugin.broken.is_some()).collect();
        assert_eq!(broken, [false, false, true, false]);
        assert!(list(&folder.path().join("none")).unwrap().is_empty());
    }
}
