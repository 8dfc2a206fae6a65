//! The package section: what stock anaconda is told beside storage and network.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// What anaconda installs, and from where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// The distribution: decides which words its kickstart has.
    pub os: Distribution,
    /// The install tree.
    pub source: Source,
    /// Further repositories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<Repository>,
    /// Environment group, as in `minimal-environment`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Package groups, without the `@`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// Packages that are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// SELinux in the installed system.
    #[serde(default)]
    pub selinux: Selinux,
    /// The firewall of the installed system; absent: the distribution's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firewall: Option<Firewall>,
    /// Services that are switched on or off.
    #[serde(default)]
    pub services: Services,
    /// Accounts beside root; their passwords are in the secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<User>,
    /// The site's own kickstart template; absent: camphor's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Remote>,
    /// Kickstart text that goes in as it is, behind camphor's: commands and whole sections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra: Vec<String>,
}

/// A distribution and its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// Which one.
    pub family: Family,
    /// Its version, as in `9.6` or `42`.
    pub version: String,
    /// Its architecture, as uname(1) prints it.
    pub arch: String,
}

/// Distributions with anaconda.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Red Hat Enterprise Linux, and what is built from its sources: Rocky, Alma, CentOS Stream, Oracle.
    Rhel,
    /// Fedora.
    Fedora,
}

/// Where packages come from: one of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// URL of a tree.
    Url(String),
    /// URL of a list of mirrors.
    Mirrorlist(String),
    /// URL of a metalink.
    Metalink(String),
}

/// A repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub source: Source,
    /// dnf's cost; lower is preferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<u32>,
    /// Whether the installed system keeps it.
    #[serde(default)]
    pub install: bool,
}

/// SELinux modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selinux {
    /// On.
    #[default]
    Enforcing,
    /// It logs and lets pass.
    Permissive,
    /// Off.
    Disabled,
}

/// The firewall.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firewall {
    /// Whether there is one.
    pub enabled: bool,
    /// Services that are let in, by firewalld's names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// Ports that are let in, as in `514:udp`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
}

/// Services by their units' names, without `.service`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Services {
    /// On at boot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enabled: Vec<String>,
    /// Off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disabled: Vec<String>,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Id of its own group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Further groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Home directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    /// Login shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Full name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gecos: Option<String>,
    /// Lines of its authorized_keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorized_keys: Vec<String>,
}

/// A file of the head node, by its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// Where it is; a path is below the head node's TLS side.
    pub url: String,
    /// BLAKE3 of its bytes.
    pub digest: Digest,
}

/// A script of the site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// Its name; scripts of a phase run in the order of the list.
    pub name: String,
    /// When it runs.
    pub phase: Phase,
    /// Where it is.
    pub url: String,
    /// BLAKE3 of its bytes.
    pub digest: Digest,
    /// What runs it; absent: its `#!` line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<String>,
}

/// When a script runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Before packages are installed, in the installer's own system (`%pre`).
    Pre,
    /// In the new root, when all packages are there.
    Post,
    /// In the installed system, once, at its first boot.
    FirstBoot,
}

/// Passwords of [`User`]s: crypt(5) hashes by login name.
pub type PasswordHashes = BTreeMap<String, crate::secret::Secret>;
