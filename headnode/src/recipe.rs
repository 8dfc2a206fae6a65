//! All that makes one node: its row, its network, its group's document with its own overrides, image and netboot.
//! Boot scripts and NIIs come from here.

use anyhow::{Context as _, Result, bail};
use nii::digest::Digest;
use nii::v1::{self, Family4, InstallType, InterfaceMatch, Nii, Secrets, Static4};
use nii::{Finding, ReadError, Strictness};

use crate::document::{self, Addressing, Document, Source};
use crate::store::Store;
use crate::store::inventory::{Netboot, Network};
use crate::store::nodes::Node;

/// What makes a node.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The node.
    pub node: Node,
    /// Its network.
    pub network: Network,
    /// Its group's document with its overrides.
    pub document: Document,
    /// Digest of its image's manifest.
    image: Option<Digest>,
    /// Its kernel and initrd.
    pub netboot: Option<Netboot>,
    /// Port of plain HTTP.
    pub http_port: u16,
}

/// Port of plain HTTP unless `init` was told another.
pub const HTTP_PORT: u16 = 8080;
/// Port of TLS unless `init` was told another.
pub const HTTPS_PORT: u16 = 8443;

/// What a node's NII is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// To be shown.
    Public,
    /// For the node itself.
    WithSecrets,
}

impl Recipe {
    /// Of a node in the store.
    ///
    /// # Errors
    /// When its document cannot be read, or names an image or netboot that is not there.
    pub async fn of(store: &Store, node: Node) -> Result<Self> {
        let group = store.group(&node.group).await?;
        let (name, text) = if node.overrides.is_empty() {
            (format!("group {}", group.name), group.document)
        } else {
            let merged = document::merge(&group.document, &node.overrides)?;
            (format!("node {} (group {} with its overrides)", node.name, group.name), merged)
        };
        Self::build(store, node, Source { name: &name, text: &text }).await
    }

    /// Of a node whose whole document is `source`, which need not be in the store yet.
    ///
    /// # Errors
    /// When the document cannot be read, or names an image or netboot that is not there.
    pub async fn build(store: &Store, node: Node, source: Source<'_>) -> Result<Self> {
        let document = source.read()?;
        let mut findings = Vec::new();
        let mut image = None;
        if let Some(wanted) = &document.image {
            image = store
                .images()
                .await?
                .into_iter()
                .find(|image| image.name == wanted.name)
                .map(|image| image.digest);
            if image.is_none() {
                let message = format!(
                    "there is no image `{}`: see `headnode image import` and `image list`",
                    wanted.name
                );
                findings.push(Finding::error("image.name", message));
            }
        }
        let mut netboot = None;
        if let Some(wanted) = &document.netboot {
            netboot = store.netboots().await?.into_iter().find(|netboot| netboot.name == *wanted);
            if netboot.is_none() {
                let message =
                    format!("there is no netboot `{wanted}`: see `headnode netboot add` and `netboot list`");
                findings.push(Finding::error("netboot", message));
            }
        }
        if document.network.addressing == Addressing::Static && node.address.is_none() {
            let message = format!("`static` needs an address: headnode node set {} --ip IP", node.name);
            findings.push(Finding::error("network.addressing", message));
        }
        source.refuse(&findings)?;
        let network = store.network(&node.network).await?;
        let http_port = store.port("http-port", HTTP_PORT).await?;
        let recipe = Self { node, network, document, image, netboot, http_port };
        recipe.check(source)?;
        Ok(recipe)
    }

    /// Base URL of plain HTTP, as the node reaches it.
    pub fn http(&self) -> String {
        format!("http://{}:{}", self.network.address, self.http_port)
    }

    /// Whether a node whose install failed tries again by itself.
    pub fn retries_failed(&self) -> bool {
        self.document.install.on_failure == v1::OnFailure::Reboot
    }

    /// Whether it can be armed.
    ///
    /// # Errors
    /// What is missing.
    pub fn check_bootable(&self) -> Result<()> {
        if self.document.install.kind == InstallType::Package {
            bail!("{}: install.type `package` cannot be armed in this release", self.node.name);
        }
        if self.netboot.is_none() {
            bail!(
                "{}: its group {} names no `netboot`: what should it boot?",
                self.node.name,
                self.node.group
            );
        }
        Ok(())
    }

    /// The NII as JSON, checked as strictly as when it was configured.
    ///
    /// # Errors
    /// When it is refused: the group's document changed in a way that does not fit this node.
    pub fn nii(&self, form: Form) -> Result<String> {
        let nii = self.render();
        let nii = if form == Form::Public { nii.public() } else { nii };
        let json = serde_json::to_string(&nii)?;
        nii::read(json.as_bytes(), Strictness::Strict)
            .with_context(|| format!("rendering the NII of {}", self.node.name))?;
        Ok(json)
    }

    /// What the NII's own rules say, with lines of the document.
    fn check(&self, source: Source<'_>) -> Result<()> {
        let json = serde_json::to_vec(&self.render())?;
        match nii::read(&json, Strictness::Strict) {
            Ok(_) => Ok(()),
            Err(ReadError::Refused(findings)) => {
                let findings: Vec<Finding> = findings.into_iter().map(in_document).collect();
                Ok(source.refuse(&findings)?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What to look at, though nothing is wrong with it.
    pub fn warnings(&self) -> Vec<Finding> {
        self.render().validate().into_iter().filter(|finding| !finding.is_error()).map(in_document).collect()
    }

    fn render(&self) -> Nii {
        let document = &self.document;
        let image = self.document.image.as_ref().zip(self.image).map(|(image, digest)| v1::Image {
            name: image.name.clone(),
            manifest: digest,
            sources: vec![format!("{}/images/{digest}", self.http())],
            tmpfs_mib: image.tmpfs_mib,
        });
        Nii {
            version: v1::VERSION,
            node: v1::Node {
                name: self.node.name.clone(),
                group: self.node.group.clone(),
                uid: None,
                attributes: document.attributes.clone(),
            },
            install: document.install.clone(),
            locale: document.locale.clone(),
            root: v1::Root {
                authorized_keys: document.root.authorized_keys.clone(),
                ssh_host_keys: document.root.ssh_host_keys,
            },
            network: self.network_section(),
            storage: document.storage.clone(),
            image,
            package: None,
            scripts: Vec::new(),
            modules: document.modules.clone(),
            boot: document.boot.clone(),
            secrets: Some(Secrets {
                root_password_hash: document.root.password_hash.clone(),
                ..Secrets::default()
            }),
        }
    }

    fn network_section(&self) -> v1::Network {
        let wanted = &self.document.network;
        let ipv4 = match (wanted.addressing, self.node.address) {
            (Addressing::Static, Some(address)) => Family4::Static(Static4 {
                address,
                prefix: self.network.subnet.prefix,
                gateway: self.network.gateway,
                routes: Vec::new(),
            }),
            _ => Family4::Dhcp,
        };
        let boot = v1::Interface {
            select: InterfaceMatch::Mac(self.node.mac.to_string()),
            ipv4: Some(ipv4),
            ipv6: None,
            mtu: wanted.mtu,
            bond: None,
            vlan: None,
        };
        let hostname = self.node.name.split('.').next().unwrap_or_default();
        v1::Network {
            hostname: hostname.to_owned(),
            domain: wanted.domain.clone().or_else(|| self.network.domain.clone()),
            dns: wanted.dns.clone().unwrap_or_else(|| self.network.dns.clone()),
            search: wanted.search.clone(),
            interfaces: std::iter::once(boot).chain(wanted.interfaces.iter().cloned()).collect(),
        }
    }
}

/// A finding about the NII becomes one about the document that the NII comes from.
fn in_document(mut finding: Finding) -> Finding {
    const INTERFACES: &str = "network.interfaces[";
    match finding.path.as_str() {
        "secrets.root_password_hash" => finding.path = "root.password_hash".into(),
        "secrets.ssh_host_keys" => finding.path = "root.ssh_host_keys".into(),
        _ => {}
    }
    if let Some((index, rest)) = finding.path.strip_prefix(INTERFACES).and_then(|path| path.split_once(']'))
        && let Ok(index) = index.parse::<usize>()
    {
        // The first is the boot interface, which the document does not list.
        finding.path = match index.checked_sub(1) {
            Some(index) => format!("{INTERFACES}{index}]{rest}"),
            None => format!("network{rest}"),
        };
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_point_into_the_document() {
        let at = |path: &str| in_document(Finding::error(path, "x")).path;
        assert_eq!(at("secrets.root_password_hash"), "root.password_hash");
        assert_eq!(at("network.interfaces[0].mtu"), "network.mtu");
        assert_eq!(
            at("network.interfaces[2].ipv4.static.prefix"),
            "network.interfaces[1].ipv4.static.prefix"
        );
        assert_eq!(at("storage.disks[0]"), "storage.disks[0]");
    }
}
