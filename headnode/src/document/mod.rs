//! The group document: what admins write down in TOML (docs/headnode.md has all keys). Sections are the NII's own
//! types, so both say the same in the same words.
//!
//! A node's overrides are TOML of the same shape, merged over its group's document.

mod defaults;
mod edit;
mod effective;
mod package;
mod place;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use nii::secret::Secret;
use nii::v1::{Boot, HostKeys, Install, InstallType, Interface, Locale, Module, Storage};
use nii::{Finding, Severity};
use serde::{Deserialize, Serialize};
use toml_edit::de::Deserializer;

use crate::addhost::names::Format;
use crate::addresses::Range;

pub use defaults::Defaults;
pub use edit::{HIDDEN, hide_secrets, merge, set, unset};
pub use effective::{Effective, Layer, effective};
pub use package::{Package, Script};

/// A group's document, with a node's overrides or without.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Document {
    /// Name of what a package install installs: what the document does not say itself comes from there.
    pub os: Option<String>,
    /// Name of the kernel and initrd to boot.
    pub netboot: Option<String>,
    /// Whether that kernel is a signed UKI, which has initrd and arguments inside.
    #[serde(default)]
    pub uki: bool,
    /// Further kernel arguments of that boot.
    #[serde(default)]
    pub netboot_args: Vec<String>,
    /// What `boot rescue` boots.
    pub rescue: Option<Rescue>,
    /// Commands of the site.
    #[serde(default)]
    pub commands: Commands,
    /// Whether installs are for the node's own TPM only.
    #[serde(default)]
    pub tpm: Tpm,
    /// Boots of an arming without success until the node is parked.
    #[serde(default = "ten")]
    pub attempts: u32,
    /// As in the NII.
    pub install: Install,
    /// The image.
    pub image: Option<Image>,
    /// What anaconda installs.
    pub package: Option<Package>,
    /// The site's scripts, by name.
    #[serde(default)]
    pub scripts: Vec<Script>,
    /// As in the NII.
    #[serde(default)]
    pub locale: Locale,
    /// Root's account.
    #[serde(default)]
    pub root: Root,
    /// Host name and interfaces, as far as they are not the node's own.
    #[serde(default)]
    pub network: Network,
    /// As in the NII.
    #[serde(default)]
    pub storage: Storage,
    /// Passphrases of encrypted devices, by their names in `storage.luks`.
    #[serde(default)]
    pub luks_keys: BTreeMap<String, Secret>,
    /// As in the NII.
    #[serde(default)]
    pub modules: Vec<Module>,
    /// As in the NII.
    #[serde(default)]
    pub boot: Boot,
    /// Free key/value pairs.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// How addhost makes nodes of this group.
    #[serde(default)]
    pub addhost: Addhost,
}

/// Names and addresses of nodes that addhost makes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Addhost {
    /// A format of names, as `compute-#RR-#NN`; by default the group's name is before `-#RR-#NN`.
    pub names: Option<String>,
    /// A range of addresses, as `10.1.0.11-10.1.0.99`; by default all of the network that are not for discovery.
    pub addresses: Option<String>,
}

impl Addhost {
    fn check(&self, out: &mut Vec<Finding>) {
        if let Some(Err(error)) = self.names.as_ref().map(|names| names.parse::<Format>()) {
            out.push(Finding::error("addhost.names", error.to_string()));
        }
        if let Some(Err(error)) = self.addresses.as_ref().map(|range| range.parse::<Range>()) {
            out.push(Finding::error("addhost.addresses", error.to_string()));
        }
    }
}

/// A system to look at a node with, by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rescue {
    /// Its kernel and initrd.
    pub netboot: String,
    /// Its kernel's arguments.
    #[serde(default)]
    pub args: Vec<String>,
}

/// Commands of the site (crate::site): the program and its arguments.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Commands {
    /// Says whether a node that has a system may be installed anew.
    pub before_reinstall: Vec<String>,
    /// Switches a node on and off.
    pub power: Vec<String>,
    /// What each may take.
    pub timeout_s: u32,
}

impl Default for Commands {
    fn default() -> Self {
        Self { before_reinstall: Vec::new(), power: Vec::new(), timeout_s: 60 }
    }
}

fn ten() -> u32 {
    10
}

/// Which TPM a node's sessions are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tpm {
    /// None is asked for.
    #[default]
    Off,
    /// The one of its first session, from then on.
    FirstUse,
    /// The one that an admin named.
    Listed,
}

/// The image, by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Image {
    /// As it was imported.
    pub name: String,
    /// Limit of a diskless root.
    pub tmpfs_mib: Option<u64>,
}

/// Root's account: the NII's section and its secret.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Root {
    /// As in the NII.
    #[serde(default)]
    pub authorized_keys: Vec<String>,
    /// As in the NII.
    #[serde(default)]
    pub ssh_host_keys: HostKeys,
    /// A crypt(5) hash.
    pub password_hash: Option<Secret>,
}

/// The network of the installed system.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Network {
    /// How the boot interface gets its address.
    #[serde(default)]
    pub addressing: Addressing,
    /// Instead of the provisioning network's.
    pub domain: Option<String>,
    /// Instead of the provisioning network's.
    pub dns: Option<Vec<IpAddr>>,
    /// Search domains.
    #[serde(default)]
    pub search: Vec<String>,
    /// Of the boot interface.
    pub mtu: Option<u32>,
    /// Beside the boot interface.
    #[serde(default)]
    pub interfaces: Vec<Interface>,
}

/// How the boot interface of the installed system gets its address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Addressing {
    /// From DHCP.
    #[default]
    Dhcp,
    /// The node's address in the store, written down.
    Static,
    /// It gets none and is not configured by itself: it is a bond's member or carries a VLAN.
    None,
}

/// Text and where it comes from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// A file's name, or words such as `node n001`.
    pub name: &'a str,
    /// TOML.
    pub text: &'a str,
}

/// Why a document is refused: all reasons at once, one a line.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal(Vec<String>);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    fn at(source: Source<'_>, offset: Option<usize>, message: &str) -> Self {
        Self(vec![place::line(source, offset, message)])
    }
}

impl Source<'_> {
    /// Reads the document. Keys that it does not know are errors.
    ///
    /// # Errors
    /// [`Refusal`], each reason with line and column.
    pub fn read(self) -> Result<Document, Refusal> {
        let parsed = Deserializer::parse(self.text);
        let deserializer = parsed
            .map_err(|error| Refusal::at(self, error.span().map(|span| span.start), error.message()))?;
        let mut unknown = Vec::new();
        let document: Result<Document, _> =
            serde_ignored::deserialize(deserializer, |path| unknown.push(json_path(&path)));
        let document = document
            .map_err(|error| Refusal::at(self, error.span().map(|span| span.start), error.message()))?;
        let message = "this key is not known; docs/headnode.md has them all";
        let mut findings: Vec<Finding> =
            unknown.into_iter().map(|path| Finding::error(path, message)).collect();
        document.check(&mut findings);
        self.refuse(&findings)?;
        Ok(document)
    }

    /// Refuses the document if there is an error among the findings about it; each gets the line of its path.
    ///
    /// # Errors
    /// [`Refusal`] with all of them.
    pub fn refuse(self, findings: &[Finding]) -> Result<(), Refusal> {
        let errors: Vec<&Finding> =
            findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
        if errors.is_empty() {
            return Ok(());
        }
        Err(Refusal(errors.into_iter().map(|finding| place::finding(self, finding)).collect()))
    }
}

impl Document {
    /// What the NII does not know of.
    fn check(&self, out: &mut Vec<Finding>) {
        if self.attempts == 0 {
            out.push(Finding::error("attempts", "must be at least 1"));
        }
        for (i, argument) in self.netboot_args.iter().enumerate() {
            let path = format!("netboot_args[{i}]");
            let key = argument.split('=').next().unwrap_or_default();
            if !is_argument(argument) {
                let message = "must be one kernel argument, without blanks, quotes, `$`, `#` or `\\`";
                out.push(Finding::error(path, message));
            } else if OURS.contains(&key) {
                let message = format!("`{key}` is set by camphor; {}", instead(key));
                out.push(Finding::error(path, message));
            }
        }
        let rescue = self.rescue.iter().flat_map(|rescue| &rescue.args).enumerate();
        for (i, _) in rescue.filter(|(_, argument)| !is_argument(argument)) {
            let message = "must be one kernel argument, without blanks, quotes, `$`, `#` or `\\`";
            out.push(Finding::error(format!("rescue.args[{i}]"), message));
        }
        if self.network.addressing == Addressing::None && self.network.mtu.is_some() {
            let message = "is the boot interface's, which `addressing = \"none\"` leaves to its bond or VLAN: set theirs";
            out.push(Finding::error("network.mtu", message));
        }
        if self.network.addressing == Addressing::None && self.network.interfaces.is_empty() {
            let message = "leaves the boot interface to a bond or a VLAN: list that in network.interfaces";
            out.push(Finding::error("network.addressing", message));
        }
        if let Some(package) = &self.package {
            package.check(self.os.is_some(), out);
        }
        if self.os.is_some() && self.install.kind != InstallType::Package {
            out.push(Finding::error("os", "is for package installs"));
        }
        if self.uki && self.install.kind == InstallType::Package {
            out.push(Finding::error("uki", "is for images: camphor's segment does not ask for a token"));
        }
        self.addhost.check(out);
    }
}

/// Arguments that camphor gives itself. A second one of them would win, with an installer that obeys nobody's NII.
/// EL 8's dracut still takes anaconda's without `inst.`.
const OURS: &[&str] = &[
    "camphor.head",
    "camphor.nii",
    "camphor.tpm",
    "camphor.token",
    "niihost",
    "BOOTIF",
    "initrd",
    "rd.neednet",
    "inst.ks",
    "ks",
    "inst.nosave",
    "inst.noninteractive",
    "inst.repo",
    "repo",
    "inst.method",
    "method",
    "inst.stage2",
    "stage2",
    "inst.updates",
    "updates",
    "inst.dd",
    "dd",
];

fn instead(key: &str) -> &'static str {
    match key {
        "camphor.tpm" => "use tpm",
        "inst.repo" | "repo" | "inst.method" | "method" => "use package.source",
        "inst.stage2" | "stage2" => "use package.stage2",
        "inst.updates" | "updates" => "use package.updates",
        "inst.dd" | "dd" => "use package.driver_disks",
        _ => "leave it out",
    }
}

/// Whether it can be one argument of a kernel command line in an iPXE script: iPXE expands `${…}`, and a line's end
/// would be another command.
fn is_argument(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "\"'$\\#".contains(c))
}

/// serde_ignored writes `a.0.b`, findings write `a[0].b`.
fn json_path(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", json_path(parent)),
        Path::Map { parent, key } => match json_path(parent).as_str() {
            "" => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            json_path(parent)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "# a comment\nnetboot = \"deb12\"\n\n[install]\ntype = \"diskless\"\n";

    fn refusal(text: &str) -> String {
        Source { name: "x.toml", text }.read().unwrap_err().to_string()
    }

    #[test]
    fn small_documents_have_defaults() {
        let document = Source { name: "x.toml", text: SMALL }.read().unwrap();
        assert_eq!((document.attempts, document.network.addressing), (10, Addressing::Dhcp));
        assert_eq!(document.locale.timezone, "UTC");
    }

    #[test]
    fn refusals_say_where_and_why() {
        let cases = [
            ("x = ", "x.toml:1:5: "),
            ("[install]\ntype = \"disky\"\n", "x.toml:2:8: unknown variant `disky`"),
            ("[image]\nname = \"a\"\n", "x.toml:1:1: missing field `install`"),
            (&format!("{SMALL}after = \"kexec\"\ncolour = 3\n"), "x.toml:7:1: colour: "),
            (&format!("{SMALL}colour = 3\n"), "x.toml:6:1: install.colour: this key is not known"),
            (&format!("atempts = 3\n{SMALL}"), "x.toml:1:1: atempts: this key is not known"),
            (
                &format!("netboot_args = [\"a\",\n \"b c\"]\n{SMALL}"),
                "x.toml:2:2: netboot_args[1]: must be one",
            ),
            (
                &format!(
                    "{SMALL}\n[[storage.disks]]\nname = \"a\"\npartitions = [\n  {{ label = \"x\", size = 3 }},\n]\n"
                ),
                "x.toml:10:18: storage.disks[0].partitions[0].size: ",
            ),
        ];
        for (text, start) in cases {
            let start = start.replace("7:1: colour", "7:1: install.colour");
            assert!(refusal(text).starts_with(&start), "{text}\n{}", refusal(text));
        }
    }

    #[test]
    fn findings_without_a_place_of_their_own_get_the_nearest() {
        let source = Source { name: "x.toml", text: SMALL };
        let findings = [
            Finding::error("install.deadlines.unpack", "no"),
            Finding::warning("a", "b"),
            Finding::error("storage", "no"),
        ];
        assert_eq!(
            source.refuse(&findings).unwrap_err().to_string(),
            "x.toml:4:1: install.deadlines.unpack: no\nx.toml: storage: no"
        );
    }
}
