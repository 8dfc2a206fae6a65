//! What makes an NII impossible or dangerous, beside its shape. Every rule is one small function that pushes findings.

use std::collections::BTreeSet;

use super::{
    Disk, Family4, Family6, Filesystem, Format, HostKeys, InstallType, Interface, InterfaceMatch, Loader,
    Nii, PARTITION_NAME_MAX, PartitionType, Static4, Static6,
};
use crate::Finding;

pub(super) fn nii(nii: &Nii) -> Vec<Finding> {
    let mut findings = Vec::new();
    let out = &mut findings;
    node(nii, out);
    locale(nii, out);
    root(nii, out);
    network(nii, out);
    disks(nii, out);
    filesystems(nii, out);
    layout(nii, out);
    image(nii, out);
    modules(nii, out);
    boot(nii, out);
    findings
}

/// The label of the partition that holds the journal of an install.
const RESERVED_LABEL: &str = "camphor";

type Out<'a> = &'a mut Vec<Finding>;

fn node(nii: &Nii, out: Out<'_>) {
    if !is_name(&nii.node.name) {
        out.push(Finding::error("node.name", "must be letters, digits, `-`, `_` and `.`, 1 to 64 of them"));
    }
    if !is_name(&nii.node.group) {
        out.push(Finding::error("node.group", "must be letters, digits, `-`, `_` and `.`, 1 to 64 of them"));
    }
    for (step, seconds) in &nii.install.deadlines {
        if *seconds == 0 {
            out.push(Finding::error(format!("install.deadlines.{step}"), "must be at least 1 second"));
        }
    }
}

fn locale(nii: &Nii, out: Out<'_>) {
    let zone = &nii.locale.timezone;
    let part_is_right =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "_+-".contains(c));
    if !zone.split('/').all(part_is_right) {
        out.push(Finding::error(
            "locale.timezone",
            format!("`{zone}` is no tz database name such as `Europe/Berlin`"),
        ));
    }
}

fn root(nii: &Nii, out: Out<'_>) {
    for (i, key) in nii.root.authorized_keys.iter().enumerate() {
        let path = format!("root.authorized_keys[{i}]");
        if key.contains(['\n', '\r', '\0']) {
            out.push(Finding::error(path, "must be one line"));
        } else if key.contains("PRIVATE KEY") {
            out.push(Finding::error(path, "is a private key; put the public one here"));
        } else if key.split_whitespace().count() < 2 {
            out.push(Finding::error(path, "is no authorized_keys line: `TYPE BASE64 [COMMENT]`"));
        }
    }
    let Some(secrets) = &nii.secrets else { return };
    if let Some(hash) = &secrets.root_password_hash
        && (!hash.expose().starts_with('$') || hash.expose().contains([':', '\n']))
    {
        out.push(Finding::error("secrets.root_password_hash", "is no crypt(5) hash such as `$6$…`"));
    }
    if nii.root.ssh_host_keys == HostKeys::Provided && secrets.ssh_host_keys.is_empty() {
        out.push(Finding::error("secrets.ssh_host_keys", "is empty, and root.ssh_host_keys is `provided`"));
    }
    for (i, key) in secrets.ssh_host_keys.iter().enumerate() {
        if !["ed25519", "ecdsa", "rsa"].contains(&key.kind.as_str()) {
            let message = format!("`{}` is none of ed25519, ecdsa, rsa", key.kind);
            out.push(Finding::error(format!("secrets.ssh_host_keys[{i}].type"), message));
        }
    }
}

fn network(nii: &Nii, out: Out<'_>) {
    let network = &nii.network;
    if !is_host_label(&network.hostname) {
        let message = "must be one label: letters, digits and `-`, at most 63; the domain has its own field";
        out.push(Finding::error("network.hostname", message));
    }
    for (i, domain) in network.domain.iter().chain(&network.search).enumerate() {
        if !domain.split('.').all(is_host_label) {
            let path = match (&network.domain, i) {
                (Some(_), 0) => "network.domain".into(),
                (domain, i) => format!("network.search[{}]", i - usize::from(domain.is_some())),
            };
            out.push(Finding::error(path, format!("`{domain}` is no domain name")));
        }
    }
    let mut seen = BTreeSet::new();
    for (i, interface) in network.interfaces.iter().enumerate() {
        let path = format!("network.interfaces[{i}]");
        if !seen.insert(format!("{:?}", interface.select)) {
            out.push(Finding::error(format!("{path}.match"), "another interface has the same match"));
        }
        one_interface(interface, &path, out);
    }
}

fn one_interface(interface: &Interface, path: &str, out: Out<'_>) {
    match &interface.select {
        InterfaceMatch::Mac(mac) if !is_mac(mac) => {
            let message = format!("`{mac}` is no MAC address in lower case with colons");
            out.push(Finding::error(format!("{path}.match.mac"), message));
        }
        InterfaceMatch::Name(name) if !is_interface_name(name) => {
            out.push(Finding::error(format!("{path}.match.name"), format!("`{name}` is no interface name")));
        }
        _ => {}
    }
    if interface.mtu.is_some_and(|mtu| !(576..=65535).contains(&mtu)) {
        out.push(Finding::error(format!("{path}.mtu"), "must be 576 to 65535 bytes"));
    }
    if let Some(Family4::Static(ip)) = &interface.ipv4 {
        static4(ip, &format!("{path}.ipv4.static"), out);
    }
    if let Some(Family6::Static(ip)) = &interface.ipv6 {
        static6(ip, &format!("{path}.ipv6.static"), out);
    }
    if interface.ipv4.is_none() && interface.ipv6.is_none() {
        out.push(Finding::warning(path, "has neither IPv4 nor IPv6: it will only be brought up"));
    }
}

fn static4(ip: &Static4, path: &str, out: Out<'_>) {
    if ip.prefix > 32 {
        out.push(Finding::error(format!("{path}.prefix"), "must be 0 to 32"));
    } else if let Some(gateway) = ip.gateway {
        let mask = u32::MAX.checked_shl(32 - u32::from(ip.prefix)).unwrap_or(0);
        if (u32::from(gateway) ^ u32::from(ip.address)) & mask != 0 {
            let message = format!("{gateway} is not in {}/{}", ip.address, ip.prefix);
            out.push(Finding::error(format!("{path}.gateway"), message));
        }
    }
    for (i, route) in ip.routes.iter().enumerate() {
        if route.prefix > 32 {
            out.push(Finding::error(format!("{path}.routes[{i}].prefix"), "must be 0 to 32"));
        }
    }
}

fn static6(ip: &Static6, path: &str, out: Out<'_>) {
    if ip.prefix > 128 {
        out.push(Finding::error(format!("{path}.prefix"), "must be 0 to 128"));
    }
    for (i, route) in ip.routes.iter().enumerate() {
        if route.prefix > 128 {
            out.push(Finding::error(format!("{path}.routes[{i}].prefix"), "must be 0 to 128"));
        }
    }
}

fn disks(nii: &Nii, out: Out<'_>) {
    let mut names = BTreeSet::new();
    let mut labels = BTreeSet::new();
    for (i, disk) in nii.storage.disks.iter().enumerate() {
        let path = format!("storage.disks[{i}]");
        if !is_name(&disk.name) {
            out.push(Finding::error(format!("{path}.name"), "must be letters, digits, `-`, `_` and `.`"));
        }
        if !names.insert(&disk.name) {
            out.push(Finding::error(
                format!("{path}.name"),
                format!("another disk is named `{}`", disk.name),
            ));
        }
        partitions(disk, &path, &mut labels, out);
    }
}

fn partitions<'a>(disk: &'a Disk, path: &str, labels: &mut BTreeSet<&'a str>, out: Out<'_>) {
    let mut growing = 0;
    if disk.partitions.is_empty() {
        out.push(Finding::error(
            format!("{path}.partitions"),
            "is empty: leave out a disk that is not to be touched",
        ));
    }
    for (i, partition) in disk.partitions.iter().enumerate() {
        let path = format!("{path}.partitions[{i}]");
        let units = partition.label.encode_utf16().count();
        if units == 0 || units > PARTITION_NAME_MAX || partition.label.contains(['/', '\0', '\n']) {
            let message = format!("must have 1 to {PARTITION_NAME_MAX} UTF-16 units, without `/`");
            out.push(Finding::error(format!("{path}.label"), message));
        }
        if !labels.insert(&partition.label) {
            let message = format!("another partition is labelled `{}`", partition.label);
            out.push(Finding::error(format!("{path}.label"), message));
        }
        if partition.label == RESERVED_LABEL {
            let message = format!("`{RESERVED_LABEL}` is the label of camphor's own partition");
            out.push(Finding::error(format!("{path}.label"), message));
        }
        match partition.size_mib {
            Some(0) => out.push(Finding::error(format!("{path}.size_mib"), "must be at least 1")),
            Some(_) => {}
            None => growing += 1,
        }
    }
    if growing > 1 {
        let message = "only one partition of a disk may be without size_mib and take what remains";
        out.push(Finding::error(format!("{path}.partitions"), message));
    }
}

fn filesystems(nii: &Nii, out: Out<'_>) {
    let mut partitions = BTreeSet::new();
    let mut mounts = BTreeSet::new();
    let mut labels = BTreeSet::new();
    for (i, filesystem) in nii.storage.filesystems.iter().enumerate() {
        let path = format!("storage.filesystems[{i}]");
        match nii.storage.partition(&filesystem.device) {
            None => {
                let message = format!("no disk has a partition labelled `{}`", filesystem.device);
                out.push(Finding::error(format!("{path}.device"), message));
            }
            Some((_, partition)) if partition.kind == PartitionType::BiosBoot => {
                let message = "is a BIOS boot partition: GRUB's core image is written there, no file system";
                out.push(Finding::error(format!("{path}.device"), message));
            }
            Some(_) => {}
        }
        if !partitions.insert(&filesystem.device) {
            let message = format!("`{}` already has a file system", filesystem.device);
            out.push(Finding::error(format!("{path}.device"), message));
        }
        if let Some(label) = &filesystem.label
            && !labels.insert(label)
        {
            out.push(Finding::error(
                format!("{path}.label"),
                format!("another file system is labelled `{label}`"),
            ));
        }
        if let Some(mount) = &filesystem.mount
            && !mounts.insert(mount)
        {
            out.push(Finding::error(format!("{path}.mount"), format!("`{mount}` is mounted twice")));
        }
        one_filesystem(filesystem, &path, out);
    }
}

fn one_filesystem(filesystem: &Filesystem, path: &str, out: Out<'_>) {
    let limit = match filesystem.format {
        Format::Ext4 | Format::Swap => 16,
        Format::Xfs => 12,
        Format::Vfat => 11,
    };
    if let Some(label) = &filesystem.label
        && (label.is_empty() || label.len() > limit || label.contains(char::is_whitespace))
    {
        let message =
            format!("{} takes a label of 1 to {limit} bytes without blanks", filesystem.format.name());
        out.push(Finding::error(format!("{path}.label"), message));
    }
    match (&filesystem.mount, filesystem.format) {
        (None, Format::Swap) if !filesystem.mkfs_options.is_empty() => {
            out.push(Finding::error(
                format!("{path}.mkfs_options"),
                "swap is made without mkfs, it takes none",
            ));
        }
        (Some(_), Format::Swap) => out.push(Finding::error(format!("{path}.mount"), "swap is not mounted")),
        (Some(mount), _) if !is_mount_point(mount) => {
            let message = format!("`{mount}` is no absolute path in its shortest form");
            out.push(Finding::error(format!("{path}.mount"), message));
        }
        _ => {}
    }
    for (i, option) in filesystem.mount_options.iter().enumerate() {
        if option.is_empty() || option.contains(|c: char| c.is_whitespace() || c == ',') {
            let message = "must be one mount option, without blanks or commas";
            out.push(Finding::error(format!("{path}.mount_options[{i}]"), message));
        }
    }
}

/// What a bootable disked node needs.
fn layout(nii: &Nii, out: Out<'_>) {
    if nii.install.kind != InstallType::Disked {
        return;
    }
    match nii.storage.mounted_at("/") {
        None => out
            .push(Finding::error("storage.filesystems", "a disked node needs a file system mounted at `/`")),
        Some(root) if root.format == Format::Vfat => {
            out.push(Finding::error(
                "storage.filesystems",
                "`/` cannot be vfat: it keeps no owners or modes",
            ));
        }
        Some(_) => {}
    }
    for disk in &nii.storage.disks {
        for partition in disk.partitions.iter().filter(|p| p.kind == PartitionType::Esp) {
            let made = nii.storage.filesystems.iter().find(|f| f.device == partition.label);
            if made.is_some_and(|f| f.format != Format::Vfat) {
                let message =
                    format!("the ESP `{}` must be vfat: firmware reads nothing else", partition.label);
                out.push(Finding::error("storage.filesystems", message));
            }
        }
    }
}

fn image(nii: &Nii, out: Out<'_>) {
    let Some(image) = &nii.image else {
        if nii.install.kind != InstallType::Package {
            out.push(Finding::error("image", "a disked or diskless install needs an image"));
        }
        return;
    };
    if image.sources.is_empty() {
        out.push(Finding::error("image.sources", "is empty: at least one URL is needed"));
    }
    if image.tmpfs_mib == Some(0) {
        out.push(Finding::error("image.tmpfs_mib", "must be at least 1; leave it out for the default"));
    }
    for (i, url) in image.sources.iter().enumerate() {
        if !(url.starts_with("http://") || url.starts_with("https://")) || url.contains(char::is_whitespace) {
            out.push(Finding::error(
                format!("image.sources[{i}]"),
                format!("`{url}` is no http or https URL"),
            ));
        }
    }
}

fn modules(nii: &Nii, out: Out<'_>) {
    for (i, module) in nii.modules.iter().enumerate() {
        let right = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if module.name.is_empty() || !module.name.chars().all(right) {
            out.push(Finding::error(
                format!("modules[{i}].name"),
                format!("`{}` is no module name", module.name),
            ));
        }
    }
}

fn boot(nii: &Nii, out: Out<'_>) {
    for (i, argument) in nii.boot.kernel_args.iter().enumerate() {
        let path = format!("boot.kernel_args[{i}]");
        if argument.is_empty() || argument.contains(|c: char| c.is_whitespace() || "\"'`$\\".contains(c)) {
            out.push(Finding::error(path, "must be one argument, without blanks, quotes, `$` or `\\`"));
        } else if argument.starts_with("root=") {
            out.push(Finding::error(path, "camphor sets root= itself, from the root file system"));
        }
    }
    if nii.boot.loader == Loader::SystemdBoot && nii.install.kind == InstallType::Disked {
        let esp = nii.storage.disks.iter().flat_map(|d| &d.partitions).any(|p| p.kind == PartitionType::Esp);
        if !esp {
            out.push(Finding::error("boot.loader", "systemd-boot needs a partition of type `esp`"));
        }
    }
}

/// Names of nodes, groups and disks: they become file names and URL parts.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && !name.starts_with(['.', '-'])
}

/// RFC 1123, section 2.1.
fn is_host_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn is_mac(mac: &str) -> bool {
    let byte =
        |part: &str| part.len() == 2 && part.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    mac.split(':').count() == 6 && mac.split(':').all(byte)
}

/// IFNAMSIZ is 16 with the final NUL; `dev_valid_name` of the kernel refuses `/`, `:` and blanks.
fn is_interface_name(name: &str) -> bool {
    (1..16).contains(&name.len())
        && ![".", ".."].contains(&name)
        && name.chars().all(|c| c.is_ascii_graphic() && c != '/' && c != ':')
}

fn is_mount_point(path: &str) -> bool {
    let part =
        |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(char::is_whitespace);
    path == "/" || path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(part))
}
