//! Why an import ended.

use std::io;
use std::path::{Path, PathBuf};

use nii::manifest::ManifestError;
use thiserror::Error;

use super::secrets::Secret;
use crate::acl::AclError;
use crate::path::PathError;
use crate::tar::member::TarError;

/// See the module.
#[derive(Debug, Error)]
pub enum ImportError {
    /// A file could not be read or written.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] TarError),
    /// A member that no node would unpack.
    #[error("member {member:?}: its {what} {cause}; refused")]
    Path {
        /// The member.
        member: String,
        /// Path or link target.
        what: &'static str,
        /// What is wrong with it.
        cause: PathError,
    },
    /// A member that no node would unpack.
    #[error("member {member:?} {problem}; refused")]
    Member {
        /// The member.
        member: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An ACL that no node could set.
    #[error("member {member:?} cannot keep its ACL")]
    Acl {
        /// The member.
        member: String,
        /// What is wrong with the ACL.
        #[source]
        cause: AclError,
    },
    /// The source has secrets that nobody allowed.
    #[error("all nodes would get secrets:{}", .0.iter().map(|secret| format!("\n  {secret}")).collect::<String>())]
    Secrets(Vec<Secret>),
    /// The manifest would not be read again; the name has control characters, or the image is too large.
    #[error("making the manifest")]
    Manifest(#[source] ManifestError),
    /// Compressing failed.
    #[error("compressing")]
    Compress(#[source] io::Error),
}

/// For `map_err`: what was done to which file.
pub(super) fn io_error(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> ImportError + use<> {
    let path = path.to_owned();
    move |cause| ImportError::Io { doing, path: path.clone(), cause }
}
