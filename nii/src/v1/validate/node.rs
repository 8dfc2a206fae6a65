//! `node`, `install.deadlines`, `locale`, `root`, and the accounts' part of `secrets`.

use super::Out;
use super::words::{is_crypt, is_host, is_made_of, is_name, key_fault};
use crate::Finding;
use crate::v1::{HostKeys, Nii};

pub(super) fn node(nii: &Nii, out: Out<'_>) {
    let name = "must be letters, digits, `-`, `_` and `.`, 1 to 64 of them";
    if !is_name(&nii.node.name) {
        out.push(Finding::error("node.name", name));
    }
    if !is_name(&nii.node.group) {
        out.push(Finding::error("node.group", name));
    }
    if nii.node.uid.as_deref().is_some_and(|uid| !is_name(uid)) {
        out.push(Finding::error("node.uid", name));
    }
    for (key, value) in &nii.node.attributes {
        let path = format!("node.attributes.{key}");
        if value.contains('\0') {
            out.push(Finding::error(path, "must not have a NUL character"));
        } else if !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            let message = "scripts do not see it: the name of a variable has letters, digits and `_` only";
            out.push(Finding::warning(path, message));
        }
    }
    for (step, seconds) in &nii.install.deadlines {
        if *seconds == 0 {
            out.push(Finding::error(format!("install.deadlines.{step}"), "must be at least 1 second"));
        }
    }
}

pub(super) fn locale(nii: &Nii, out: Out<'_>) {
    let locale = &nii.locale;
    let part_is_right =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "_+-".contains(c));
    if !locale.timezone.split('/').all(part_is_right) || locale.timezone.starts_with('-') {
        let message = format!("`{}` is no tz database name such as `Europe/Berlin`", locale.timezone);
        out.push(Finding::error("locale.timezone", message));
    }
    for (i, server) in locale.ntp.iter().enumerate() {
        if !is_host(server) {
            let message = format!("`{}` is no host name or address", server);
            out.push(Finding::error(format!("locale.ntp[{i}]"), message));
        }
    }
    if !is_made_of(&locale.lang, "_.@-") {
        let message = format!("`{}` is no language such as `de_DE.UTF-8`", locale.lang);
        out.push(Finding::error("locale.lang", message));
    }
    if !is_made_of(&locale.keyboard, "_-.") {
        let message = format!("`{}` is no keyboard layout such as `de`", locale.keyboard);
        out.push(Finding::error("locale.keyboard", message));
    }
}

pub(super) fn root(nii: &Nii, out: Out<'_>) {
    for (i, key) in nii.root.authorized_keys.iter().enumerate() {
        if let Some(fault) = key_fault(key) {
            out.push(Finding::error(format!("root.authorized_keys[{i}]"), fault));
        }
    }
    let Some(secrets) = &nii.secrets else { return };
    let no_hash = "is no crypt(5) hash such as `$6$…`";
    if secrets.root_password_hash.as_ref().is_some_and(|hash| !is_crypt(hash.expose())) {
        out.push(Finding::error("secrets.root_password_hash", no_hash));
    }
    let users = nii.package.iter().flat_map(|package| &package.users);
    let users: Vec<&str> = users.map(|user| user.name.as_str()).collect();
    for (name, hash) in &secrets.user_password_hashes {
        let path = format!("secrets.user_password_hashes.{name}");
        if !is_crypt(hash.expose()) {
            out.push(Finding::error(&path, no_hash));
        }
        if !users.contains(&name.as_str()) {
            out.push(Finding::error(path, format!("package.users has no `{}`", name)));
        }
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
