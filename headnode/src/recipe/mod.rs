//! All that makes one node: its row, its network, its group's document with its own overrides, image, netboot and
//! scripts. Boot scripts and NIIs come from here.

mod catalog;
mod references;

use anyhow::{Context as _, Result, bail};
use nii::v1::{self, Family4, HostKeys, InstallType, InterfaceMatch, Nii, Secrets, SshHostKey, Static4};
use nii::{Finding, ReadError, Strictness};

pub use self::catalog::Catalog;
use self::references::References;
use crate::document::{Addressing, Document, Package, Source, Tpm};
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
    /// What the document names.
    references: References,
    /// Port of plain HTTP.
    pub http_port: u16,
}

/// Port of plain HTTP unless `init` was told another.
pub const HTTP_PORT: u16 = 8080;
/// Port of TLS unless `init` was told another.
pub const HTTPS_PORT: u16 = 8443;
/// Path of the kickstart that stops an installer without our hook.
pub const REFUSAL: &str = "/boot/refuse.ks";
/// What the kernel takes of a command line on x86 (`COMMAND_LINE_SIZE`, with its zero byte). The rest it drops.
const COMMAND_LINE_MAX: usize = 2047;
/// In the place of a MAC address: the boot interface's.
const BOOT_INTERFACE: &str = "boot";
/// Room for the `initrd=` names that [`crate::script`] adds under UEFI.
const INITRD_NAMES: usize = 64;

/// What a node's NII is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// To be shown.
    Public,
    /// For the node itself, with what it has in escrow.
    WithSecrets(Vec<SshHostKey>),
}

impl Recipe {
    /// Of a node in the store.
    ///
    /// # Errors
    /// When its document cannot be read, or names an image, netboot or script that is not there.
    pub async fn of(store: &Store, node: Node) -> Result<Self> {
        Catalog::load(store).await?.recipe(node)
    }

    /// Of a node whose whole document is `source`, which need not be in the store yet.
    ///
    /// # Errors
    /// When the document cannot be read, or names an image, netboot or script that is not there.
    pub fn build(catalog: &Catalog, node: Node, source: Source<'_>) -> Result<Self> {
        let mut document = source.read()?;
        let mut findings = Vec::new();
        let network = catalog.network(&node.network)?.clone();
        if let Some(os) = references::os(catalog, &document, &network, &mut findings) {
            document.fill(os);
        }
        let references = References::find(catalog, &document, &mut findings);
        if document.network.addressing == Addressing::Static && node.address.is_none() {
            let message = format!("`static` needs an address: headnode node set {} --ip IP", node.name);
            findings.push(Finding::error("network.addressing", message));
        }
        source.refuse(&findings)?;
        let recipe = Self { node, network, document, references, http_port: catalog.http_port };
        recipe.check(source)?;
        Ok(recipe)
    }

    /// Base URL of plain HTTP, as the node reaches it.
    pub fn http(&self) -> String {
        http(&self.network, self.http_port)
    }

    /// Whether a node whose install failed tries again by itself.
    pub fn retries_failed(&self) -> bool {
        self.document.install.on_failure == v1::OnFailure::Reboot
    }

    /// What it boots to be installed (or to run diskless).
    ///
    /// # Errors
    /// What is missing; then it cannot be armed.
    pub fn netboot(&self) -> Result<&Netboot> {
        let (node, group) = (&self.node.name, &self.node.group);
        let Some(netboot) = &self.references.netboot else {
            bail!("{node}: its group {group} names no `netboot`: what should it boot?");
        };
        let name = &netboot.name;
        match (self.document.install.kind, netboot.segment) {
            (InstallType::Package, None) => bail!(
                "{node}: the netboot {name} has no segment, so a distribution's installer would not know of camphor: \
                 add it again with --segment FILE (initrd-builder append makes one)"
            ),
            (InstallType::Disked | InstallType::Diskless, Some(_)) => bail!(
                "{node}: the netboot {name} is a distribution's installer with our segment, and images need camphor's \
                 own initrd (initrd-builder build)"
            ),
            _ => Ok(netboot),
        }
    }

    /// What it boots to be looked at, and the kernel's arguments.
    ///
    /// # Errors
    /// When its group says nothing of it.
    pub fn rescue(&self) -> Result<(&Netboot, &[String])> {
        match (&self.references.rescue, &self.document.rescue) {
            (Some(netboot), Some(rescue)) => Ok((netboot, &rescue.args)),
            _ => bail!(
                "{}: its group {} says no `rescue.netboot`: what should it boot?",
                self.node.name,
                self.node.group
            ),
        }
    }

    /// The kernel command line of that boot.
    pub fn kernel_arguments(&self) -> Vec<String> {
        let http = self.http();
        let mut arguments =
            vec![format!("camphor.head={http}"), format!("BOOTIF={}", self.node.mac.bootif())];
        if self.document.install.kind == InstallType::Package
            && let Some(package) = &self.document.package
        {
            let refusal = format!("{http}{REFUSAL}");
            arguments.extend(package.boot_arguments(&refusal));
        }
        if self.document.tpm != Tpm::Off {
            arguments.push("camphor.tpm".into());
        }
        arguments.extend(self.document.netboot_args.iter().cloned());
        arguments
    }

    /// The NII as JSON, checked as strictly as when it was configured.
    ///
    /// # Errors
    /// When it is refused: the group's document changed in a way that does not fit this node.
    pub fn nii(&self, form: Form) -> Result<String> {
        let nii = self.render();
        let nii = match form {
            Form::Public => nii.public(),
            Form::WithSecrets(escrow) if nii.root.ssh_host_keys == HostKeys::Keep => {
                with_host_keys(nii, escrow)
            }
            Form::WithSecrets(_) => nii,
        };
        let json = serde_json::to_string(&nii)?;
        nii::read(json.as_bytes(), Strictness::Strict)
            .with_context(|| format!("rendering the NII of {}", self.node.name))?;
        Ok(json)
    }

    /// Why these host keys could not be given back in an NII; `None` if they can be.
    pub fn refusal_of(&self, escrow: Vec<SshHostKey>) -> Option<Finding> {
        let findings = with_host_keys(self.render(), escrow).validate();
        findings
            .into_iter()
            .find(|finding| finding.is_error() && finding.path.starts_with("secrets.ssh_host_keys"))
    }

    /// What the NII's own rules say, with lines of the document.
    fn check(&self, source: Source<'_>) -> Result<()> {
        let length = self.kernel_arguments().join(" ").len() + INITRD_NAMES;
        if length > COMMAND_LINE_MAX {
            let message = format!(
                "make a kernel command line of {length} characters, and a kernel takes {COMMAND_LINE_MAX}"
            );
            source.refuse(&[Finding::error("netboot_args", message)])?;
        }
        let json = serde_json::to_vec(&self.render())?;
        match nii::read(&json, Strictness::Strict) {
            Ok(_) => Ok(()),
            Err(ReadError::Refused(findings)) => {
                let findings: Vec<Finding> =
                    findings.into_iter().map(|finding| self.in_document(finding)).collect();
                Ok(source.refuse(&findings)?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What to look at, though nothing is wrong with it.
    pub fn warnings(&self) -> Vec<Finding> {
        let warnings = self.render().validate().into_iter().filter(|finding| !finding.is_error());
        warnings.map(|finding| self.in_document(finding)).collect()
    }

    fn render(&self) -> Nii {
        let document = &self.document;
        let image = document.image.as_ref().zip(self.references.image).map(|(image, digest)| v1::Image {
            name: image.name.clone(),
            manifest: digest,
            sources: vec![format!("{}/images/{digest}", self.http())],
            tmpfs_mib: image.tmpfs_mib,
        });
        let package = document.package.as_ref();
        Nii {
            version: v1::VERSION,
            node: v1::Node {
                name: self.node.name.clone(),
                group: self.node.group.clone(),
                uid: self.node.uid.clone(),
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
            package: package.and_then(|package| package.section(self.references.template.clone())),
            scripts: self.references.scripts.clone(),
            modules: document.modules.clone(),
            boot: document.boot.clone(),
            secrets: Some(Secrets {
                root_password_hash: document.root.password_hash.clone(),
                user_password_hashes: package.map(Package::password_hashes).unwrap_or_default(),
                ssh_host_keys: Vec::new(),
                luks_keys: document.luks_keys.clone(),
            }),
        }
    }

    fn network_section(&self) -> v1::Network {
        let wanted = &self.document.network;
        let listed = wanted.interfaces.iter().map(|interface| self.interface(interface));
        let hostname = self.node.name.split('.').next().unwrap_or_default();
        v1::Network {
            hostname: hostname.to_owned(),
            domain: wanted.domain.clone().or_else(|| self.network.domain.clone()),
            dns: wanted.dns.clone().unwrap_or_else(|| self.network.dns.clone()),
            search: wanted.search.clone(),
            interfaces: self.boot_interface().into_iter().chain(listed).collect(),
        }
    }

    /// The boot interface, unless it is left to what the document lists.
    fn boot_interface(&self) -> Option<v1::Interface> {
        let wanted = &self.document.network;
        let ipv4 = match (wanted.addressing, self.node.address) {
            (Addressing::None, _) => return None,
            (Addressing::Static, Some(address)) => Family4::Static(Static4 {
                address,
                prefix: self.network.subnet.prefix,
                gateway: self.network.gateway,
                routes: Vec::new(),
            }),
            _ => Family4::Dhcp,
        };
        Some(v1::Interface {
            select: InterfaceMatch::Mac(self.node.mac.to_string()),
            ipv4: Some(ipv4),
            ipv6: None,
            mtu: wanted.mtu,
            bond: None,
            vlan: None,
        })
    }

    /// An interface that the document lists, for this node.
    fn interface(&self, listed: &v1::Interface) -> v1::Interface {
        let mut interface = listed.clone();
        let members = interface.bond.iter_mut().flat_map(|bond| &mut bond.members);
        let parent = interface.vlan.iter_mut().map(|vlan| &mut vlan.parent);
        for select in std::iter::once(&mut interface.select).chain(members).chain(parent) {
            if *select == InterfaceMatch::Mac(BOOT_INTERFACE.into()) {
                *select = InterfaceMatch::Mac(self.node.mac.to_string());
            }
        }
        interface
    }

    /// A finding about the NII becomes one about the document that the NII comes from.
    fn in_document(&self, mut finding: Finding) -> Finding {
        let users = self.document.package.iter().flat_map(|package| &package.users);
        let names: Vec<&str> = users.map(|user| user.name.as_str()).collect();
        let implied = usize::from(self.document.network.addressing != Addressing::None);
        finding.path = in_document(&finding.path, implied, &names);
        finding
    }
}

fn with_host_keys(mut nii: Nii, host_keys: Vec<SshHostKey>) -> Nii {
    nii.root.ssh_host_keys = HostKeys::Keep;
    nii.secrets.get_or_insert_default().ssh_host_keys = host_keys;
    nii
}

/// The document's path for one of the NII, whose first `implied` interfaces the document does not list, and whose users
/// are `users`.
fn in_document(path: &str, implied: usize, users: &[&str]) -> String {
    const INTERFACES: &str = "network.interfaces[";
    match path {
        "secrets.root_password_hash" => return "root.password_hash".into(),
        "secrets.ssh_host_keys" => return "root.ssh_host_keys".into(),
        _ => {}
    }
    if path.starts_with("secrets.luks_keys") {
        return path.trim_start_matches("secrets.").into();
    }
    if let Some(user) = path.strip_prefix("secrets.user_password_hashes.")
        && let Some(index) = users.iter().position(|name| *name == user)
    {
        return format!("package.users[{index}].password_hash");
    }
    for ours in ["package.template", "scripts["] {
        // Where it is and its digest are ours; the document has its name.
        if path.starts_with(ours)
            && let Some(file) = path.strip_suffix(".url").or_else(|| path.strip_suffix(".digest"))
        {
            return file.into();
        }
    }
    if let Some((index, rest)) = path.strip_prefix(INTERFACES).and_then(|path| path.split_once(']'))
        && let Ok(index) = index.parse::<usize>()
    {
        return match index.checked_sub(implied) {
            Some(index) => format!("{INTERFACES}{index}]{rest}"),
            None => format!("network{rest}"),
        };
    }
    path.into()
}

/// Base URL of plain HTTP on a network.
fn http(network: &Network, port: u16) -> String {
    format!("http://{}:{port}", network.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_point_into_the_document() {
        let at = |path: &str| in_document(path, 1, &["ann", "bob"]);
        assert_eq!(at("secrets.root_password_hash"), "root.password_hash");
        assert_eq!(at("secrets.user_password_hashes.bob"), "package.users[1].password_hash");
        assert_eq!(at("secrets.user_password_hashes.eve"), "secrets.user_password_hashes.eve");
        assert_eq!(at("secrets.luks_keys.data"), "luks_keys.data");
        assert_eq!(at("network.interfaces[0].mtu"), "network.mtu");
        assert_eq!(
            at("network.interfaces[2].ipv4.static.prefix"),
            "network.interfaces[1].ipv4.static.prefix"
        );
        assert_eq!(in_document("network.interfaces[0].mtu", 0, &[]), "network.interfaces[0].mtu");
        assert_eq!(at("scripts[3].url"), "scripts[3]");
        assert_eq!(at("scripts[3].interpreter"), "scripts[3].interpreter");
        assert_eq!(at("package.template.digest"), "package.template");
        assert_eq!(at("package.source.url"), "package.source.url");
        assert_eq!(at("storage.disks[0]"), "storage.disks[0]");
    }
}
