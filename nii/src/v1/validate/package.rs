//! `package`: every value here ends on a line of the kickstart.

use std::collections::BTreeSet;

use super::Out;
use super::scripts::remote;
use super::words::{is_account, is_made_of, is_path, is_program, key_fault, url_fault};
use crate::Finding;
use crate::v1::{Firewall, Nii, Package, Repository, Source, User};

/// What anaconda's payload reads.
const SCHEMES: [&str; 4] = ["http", "https", "ftp", "file"];
/// The variables of dnf that it fills in.
const VARIABLES: [&str; 3] = ["$releasever", "$basearch", "$arch"];

pub(super) fn package(nii: &Nii, out: Out<'_>) {
    let Some(package) = &nii.package else { return };
    os(package, out);
    source(&package.source, "package.source", out);
    repositories(&package.repositories, out);
    names(package, out);
    if let Some(firewall) = &package.firewall {
        self::firewall(firewall, out);
    }
    let services = &package.services;
    for (list, units) in [("enabled", &services.enabled), ("disabled", &services.disabled)] {
        let path = format!("package.services.{list}");
        each(units, &path, |unit| is_made_of(unit, "_@.:-"), "is no unit name", out);
    }
    for (i, unit) in services.disabled.iter().enumerate() {
        if services.enabled.contains(unit) {
            let message = format!("`{unit}` is enabled as well");
            out.push(Finding::error(format!("package.services.disabled[{i}]"), message));
        }
    }
    users(&package.users, out);
    if let Some(template) = &package.template {
        remote(&template.url, "package.template.url", out);
    }
    for (i, text) in package.extra.iter().enumerate() {
        if text.contains('\0') {
            out.push(Finding::error(format!("package.extra[{i}]"), "must not have a NUL character"));
        }
    }
}

/// One error for each value that is not right.
fn each(values: &[String], path: &str, right: impl Fn(&str) -> bool, wrong: &str, out: Out<'_>) {
    for (i, value) in values.iter().enumerate() {
        if !right(value) {
            out.push(Finding::error(format!("{path}[{i}]"), format!("`{}` {wrong}", value)));
        }
    }
}

fn os(package: &Package, out: Out<'_>) {
    let number = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    if !package.os.version.split('.').all(number) {
        let message = format!("`{}` is no version such as `9.6`", package.os.version);
        out.push(Finding::error("package.os.version", message));
    }
    if !is_made_of(&package.os.arch, "_") {
        let message = format!("`{}` is no architecture such as `x86_64`", package.os.arch);
        out.push(Finding::error("package.os.arch", message));
    }
}

fn source(source: &Source, path: &str, out: Out<'_>) {
    let (url, key) = match source {
        Source::Url(url) => (url, "url"),
        Source::Mirrorlist(url) => (url, "mirrorlist"),
        Source::Metalink(url) => (url, "metalink"),
    };
    let plain = VARIABLES.iter().fold(url.clone(), |url, variable| url.replace(variable, "x"));
    if let Some(fault) = url_fault(&plain, &SCHEMES) {
        out.push(Finding::error(format!("{path}.{key}"), fault));
    }
}

fn repositories(repositories: &[Repository], out: Out<'_>) {
    let mut names = BTreeSet::new();
    for (i, repository) in repositories.iter().enumerate() {
        let path = format!("package.repositories[{i}]");
        if !is_made_of(&repository.name, "_.:-") {
            let message = "must be letters, digits, `_`, `.`, `:` and `-`";
            out.push(Finding::error(format!("{path}.name"), message));
        }
        if !names.insert(&repository.name) {
            let message = format!("another repository is named `{}`", repository.name);
            out.push(Finding::error(format!("{path}.name"), message));
        }
        source(&repository.source, &format!("{path}.source"), out);
    }
}

/// Lines of `%packages`, where `@`, `-`, `#` and `%` at the beginning and blanks anywhere mean something.
fn names(package: &Package, out: Out<'_>) {
    let is_group = |name: &str| is_made_of(name, "_.+:/-");
    let is_package = |name: &str| is_made_of(name, "_.+:*?~^-");
    let environment = package.environment.as_ref();
    if let Some(name) = environment.filter(|name| !is_group(name)) {
        let message = format!("`{}` is no id of an environment group", name);
        out.push(Finding::error("package.environment", message));
    }
    each(&package.groups, "package.groups", is_group, "is no id of a group (without the `@`)", out);
    each(&package.packages, "package.packages", is_package, "is no package name", out);
    each(&package.exclude, "package.exclude", is_package, "is no package name (without the `-`)", out);
}

fn firewall(firewall: &Firewall, out: Out<'_>) {
    let path = "package.firewall";
    let is_service = |name: &str| is_made_of(name, "_-");
    each(&firewall.services, &format!("{path}.services"), is_service, "is no service of firewalld", out);
    let wrong = "is no port such as `514:udp`";
    each(&firewall.ports, &format!("{path}.ports"), is_port, wrong, out);
    let lets_in = firewall.services.len() + firewall.ports.len();
    if !firewall.enabled && lets_in > 0 {
        let message = "is off, and lets something in: switch it on, or leave that out";
        out.push(Finding::error(format!("{path}.enabled"), message));
    }
}

/// `N:PROTOCOL` or `N-M:PROTOCOL`.
fn is_port(port: &str) -> bool {
    let Some((range, protocol)) = port.split_once(':') else { return false };
    let number = |text: &str| {
        let digits = text.chars().all(|c| c.is_ascii_digit());
        text.parse::<u16>().ok().filter(|port| digits && *port > 0)
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let fits = number(first).zip(number(last)).is_some_and(|(first, last)| first <= last);
    fits && ["tcp", "udp", "sctp", "dccp"].contains(&protocol)
}

fn users(users: &[User], out: Out<'_>) {
    let mut names = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for (i, user) in users.iter().enumerate() {
        let path = format!("package.users[{i}]");
        if !is_account(&user.name) || user.name == "root" {
            let message = "must be a login name of letters, digits, `_`, `.` and `-`, at most 32; root has its own section";
            out.push(Finding::error(format!("{path}.name"), message));
        }
        if !names.insert(&user.name) {
            let message = format!("another account is named `{}`", user.name);
            out.push(Finding::error(format!("{path}.name"), message));
        }
        if user.uid.is_some_and(|uid| uid == 0 || uid == u32::MAX || !ids.insert(uid)) {
            let message = "must be an id of its own, and not root's";
            out.push(Finding::error(format!("{path}.uid"), message));
        }
        if user.gid.is_some_and(|gid| gid == 0 || gid == u32::MAX) {
            out.push(Finding::error(format!("{path}.gid"), "must be an id, and not root's"));
        }
        one_user(user, &path, out);
    }
}

fn one_user(user: &User, path: &str, out: Out<'_>) {
    each(&user.groups, &format!("{path}.groups"), is_account, "is no name of a group", out);
    let home = |home: &str| is_path(home) && !home.contains([':', ',']);
    if user.home.as_deref().is_some_and(|path| !home(path)) {
        out.push(Finding::error(format!("{path}.home"), "must be an absolute path in its shortest form"));
    }
    if user.shell.as_deref().is_some_and(|shell| !shell.starts_with('/') || !is_program(shell)) {
        out.push(Finding::error(format!("{path}.shell"), "must be an absolute path of a program"));
    }
    let wrong = |c: char| c.is_control() || ":\"`$\\".contains(c);
    if user.gecos.as_deref().is_some_and(|gecos| gecos.contains(wrong)) {
        let message = "must be one line without `:`, `\"`, `$`, `\\` and back quotes";
        out.push(Finding::error(format!("{path}.gecos"), message));
    }
    for (j, key) in user.authorized_keys.iter().enumerate() {
        if let Some(fault) = key_fault(key) {
            out.push(Finding::error(format!("{path}.authorized_keys[{j}]"), fault));
        }
    }
}
