//! `/etc/profile.nii`: the NII as Kusu exported it, for the site's scripts.
//!
//! Kusu wrote `export NII_…=value` without quotes. Here every value is one word of POSIX sh, whatever is in it. No secret is in it: only the
//! public part of the NII is read.

use std::collections::BTreeMap;

use nii::Nii;
use nii::v1::{Family4, InstallType, Interface, InterfaceMatch, Source};

/// Path in the installed system, relative to its root.
pub const PATH: &str = "etc/profile.nii";

/// Its text: one `export NII_KEY='value'` a line, by key. Attributes win over what is derived from the NII: a site says by them what it wants
/// its scripts to see, and a Kusu head node what an NII has no field for (`NGID`, `NICDEF0`, …). Keys that no
/// variable can have are left out; validation warned of them. `head` is the head node's URL, as in
/// `http://10.0.0.1:8080`. docs/kusu.md has the table.
pub fn profile(nii: &Nii, head: Option<&str>) -> String {
    let mut variables = derived(nii);
    variables.extend(head.and_then(host).map(|host| ("INSTALLERS".to_owned(), host.to_owned())));
    for (key, value) in &nii.node.attributes {
        if !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            variables.insert(key.clone(), value.clone());
        }
    }
    variables.iter().map(|(key, value)| format!("export NII_{key}={}\n", quoted(value))).collect()
}

fn derived(nii: &Nii) -> BTreeMap<String, String> {
    let kind = match nii.install.kind {
        InstallType::Package => "package",
        InstallType::Disked => "disked",
        InstallType::Diskless => "diskless",
    };
    let mut variables = BTreeMap::from([
        ("HOSTNAME".to_owned(), nii.network.hostname.clone()),
        ("NGTYPE".to_owned(), nii.node.group.clone()),
        ("INSTALLTYPE".to_owned(), kind.to_owned()),
    ]);
    if let Some(package) = &nii.package {
        let family = match package.os.family {
            nii::v1::Family::Rhel => "rhel",
            nii::v1::Family::Fedora => "fedora",
        };
        variables.insert("OSTYPE".into(), format!("{family}-{}-{}", package.os.version, package.os.arch));
        if let Source::Url(url) = &package.source {
            variables.insert("REPO".into(), url.clone());
        }
    }
    for (i, interface) in nii.network.interfaces.iter().enumerate() {
        variables.insert(format!("NICDEF{i}"), nic(interface));
    }
    variables
}

/// The host of a URL, without its port; an IPv6 address in its brackets.
fn host(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split('/').next()?;
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    (!host.is_empty()).then_some(host)
}

/// `dev|ip|subnet|net|suffix|gw|dhcp|options|mac|type`; what is not known is empty.
fn nic(interface: &Interface) -> String {
    let (device, mac) = match &interface.select {
        InterfaceMatch::Name(name) => (name.as_str(), ""),
        InterfaceMatch::Mac(mac) => ("", mac.as_str()),
    };
    let (mut ip, mut mask, mut network, mut gateway) =
        (String::new(), String::new(), String::new(), String::new());
    if let Some(Family4::Static(wanted)) = &interface.ipv4 {
        let bits = u32::MAX.checked_shl(32 - u32::from(wanted.prefix.min(32))).unwrap_or(0);
        ip = wanted.address.to_string();
        mask = std::net::Ipv4Addr::from(bits).to_string();
        network = std::net::Ipv4Addr::from(u32::from(wanted.address) & bits).to_string();
        gateway = wanted.gateway.map(|gateway| gateway.to_string()).unwrap_or_default();
    }
    let dhcp = if interface.ipv4 == Some(Family4::Dhcp) { "1" } else { "0" };
    [device, &ip, &mask, &network, "", &gateway, dhcp, "", mac, ""].join("|")
}

/// One word of POSIX sh (XCU 2.2.2: within single quotes nothing is special). A variable cannot hold a NUL.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\0', "").replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use nii::{Strictness, read};
    use proptest::prelude::*;

    use super::*;

    fn nii(fixture: &str) -> Nii {
        read(fixture.as_bytes(), Strictness::Strict).unwrap().0
    }

    fn package() -> Nii {
        nii(include_str!("../../nii/fixtures/v1/package.json"))
    }

    /// What /bin/sh has of the variable once it read the text, and whether anything else came of it.
    #[allow(clippy::disallowed_methods, reason = "a shell says what a shell makes of it")]
    fn value_in_sh(profile: &str, key: &str) -> String {
        let script = format!("set -eu\n{profile}\nprintf '%s' \"$NII_{key}\"\n");
        let mut shell = Command::new("/bin/sh");
        let mut shell = shell
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = shell.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{profile}\n{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn what_a_package_node_exports() {
        let expected = "export NII_HOSTNAME='p001'\n\
            export NII_INSTALLERS='10.0.0.1'\n\
            export NII_INSTALLTYPE='package'\n\
            export NII_NGID='7'\n\
            export NII_NGTYPE='package'\n\
            export NII_NICDEF0='||||||1||52:54:00:00:00:03|'\n\
            export NII_NICDEF1='bond0|10.2.0.5|255.255.0.0|10.2.0.0|||0|||'\n\
            export NII_NICDEF2='bond0.40|10.40.0.5|255.255.0.0|10.40.0.0|||0|||'\n\
            export NII_OSTYPE='rhel-9.6-x86_64'\n\
            export NII_REPO='http://10.0.0.1/rocky/9/BaseOS/x86_64/os/'\n\
            export NII_rack='R07'\n";
        assert_eq!(profile(&package(), Some("http://10.0.0.1:8080")), expected);
        assert_eq!(value_in_sh(expected, "NICDEF1"), "bond0|10.2.0.5|255.255.0.0|10.2.0.0|||0|||");
    }

    #[test]
    fn the_head_node_is_a_host() {
        for (url, expected) in [
            ("https://10.0.0.1:8443", Some("10.0.0.1")),
            ("https://head.example/", Some("head.example")),
            ("http://[fd00::1]:8000/x", Some("[fd00::1]")),
            ("http://[fd00::1]", Some("[fd00::1]")),
            ("head", None),
            ("http://", None),
        ] {
            assert_eq!(host(url), expected, "{url}");
        }
        // A Kusu head node says it itself, and there is no other.
        let mut nii = package();
        nii.node.attributes.insert("INSTALLERS".into(), "10.9.0.1".into());
        assert!(profile(&nii, Some("https://10.0.0.1")).contains("export NII_INSTALLERS='10.9.0.1'\n"));
        assert!(!profile(&package(), None).contains("INSTALLERS"));
    }

    #[test]
    fn attributes_win_and_strange_keys_are_left_out() {
        let mut nii = package();
        let attributes = [
            ("NICDEF0", "eth0|a"),
            ("", "x"),
            ("a b", "x"),
            ("a;reboot", "x"),
            ("a\nb", "x"),
            ("ä", "x"),
            ("a=b", "x"),
        ];
        nii.node.attributes = attributes.map(|(key, value)| (key.into(), value.into())).into();
        let text = profile(&nii, None);
        assert!(text.contains("export NII_NICDEF0='eth0|a'\n"), "{text}");
        assert!(!text.contains('x') || text.lines().all(|line| !line.ends_with("='x'")), "{text}");
    }

    #[test]
    fn no_secret_is_in_it() {
        for fixture in [
            include_str!("../../nii/fixtures/v1/package.json"),
            include_str!("../../nii/fixtures/v1/disked.json"),
        ] {
            let text = profile(&nii(fixture), None);
            assert!(!text.contains("$6$") && !text.contains("PRIVATE"), "{text}");
            assert_eq!(text, profile(&nii(fixture).public(), None));
        }
    }

    #[test]
    fn hostile_values_come_out_of_a_shell_as_they_went_in() {
        for value in [
            "",
            "'",
            "''",
            "\\",
            "$(touch /tmp/x)",
            "`reboot`",
            "a b  c",
            "a\nb\n",
            "\"$HOME\"",
            "'; exit 1; '",
            "!!",
            "#",
            "*",
            "~",
            "ä€",
            "\t",
            "\r",
            "-n",
            "%s",
            "\\'",
            "'\\''",
        ] {
            let mut nii = package();
            nii.node.attributes = BTreeMap::from([("KEY".into(), value.into())]);
            assert_eq!(value_in_sh(&profile(&nii, None), "KEY"), value);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_value_does(value in "[^\0]{0,40}") {
            let mut nii = package();
            nii.node.attributes = BTreeMap::from([("KEY".into(), value.clone())]);
            prop_assert_eq!(value_in_sh(&profile(&nii, None), "KEY"), value);
        }
    }
}
