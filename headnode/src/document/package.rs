//! The sections of package installs: the NII's, with scripts by name and users' passwords where their users are, and
//! what the boot of the installer needs beside.

use nii::Finding;
use nii::secret::Secret;
use nii::v1::{
    self, Distribution, Firewall, PasswordHashes, Phase, Remote, Repository, Selinux, Services,
    Source as Tree,
};
use serde::{Deserialize, Serialize};

/// What anaconda installs, and how it is booted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Package {
    /// As in the NII; needed, unless the document names an os.
    pub os: Option<Distribution>,
    /// As in the NII; needed, unless the document names an os.
    pub source: Option<Tree>,
    /// As in the NII.
    pub repositories: Option<Vec<Repository>>,
    /// As in the NII.
    pub environment: Option<String>,
    /// As in the NII.
    #[serde(default)]
    pub groups: Vec<String>,
    /// As in the NII.
    #[serde(default)]
    pub packages: Vec<String>,
    /// As in the NII.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// As in the NII.
    #[serde(default)]
    pub selinux: Selinux,
    /// As in the NII.
    pub firewall: Option<Firewall>,
    /// As in the NII.
    #[serde(default)]
    pub services: Services,
    /// Accounts beside root.
    #[serde(default)]
    pub users: Vec<User>,
    /// Name of a stored script that is the kickstart's template.
    pub template: Option<String>,
    /// As in the NII.
    #[serde(default)]
    pub extra: Vec<String>,
    /// Tree that has anaconda's second stage, if not the one of `source`.
    pub stage2: Option<String>,
    /// URL of an update of anaconda itself.
    pub updates: Option<String>,
    /// URLs of driver disks.
    #[serde(default)]
    pub driver_disks: Vec<String>,
}

/// An account: the NII's, and its password.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct User {
    /// As in the NII.
    pub name: String,
    /// As in the NII.
    pub uid: Option<u32>,
    /// As in the NII.
    pub gid: Option<u32>,
    /// As in the NII.
    #[serde(default)]
    pub groups: Vec<String>,
    /// As in the NII.
    pub home: Option<String>,
    /// As in the NII.
    pub shell: Option<String>,
    /// As in the NII.
    pub gecos: Option<String>,
    /// As in the NII.
    #[serde(default)]
    pub authorized_keys: Vec<String>,
    /// A crypt(5) hash.
    pub password_hash: Option<Secret>,
}

/// A stored script that is run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Script {
    /// Its name here and on the node.
    pub name: String,
    /// When it runs.
    pub phase: Phase,
    /// What runs it.
    pub interpreter: Option<String>,
}

impl Package {
    /// The NII's section; `None` as long as it does not know what to install ([`Document::fill`](super::Document::fill)).
    pub fn section(&self, template: Option<Remote>) -> Option<v1::Package> {
        Some(v1::Package {
            os: self.os.clone()?,
            source: self.source.clone()?,
            repositories: self.repositories.clone().unwrap_or_default(),
            environment: self.environment.clone(),
            groups: self.groups.clone(),
            packages: self.packages.clone(),
            exclude: self.exclude.clone(),
            selinux: self.selinux,
            firewall: self.firewall.clone(),
            services: self.services.clone(),
            users: self.users.iter().map(User::public).collect(),
            template,
            extra: self.extra.clone(),
        })
    }

    /// The passwords of its users.
    pub fn password_hashes(&self) -> PasswordHashes {
        let hash = |user: &User| Some((user.name.clone(), user.password_hash.clone()?));
        self.users.iter().filter_map(hash).collect()
    }

    /// Where anaconda's second stage is, with the path of the key that says so.
    fn second_stage(&self) -> Option<(&'static str, &str)> {
        match (&self.stage2, &self.source) {
            (Some(url), _) => Some(("package.stage2", url)),
            (None, Some(Tree::Url(url))) => Some(("package.source.url", url)),
            (None, Some(Tree::Mirrorlist(_) | Tree::Metalink(_)) | None) => None,
        }
    }

    /// Kernel arguments of the installer (anaconda's `docs/boot-options.rst`): its network, where the rest of it is,
    /// and the kickstart `refusal` for the case that our hook does not run.
    pub fn boot_arguments(&self, refusal: &str) -> Vec<String> {
        let mut arguments = vec!["rd.neednet=1".to_owned(), "ip=dhcp".to_owned()];
        arguments.extend(self.second_stage().map(|(_, url)| format!("inst.stage2={url}")));
        arguments.extend(["inst.noninteractive", "inst.nosave=all_ks"].map(str::to_owned));
        arguments.push(format!("inst.ks={refusal}"));
        arguments.extend(self.updates.iter().map(|url| format!("inst.updates={url}")));
        arguments.extend(self.driver_disks.iter().map(|url| format!("inst.dd={url}")));
        arguments
    }

    /// What the NII does not know of. `has_os`: an os says what is missing here.
    pub(super) fn check(&self, has_os: bool, out: &mut Vec<Finding>) {
        let missing = [("os", self.os.is_none()), ("source", self.source.is_none())];
        for (key, _) in missing.iter().filter(|(_, missing)| *missing && !has_os) {
            let message = format!(
                "`{key}` is needed, or, for all of it, the key `os` at the top with the name of one that was imported \
                 (headnode os list)"
            );
            out.push(Finding::error("package", message));
        }
        let mut urls: Vec<(String, &str)> = Vec::new();
        match self.second_stage() {
            Some((path, url)) => urls.push((path.to_owned(), url)),
            None if has_os || self.source.is_none() => {}
            None => {
                let message = "`stage2` is needed, the URL of an install tree: a list of mirrors is none";
                out.push(Finding::error("package", message));
            }
        }
        urls.extend(self.updates.iter().map(|url| ("package.updates".to_owned(), url.as_str())));
        for (i, url) in self.driver_disks.iter().enumerate() {
            urls.push((format!("package.driver_disks[{i}]"), url));
        }
        for (path, url) in urls {
            if has_user(url) {
                let message = "has a user name in it: boot scripts are for everybody on the network, and logs keep URLs";
                out.push(Finding::error(path, message));
            } else if !(is_url(url) && super::is_argument(url)) {
                let instead = if path == "package.source.url" { ", or `stage2` must be given" } else { "" };
                let message = format!(
                    "goes on the installer's kernel command line: it must be an http, https, ftp or nfs URL without \
                     blanks, quotes, `$`, `#` or `\\`{instead}"
                );
                out.push(Finding::error(path, message));
            }
        }
    }
}

/// `http://user:password@host/…`
fn has_user(url: &str) -> bool {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?']).next().is_some_and(|authority| authority.contains('@'))
}

fn is_url(text: &str) -> bool {
    let rest = ["http://", "https://", "ftp://", "nfs:"].iter().find_map(|scheme| text.strip_prefix(scheme));
    rest.is_some_and(|rest| !rest.is_empty())
}

impl User {
    fn public(&self) -> v1::User {
        v1::User {
            name: self.name.clone(),
            uid: self.uid,
            gid: self.gid,
            groups: self.groups.clone(),
            home: self.home.clone(),
            shell: self.shell.clone(),
            gecos: self.gecos.clone(),
            authorized_keys: self.authorized_keys.clone(),
        }
    }
}
