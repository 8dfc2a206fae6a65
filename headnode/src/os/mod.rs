//! Distributions that package installs come from: a tree with anaconda's kernel, initrd and second stage, and
//! repositories, as DVDs and mirrors have it.
//!
//! * [`content`]: what is known of a tree that was imported.
//! * [`treeinfo`]: what a tree says of itself.
//! * [`source`]: what is in an ISO.
//! * [`tree`]: whether all of it is there, and what it is; `repomd` reads what repositories say of themselves.
//! * [`files`]: the files of a tree: none leads out of it, and all are copied.
//! * [`versions`]: trees in the data folder, by name and version.
//!
//! What a tree becomes for nodes is [`crate::document`]'s and [`crate::recipe`]'s.

pub mod content;
pub mod files;
pub mod repomd;
pub mod source;
pub mod tree;
pub mod treeinfo;
pub mod versions;

pub use content::{Content, Os, PATH, Repository, folder_name, parse_folder};
