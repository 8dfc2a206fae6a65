//! Kusu's NII: the XML of an old head node's `nodeboot.cgi`, read into the types of [`crate::v1`].
//!
//! [`parse`] reads the document, as far as its missing escapes let it; [`NodeInfo::to_nii`] says in camphor's words what it
//! means (`docs/kusu.md`). What cannot be obeyed is refused by name, and never half done. [`nii_url`], [`installed_url`]
//! and [`uid`] are the questions. The document is not signed: only an initrd that allows its host
//! ([`crate::trust::Trust::allow_kusu`]) obeys it.

mod convert;
mod mend;
mod network;
mod parse;
mod state;
mod storage;

use std::collections::BTreeMap;

use thiserror::Error;

use crate::finding::Finding;
use crate::secret::Secret;
use crate::v1::{Nii, Script};

pub use parse::parse;
pub use state::{Client, installed_url, nii_url, uid};

/// Why a document is not obeyed.
#[derive(Debug, Error)]
pub enum KusuError {
    /// HTTP 200, and no `<nodeinfo>`: Kusu's way to say that it does not know the address that asked.
    #[error(
        "the Kusu head node does not know this node: its answer has no <nodeinfo>. It goes by the node's IP address: \
         add the node (addhost), or compare its address with Kusu's nics table"
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

/// `<nodeinfo>` as it is written; attributes that are not there are empty, as Kusu's own parser has it. `dbpasswd`,
/// `cfmsecret` and `ipmipasswd` are dropped: nothing here needs them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeInfo {
    /// The node's name.
    pub name: String,
    /// IP address of the installer on the node's network.
    pub installers: String,
    /// Path of the repository on the installer, as in `/repos/1000`.
    pub repo: String,
    /// `NAME-VERSION-ARCH`.
    pub ostype: String,
    /// `package`, `disked`, `diskless`, `multiboot`, `unmanaged`.
    pub installtype: String,
    /// Number of the node group.
    pub nodegrpid: String,
    /// Type of the node group, as in `compute`.
    pub ngtype: String,
    /// Number of the repository.
    pub repoid: String,
    /// Interfaces; of several rows of one device the last.
    pub nics: Vec<NicInfo>,
    /// Rows of the partition schema.
    pub partitions: Vec<PartitionRow>,
    /// Names of components (packages).
    pub components: Vec<String>,
    /// Names of further packages.
    pub optpackages: Vec<String>,
    /// Names of scripts below `/repos/custom_scripts/` on the head node.
    pub optscripts: Vec<String>,
    /// Global settings, those of the node's group included; without those in [`Self::withheld`].
    pub appglobals: BTreeMap<String, String>,
    /// The setting `RootPassword`.
    pub root_password: Option<Secret>,
    /// Names of further settings that look like secrets, and were dropped.
    pub withheld: Vec<String>,
}

/// `<nicinfo>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NicInfo {
    /// Kernel name.
    pub device: String,
    /// Address.
    pub ip: String,
    /// Netmask.
    pub subnet: String,
    /// Network address.
    pub network: String,
    /// What the node's name has behind it on this network.
    pub suffix: String,
    /// Router.
    pub gateway: String,
    /// `1`: from DHCP.
    pub dhcp: String,
    /// Options of the network.
    pub options: String,
    /// `1`: the node boots from it.
    pub boot: String,
    /// MAC address.
    pub mac: String,
    /// Type of the network.
    pub kind: String,
}

/// `<partition>`: a partition, volume group, logical volume, or rule, by its `options`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionRow {
    /// Number of the disk, from 1; or name of the group or volume.
    pub device: String,
    /// Number of the partition, from 1.
    pub partition: String,
    /// Mount point.
    pub mntpnt: String,
    /// File system, by Kusu's names.
    pub fstype: String,
    /// Size in MB.
    pub size: String,
    /// `;` between them.
    pub options: String,
    /// `1`: kept.
    pub preserve: String,
}

/// What goes into an NII and is not in the XML.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// Base URL of the head node that answered, as in `http://10.1.0.1`.
    pub base: String,
    /// [`uid`] of the node.
    pub uid: Option<String>,
    /// Names and MAC addresses of the interfaces that the node has: as with Kusu, others are left out. Empty: not known.
    pub nics: Vec<(String, String)>,
    /// The scripts of [`NodeInfo::optscripts`], with the digests of what the head node has.
    pub scripts: Vec<Script>,
    /// Lines of the head node's `/public_keys`.
    pub authorized_keys: Vec<String>,
}

impl NodeInfo {
    /// What it means. With warnings.
    ///
    /// # Errors
    /// [`KusuError::Refused`], with every finding: paths that begin with `nodeinfo` are of the XML, others of the NII.
    pub fn to_nii(&self, around: &Around) -> Result<(Nii, Vec<Finding>), KusuError> {
        convert::nii(self, around)
    }

    /// A setting; one that is empty counts as not there.
    fn setting(&self, name: &str) -> Option<&str> {
        self.appglobals.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }
}
