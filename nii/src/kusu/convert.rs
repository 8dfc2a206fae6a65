//! [`NodeInfo`] in camphor's words: all but network and storage.

use std::collections::BTreeMap;

use super::{Around, KusuError, NodeInfo, network, storage};
use crate::digest::Digest;
use crate::finding::Finding;
use crate::v1::{
    After, Boot, Distribution, Family, HostKeys, Image, Install, InstallType, Locale, Nii, Node, OnFailure,
    Package, Root, Secrets, Selinux, Services, Source, Storage, VERSION,
};

/// Settings that a site adds for camphor: Kusu's images have neither digest nor signature.
const MANIFEST: &str = "CAMPHOR_IMAGE_MANIFEST";
const SOURCE: &str = "CAMPHOR_IMAGE_SOURCE";

type Out<'a> = &'a mut Vec<Finding>;

pub(super) fn nii(info: &NodeInfo, around: &Around) -> Result<(Nii, Vec<Finding>), KusuError> {
    let mut findings = Vec::new();
    let out = &mut findings;
    let Some(kind) = kind(info, out) else { return Err(KusuError::Refused(findings)) };
    let package = (kind == InstallType::Package).then(|| package(info, around, out)).flatten();
    let image = if kind == InstallType::Package { None } else { image(info, around, out) };
    let storage = match kind {
        InstallType::Diskless => Storage::default(),
        _ => storage::storage(&info.partitions, out),
    };
    let nii = Nii {
        version: VERSION,
        node: Node {
            name: info.name.clone(),
            group: group(info),
            uid: around.uid.clone(),
            attributes: attributes(info, out),
        },
        install: Install {
            kind,
            after: After::Reboot,
            on_failure: OnFailure::ReportAndHold,
            deadlines: BTreeMap::new(),
        },
        locale: locale(info),
        root: Root { authorized_keys: around.authorized_keys.clone(), ssh_host_keys: HostKeys::Keep },
        network: network::network(info, around, out),
        storage,
        scripts: if package.is_some() { around.scripts.clone() } else { Vec::new() },
        image,
        package,
        modules: Vec::new(),
        boot: Boot::default(),
        secrets: Some(secrets(info, out)),
    };
    findings.extend(nii.validate());
    if findings.iter().any(Finding::is_error) {
        Err(KusuError::Refused(findings))
    } else {
        Ok((nii, findings))
    }
}

fn kind(info: &NodeInfo, out: Out<'_>) -> Option<InstallType> {
    match info.installtype.trim() {
        "package" => Some(InstallType::Package),
        "diskless" => Some(InstallType::Diskless),
        "disked" if info.partitions.is_empty() => {
            let message = "is `disked` without partitions, which Kusu runs from RAM: so does camphor";
            out.push(Finding::warning("nodeinfo.installtype", message));
            Some(InstallType::Diskless)
        }
        "disked" => Some(InstallType::Disked),
        other => {
            let message =
                format!("`{other}` is none of `package`, `disked`, `diskless`: camphor installs no others");
            out.push(Finding::error("nodeinfo.installtype", message));
            None
        }
    }
}

fn group(info: &NodeInfo) -> String {
    match (info.ngtype.trim(), info.nodegrpid.trim()) {
        ("", number) => format!("ng{number}"),
        (name, "") => name.to_owned(),
        (name, number) => format!("{name}-{number}"),
    }
}

/// The settings, and what an NII has no field for under the names that Kusu's scripts know it by (`NII_NGID`, …).
fn attributes(info: &NodeInfo, out: Out<'_>) -> BTreeMap<String, String> {
    for name in &info.withheld {
        let message = "looks like a secret, and is dropped: this document crosses the network in the clear";
        out.push(Finding::warning(format!("nodeinfo.appglobals.{name}"), message));
    }
    let mut attributes = info.appglobals.clone();
    for (name, value) in [
        ("NGID", &info.nodegrpid),
        ("NGTYPE", &info.ngtype),
        ("INSTALLERS", &info.installers),
        ("REPO", &info.repo),
        ("REPOID", &info.repoid),
        ("OSTYPE", &info.ostype),
        ("INSTALLTYPE", &info.installtype),
    ] {
        attributes.insert(name.into(), value.clone());
    }
    for (i, nic) in info.nics.iter().enumerate() {
        let fields = [
            &nic.device,
            &nic.ip,
            &nic.subnet,
            &nic.network,
            &nic.suffix,
            &nic.gateway,
            &nic.dhcp,
            &nic.options,
            &nic.mac,
            &nic.kind,
        ];
        let fields: Vec<&str> = fields.into_iter().map(String::as_str).collect();
        attributes.insert(format!("NICDEF{i}"), fields.join("|"));
    }
    attributes
}

fn locale(info: &NodeInfo) -> Locale {
    let default = Locale::default();
    let setting = |name: &str| info.setting(name).map(str::to_owned);
    // Kusu's `en_US` is the locale's name without the encoding that every system uses now.
    let lang =
        setting("Language").map(|lang| if lang.contains('.') { lang } else { format!("{lang}.UTF-8") });
    Locale {
        timezone: setting("Timezone_zone").unwrap_or(default.timezone),
        hardware_clock_utc: info
            .setting("Timezone_utc")
            .is_none_or(|utc| ["1", "true", "True", "yes"].contains(&utc)),
        ntp: Vec::new(),
        lang: lang.unwrap_or(default.lang),
        keyboard: setting("Keyboard").unwrap_or(default.keyboard),
    }
}

fn secrets(info: &NodeInfo, out: Out<'_>) -> Secrets {
    let hash = info.root_password.as_ref().filter(|password| {
        let is_hash = password.expose().starts_with('$');
        if !is_hash {
            let message = "is no crypt(5) hash: root's password stays locked; keys of /public_keys work";
            out.push(Finding::warning("nodeinfo.appglobals.RootPassword", message));
        }
        is_hash
    });
    Secrets { root_password_hash: hash.cloned(), ..Secrets::default() }
}

fn image(info: &NodeInfo, around: &Around, out: Out<'_>) -> Option<Image> {
    let ngid = &info.nodegrpid;
    let Some(digest) = info.setting(MANIFEST) else {
        let message = format!(
            "is not set: Kusu's own image, /images/{ngid}.img.tar.bz2, has neither digest nor signature, and is not \
             installed. Import it (`headnode image import`), set this setting of the group to the digest that it prints, and \
             {SOURCE} to where it is served"
        );
        out.push(Finding::error(format!("nodeinfo.appglobals.{MANIFEST}"), message));
        return None;
    };
    let Ok(manifest) = digest.parse::<Digest>() else {
        let message = format!("`{digest}` is no BLAKE3 digest of 64 hexadecimal digits");
        out.push(Finding::error(format!("nodeinfo.appglobals.{MANIFEST}"), message));
        return None;
    };
    let sources = match info.setting(SOURCE) {
        Some(urls) => urls.split([',', ' ']).filter(|url| !url.is_empty()).map(str::to_owned).collect(),
        None => vec![format!("{}/images/{manifest}", around.base)],
    };
    Some(Image { name: format!("{}-{ngid}", info.ngtype), manifest, sources, tmpfs_mib: None })
}

fn package(info: &NodeInfo, around: &Around, out: Out<'_>) -> Option<Package> {
    let os = distribution(&info.ostype, out)?;
    let base = match network::installer(info) {
        "" => around.base.clone(),
        host => format!("http://{host}"),
    };
    let mut packages: Vec<String> = Vec::new();
    for name in info.components.iter().chain(&info.optpackages) {
        if !name.is_empty() && !packages.contains(name) {
            packages.push(name.clone());
        }
    }
    Some(Package {
        os,
        source: Source::Url(format!("{base}{}", info.repo)),
        repositories: Vec::new(),
        environment: None,
        groups: Vec::new(),
        packages,
        exclude: Vec::new(),
        selinux: Selinux::default(),
        firewall: None,
        services: Services::default(),
        users: Vec::new(),
        template: None,
        extra: Vec::new(),
    })
}

/// `NAME-VERSION-ARCH`; the name may have a `-`, too.
fn distribution(ostype: &str, out: Out<'_>) -> Option<Distribution> {
    let parts = ostype.trim().rsplit_once('-').and_then(|(rest, arch)| Some((rest.rsplit_once('-')?, arch)));
    let Some(((name, version), arch)) = parts else {
        let message = format!("`{ostype}` is not NAME-VERSION-ARCH, as in `rocky-9.6-x86_64`");
        out.push(Finding::error("nodeinfo.ostype", message));
        return None;
    };
    let family = match name.to_lowercase().as_str() {
        "fedora" => Family::Fedora,
        "rhel" | "redhat" | "centos" | "centos-stream" | "rocky" | "alma" | "almalinux" | "oracle" | "ol" => {
            Family::Rhel
        }
        _ => {
            let message =
                format!("`{name}` has no anaconda that camphor drives: Fedora and the Red Hat family have");
            out.push(Finding::error("nodeinfo.ostype", message));
            return None;
        }
    };
    Some(Distribution { family, version: version.to_owned(), arch: arch.to_owned() })
}
