//! Why an extraction ended: each error names the member.

use std::io;

use rustix::io::Errno;
use thiserror::Error;

use crate::path::PathError;
use crate::tar::member::{TarError, shown};

/// Why an archive was not extracted. Each names the member.
#[derive(Debug, Error)]
pub enum ExtractError {
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] TarError),
    /// A path that would lead out of the root.
    #[error("member {member:?}: its path {cause}; refused")]
    Path {
        /// The member.
        member: String,
        /// What is wrong with its path.
        cause: PathError,
    },
    /// A hard link whose target would be outside the root.
    #[error("member {member:?}: its link target {target:?} {cause}; refused")]
    Link {
        /// The member.
        member: String,
        /// What it links to.
        target: String,
        /// What is wrong with that.
        cause: PathError,
    },
    /// A directory of the path is a symlink that leads out of the root.
    #[error("member {member:?}: {link:?} is a symlink that leads out of the root; refused")]
    Escape {
        /// The member.
        member: String,
        /// The directory that is a symlink.
        link: String,
    },
    /// More than the manifest said.
    #[error("member {member:?} goes beyond the {limit} {what} that the image may have; refused")]
    Limit {
        /// The member.
        member: String,
        /// Inodes or bytes.
        what: &'static str,
        /// How many.
        limit: u64,
    },
    /// A member that contradicts itself or an earlier one.
    #[error("member {member:?} {problem}; refused")]
    Senseless {
        /// The member.
        member: String,
        /// What is wrong.
        problem: String,
    },
    /// The system refused.
    #[error("{doing} of member {member:?}")]
    Os {
        /// The member.
        member: String,
        /// What was being done.
        doing: String,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}

/// A failed act: what it was. The member's name is added where it is known.
pub(super) struct Failed {
    pub doing: String,
    pub cause: io::Error,
}

/// For `map_err`: what a system call was for.
pub(super) fn doing(what: &str) -> impl Fn(Errno) -> Failed {
    move |cause| Failed { doing: what.to_owned(), cause: cause.into() }
}

impl Failed {
    pub fn of(self, member: &[u8]) -> ExtractError {
        ExtractError::Os { member: shown(member), doing: self.doing, cause: self.cause }
    }
}
