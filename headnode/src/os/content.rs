//! What is known of an imported tree, what its folder is called, and where it is served. Pure.

use nii::v1::Distribution;
use serde::{Deserialize, Serialize};

use crate::names::is_name;

/// No name has it, and no URL needs it escaped.
const SEPARATOR: char = '~';

/// A tree that was imported, as the store has it.
#[derive(Clone, Debug)]
pub struct Os {
    /// Its name.
    pub name: String,
    /// Which version of that name ([`super::versions`]).
    pub version: String,
    /// What it is.
    pub content: Content,
    /// The folder that it was linked to, if it was not copied.
    pub link: Option<String>,
    /// Sum of its files' sizes, in bytes.
    pub size: u64,
    /// Number of its files.
    pub files: u64,
    /// When it was imported, milliseconds since 1970.
    pub imported_at: i64,
}

/// What is in a tree. Paths are relative to it, normal, and empty for the tree itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// For people: `Rocky Linux 9.6`.
    pub title: String,
    /// The release.
    pub os: Distribution,
    /// The folder of `.treeinfo`: what anaconda is given as its source.
    pub root: String,
    /// The kernel.
    pub kernel: String,
    /// The initrd.
    pub initrd: String,
    /// Anaconda's second stage.
    pub stage2: String,
    /// The repositories, the one that anaconda finds by itself first.
    pub repositories: Vec<Repository>,
}

/// A repository of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// Its name, as in `AppStream`.
    pub name: String,
    /// Its folder.
    pub path: String,
    /// Whether installs use it unless told otherwise.
    pub used: bool,
}

/// Where trees are over plain HTTP.
pub const PATH: &str = "/os";

impl Os {
    /// Where `path` of this version is over plain HTTP.
    pub fn url(&self, http: &str, path: &str) -> String {
        let url = format!("{http}{PATH}/{}/{path}", folder_name(&self.name, &self.version));
        url.trim_end_matches('/').to_owned()
    }
}

/// The folder of a version.
pub fn folder_name(name: &str, version: &str) -> String {
    format!("{name}{SEPARATOR}{version}")
}

/// Name and version, if `folder` is [`folder_name`]'s.
pub fn parse_folder(folder: &str) -> Option<(&str, &str)> {
    folder.split_once(SEPARATOR).filter(|(name, version)| is_name(name) && is_name(version))
}
