//! Distributions that package installs come from: a tree with anaconda's kernel, initrd and second stage, and
//! repositories, as DVDs and mirrors have it.
//!
//! * [`treeinfo`]: what a tree says of itself.
//! * [`source`]: what is in an ISO.
//! * [`tree`]: whether all of it is there, and what it is; `repomd` reads what repositories say of themselves.
//! * [`files`]: the files of a tree: none leads out of it, and all are copied.
//! * [`versions`]: trees in the data folder, by name and version.
//!
//! What a tree becomes for nodes is [`crate::document`]'s and [`crate::recipe`]'s.

pub mod files;
mod repomd;
pub mod source;
pub mod tree;
pub mod treeinfo;
pub mod versions;

use nii::v1::Distribution;
use serde::{Deserialize, Serialize};

/// A tree that was imported, as the store has it.
#[derive(Clone, Debug)]
pub struct Os {
    /// Its name.
    pub name: String,
    /// Which version of that name ([`versions`]).
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
        let url = format!("{http}{PATH}/{}/{path}", versions::folder_name(&self.name, &self.version));
        url.trim_end_matches('/').to_owned()
    }
}
