//! Validation of what only package installs have, by JSON path, and that no hostile value gets into a kickstart line.

#![allow(clippy::unwrap_used, reason = "test support")]

use nii::{Finding, ReadError, Severity, Strictness, read};
use proptest::prelude::*;
use serde_json::{Value, json};

fn fixture() -> Value {
    serde_json::from_str(include_str!("../fixtures/v1/package.json")).unwrap()
}

/// The fixture with values set by JSON pointer; the last part may be a new key, `-` appends, and null removes a key.
fn with(changes: &[(&str, Value)]) -> Value {
    let mut document = fixture();
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match document.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}")) {
            Value::Array(items) if key == "-" => items.push(value.clone()),
            Value::Array(items) => items[key.parse::<usize>().unwrap()] = value.clone(),
            Value::Object(map) if value.is_null() => drop(map.remove(key)),
            parent => parent[key] = value.clone(),
        }
    }
    document
}

fn findings(document: &Value) -> Vec<Finding> {
    match read(document.to_string().as_bytes(), Strictness::Strict) {
        Ok((_, warnings)) => warnings,
        Err(ReadError::Refused(findings)) => findings,
        Err(other) => panic!("{other}"),
    }
}

/// Expects exactly these findings, by path.
#[track_caller]
fn found(changes: &[(&str, Value)], severity: Severity, expected: &[(&str, &str)]) {
    let findings = findings(&with(changes));
    let paths: Vec<&str> = findings.iter().map(|finding| finding.path.as_str()).collect();
    assert_eq!(
        paths,
        expected.iter().map(|(path, _)| *path).collect::<Vec<_>>(),
        "{changes:?}: {findings:?}"
    );
    for (finding, (_, words)) in findings.iter().zip(expected) {
        assert_eq!(finding.severity, severity, "{finding}");
        assert!(finding.message.contains(words), "{finding}");
    }
}

#[track_caller]
fn refused(changes: &[(&str, Value)], path: &str, words: &str) {
    found(changes, Severity::Error, &[(path, words)]);
}

#[test]
fn the_flow() {
    refused(&[("/install/after", json!("switch-root"))], "install.after", "anaconda does not");
    refused(&[("/boot/loader", json!("systemd-boot"))], "boot.loader", "`grub`");
    refused(&[("/boot/rebuild_initramfs", json!("never"))], "boot.rebuild_initramfs", "`auto`");
    refused(&[("/modules", json!([{"name": "ixgbe"}]))], "modules", "installs from an image");
    let image = json!({"name": "x", "manifest": "00".repeat(32), "sources": ["http://head/x"]});
    refused(&[("/image", image)], "image", "no image");
    let none = [("/package", Value::Null), ("/secrets/user_password_hashes", Value::Null)];
    refused(&none, "package", "needs it");
    refused(&[("/storage/filesystems/0/mount", json!("/srv"))], "storage.filesystems", "package node");
    refused(&[("/storage/filesystems/2/format", json!("ext4"))], "storage.filesystems", "must be vfat");
    let mode = [("/storage/mode", json!("anaconda"))];
    let kept = [
        ("storage.disks[1].partitions[2].preserve", "clears the disks"),
        ("storage.filesystems[4].preserve", "clears the disks"),
    ];
    found(&mode, Severity::Error, &kept);
}

#[test]
fn words_that_reach_a_kickstart() {
    let hostile = [
        "",
        "a b",
        "a\nb",
        "a\"b",
        "a'b",
        "$(reboot)",
        "`x`",
        "a\\b",
        "a#b",
        "%end",
        "-x",
        "a;b",
        "a\0b",
        "ä",
    ];
    for (pointer, path) in [
        ("/node/uid", "node.uid"),
        ("/locale/lang", "locale.lang"),
        ("/locale/keyboard", "locale.keyboard"),
        ("/locale/ntp/0", "locale.ntp[0]"),
        ("/locale/timezone", "locale.timezone"),
        ("/network/domain", "network.domain"),
        ("/network/interfaces/1/bond/members/1/name", "network.interfaces[1].bond.members[1].name"),
        ("/network/interfaces/2/match/name", "network.interfaces[2].match.name"),
        ("/network/interfaces/2/vlan/parent/name", "network.interfaces[2].vlan.parent.name"),
        ("/package/os/version", "package.os.version"),
        ("/package/os/arch", "package.os.arch"),
        ("/package/source/url", "package.source.url"),
        ("/package/repositories/0/name", "package.repositories[0].name"),
        ("/package/repositories/0/source/mirrorlist", "package.repositories[0].source.mirrorlist"),
        ("/package/repositories/1/source/metalink", "package.repositories[1].source.metalink"),
        ("/package/environment", "package.environment"),
        ("/package/groups/0", "package.groups[0]"),
        ("/package/packages/0", "package.packages[0]"),
        ("/package/exclude/0", "package.exclude[0]"),
        ("/package/firewall/services/0", "package.firewall.services[0]"),
        ("/package/firewall/ports/0", "package.firewall.ports[0]"),
        ("/package/services/enabled/0", "package.services.enabled[0]"),
        ("/package/services/disabled/0", "package.services.disabled[0]"),
        ("/package/users/0/groups/0", "package.users[0].groups[0]"),
        ("/package/users/0/home", "package.users[0].home"),
        ("/package/users/0/shell", "package.users[0].shell"),
        ("/package/template/url", "package.template.url"),
        ("/scripts/0/name", "scripts[0].name"),
        ("/scripts/0/url", "scripts[0].url"),
        ("/scripts/0/interpreter", "scripts[0].interpreter"),
        ("/storage/filesystems/3/mount_options/0", "storage.filesystems[3].mount_options[0]"),
    ] {
        for value in hostile {
            let fits = path.ends_with("mount_options[0]") && ["%end", "-x", "a;b"].contains(&value);
            let findings = findings(&with(&[(pointer, json!(value))]));
            let told = findings.iter().any(|finding| finding.is_error() && finding.path == path);
            assert_eq!(told, !fits, "{pointer} {value:?}: {findings:?}");
            assert!(!findings.iter().any(|finding| finding.to_string().contains('\n')), "{findings:?}");
        }
    }
}

/// Characters that a value of a kickstart line, of fstab or of a variable can do harm with.
fn evil() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![
            proptest::sample::select(vec![
                '"', '\'', '\n', '\r', ' ', '\t', '`', '$', '\\', '#', '\0', '%', '-', '/', ':', '='
            ]),
            proptest::char::range('a', 'd'),
        ],
        0..8,
    )
    .prop_map(|chars| chars.into_iter().collect())
}

proptest! {
    /// Any value anywhere: it is accepted, or refused with findings, and read again the same.
    #[test]
    fn no_document_is_a_panic(
        changes in proptest::collection::vec((0..1000_usize, 0..8_usize, evil(), any::<u64>()), 1..4),
    ) {
        let mut document = fixture();
        for (place, kind, text, number) in changes {
            let mut pointers = Vec::new();
            places(&document, String::new(), &mut pointers);
            let value = match kind {
                0 => Value::Null,
                1 => json!(number),
                2 => json!([]),
                3 => json!({}),
                4 => json!([text]),
                // What another place has, which is of the right type more often.
                5 | 6 => document.pointer(&pointers[usize::try_from(number % 997).unwrap() % pointers.len()]).unwrap().clone(),
                _ => json!(text),
            };
            *document.pointer_mut(&pointers[place % pointers.len()]).unwrap() = value;
        }
        if let Ok((nii, _)) = read(document.to_string().as_bytes(), Strictness::Strict) {
            let again = serde_json::to_vec(&nii).unwrap();
            prop_assert_eq!(read(&again, Strictness::Strict).unwrap().0, nii);
        }
    }

    /// Every string of the document but free text: if it is accepted, it is one harmless word.
    #[test]
    fn no_accepted_value_breaks_a_line(value in evil(), field in 0..1000_usize) {
        let mut document = fixture();
        let mut pointers = Vec::new();
        strings(&document, String::new(), &mut pointers);
        let free = ["/attributes/", "/extra/", "/authorized_keys", "/gecos", "/label", "/private", "/public",
            "/select/", "/devices/", "/device"];
        pointers.retain(|pointer| !free.iter().any(|free| pointer.contains(free)));
        let pointer = &pointers[field % pointers.len()];
        *document.pointer_mut(pointer).unwrap() = json!(value);
        if read(document.to_string().as_bytes(), Strictness::Strict).is_ok() {
            let harm = |c: char| c.is_control() || "\"'`\\# ".contains(c);
            prop_assert!(!value.contains(harm), "{pointer}: {value:?}");
        }
    }
}

fn places(value: &Value, pointer: String, out: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| places(item, format!("{pointer}/{i}"), out));
        }
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| places(value, format!("{pointer}/{key}"), out))
        }
        _ => {}
    }
    out.push(pointer);
}

fn strings(value: &Value, pointer: String, out: &mut Vec<String>) {
    match value {
        Value::String(_) => out.push(pointer),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| strings(item, format!("{pointer}/{i}"), out));
        }
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| strings(value, format!("{pointer}/{key}"), out));
        }
        _ => {}
    }
}

#[test]
fn urls() {
    let good =
        ["https://h:8443/a%20b/?x=1&y=$basearch", "ftp://h/$releasever/os", "file:///mnt/install/repo"];
    for url in good {
        assert_eq!(findings(&with(&[("/package/source/url", json!(url))])), [], "{url}");
    }
    let secret = "http://user:secret@h/x";
    refused(&[("/package/source/url", json!(secret))], "package.source.url", "user name");
    assert!(!findings(&with(&[("/package/source/url", json!(secret))]))[0].message.contains("secret"));
    refused(&[("/package/source/url", json!("http:///x"))], "package.source.url", "no URL");
    refused(&[("/package/source/url", json!("http://h/$HOME"))], "package.source.url", "no URL");
    refused(&[("/scripts/0/url", json!("file:///etc/shadow"))], "scripts[0].url", "http or https");
    refused(&[("/scripts/0/url", json!("/a/../b"))], "scripts[0].url", "no path");
}

#[test]
fn accounts_ports_and_names_that_are_there_twice() {
    for name in ["root", "", "1x", "a:b", &"x".repeat(33)] {
        let renamed = [
            ("/package/users/0/name", json!(name)),
            ("/secrets/user_password_hashes", json!({name: "$6$c2FsdHNhbHQ$hash"})),
        ];
        refused(&renamed, "package.users[0].name", "login name");
    }
    refused(&[("/package/users/-", json!({"name": "admin"}))], "package.users[1].name", "another account");
    let second = json!({"name": "second", "uid": 1500});
    refused(&[("/package/users/-", second)], "package.users[1].uid", "of its own");
    refused(&[("/package/users/0/uid", json!(0))], "package.users[0].uid", "not root's");
    refused(&[("/package/users/0/gid", json!(0))], "package.users[0].gid", "not root's");
    for gecos in ["a:b", "a\nb", "a\"b", "$x", "a\\b"] {
        refused(&[("/package/users/0/gecos", json!(gecos))], "package.users[0].gecos", "one line");
    }
    let key = [("/package/users/0/authorized_keys/0", json!("ssh-rsa A\nssh-rsa B"))];
    refused(&key, "package.users[0].authorized_keys[0]", "one line");
    let hash = [("/secrets/user_password_hashes", json!({"ghost": "$6$a$b"}))];
    refused(&hash, "secrets.user_password_hashes.ghost", "no `ghost`");
    let hash = [("/secrets/user_password_hashes/admin", json!("plain"))];
    refused(&hash, "secrets.user_password_hashes.admin", "crypt(5)");
    for port in ["0:tcp", "65536:tcp", "22", "22:icmp", "9-8:tcp", "+1:tcp", "1-:udp"] {
        refused(&[("/package/firewall/ports/0", json!(port))], "package.firewall.ports[0]", "514:udp");
    }
    refused(&[("/package/firewall/enabled", json!(false))], "package.firewall.enabled", "is off");
    let both = [("/package/services/disabled/0", json!("chronyd"))];
    refused(&both, "package.services.disabled[0]", "enabled as well");
    let name = [("/package/repositories/1/name", json!("AppStream"))];
    refused(&name, "package.repositories[1].name", "another repository");
    refused(&[("/scripts/1/name", json!("site-pre"))], "scripts[1].name", "another script");
    let attribute = [("/node/attributes/a-b", json!("x"))];
    found(&attribute, Severity::Warning, &[("node.attributes.a-b", "scripts do not see it")]);
}

#[test]
fn bonds_and_vlans() {
    const BOND: &str = "network.interfaces[1]";
    let bond = |field: &str| format!("/network/interfaces/1/{field}");
    let vlan = |field: &str| format!("/network/interfaces/2/{field}");
    let by_mac = [(bond("match"), json!({"mac": "52:54:00:00:00:09"}))];
    refused(&[(&by_mac[0].0, by_mac[0].1.clone())], &format!("{BOND}.match"), "must be the name");
    refused(&[(&bond("bond/members"), json!([]))], &format!("{BOND}.bond.members"), "at least one");
    let twice = json!({"mac": "52:54:00:00:00:04"});
    refused(&[(&bond("bond/members/1"), twice)], &format!("{BOND}.bond.members[1]"), "member already");
    let own = json!({"mac": "52:54:00:00:00:03"});
    refused(&[(&bond("bond/members/1"), own)], &format!("{BOND}.bond.members[1]"), "of its own");
    refused(&[(&bond("bond/options/mode"), json!("1"))], &format!("{BOND}.bond.options.mode"), "own field");
    refused(
        &[(&bond("bond/options/miimon"), json!("1,x=2"))],
        &format!("{BOND}.bond.options.miimon"),
        "kernel's",
    );
    refused(
        &[(&bond("vlan"), json!({"id": 1, "parent": {"name": "eth9"}}))],
        &format!("{BOND}.vlan"),
        "bond as well",
    );
    for id in [0, 4095] {
        refused(&[(&vlan("vlan/id"), json!(id))], "network.interfaces[2].vlan.id", "1 to 4094");
    }
    let own = json!({"name": "bond0.40"});
    refused(&[(&vlan("vlan/parent"), own)], "network.interfaces[2].vlan.parent", "itself");
}

#[test]
fn arrays_and_volumes() {
    let raid = |field: &str| format!("/storage/raid/0/{field}");
    for (level, least) in [("raid5", 3), ("raid6", 4), ("raid10", 4)] {
        refused(&[(&raid("level"), json!(level))], "storage.raid[0].devices", &format!("at least {least}"));
    }
    refused(&[(&raid("spares"), json!(2))], "storage.raid[0].devices", "at least 2");
    refused(&[(&raid("level"), json!("raid0"))], "storage.raid[0].spares", "no redundancy");
    let twice = [(&*raid("devices/2"), json!("r1")), ("/storage/disks/1/partitions/1/type", json!("linux"))];
    refused(&twice, "storage.raid[0].devices[2]", "used by the array `root` already");
    let wrong =
        [(&*raid("devices/2"), json!("boot")), ("/storage/disks/1/partitions/1/type", json!("linux"))];
    refused(&wrong, "storage.raid[0].devices[2]", "type `raid`");
    let named = [(&*raid("name"), json!("boot")), ("/storage/filesystems/0/device", json!("boot"))];
    let both = [("storage.raid[0].name", "or partition"), ("storage.filesystems[1].device", "already has")];
    found(&named, Severity::Error, &both);
    let group = |field: &str| format!("/storage/volume_groups/0/{field}");
    refused(&[(&group("devices/-"), json!("boot"))], "storage.volume_groups[0].devices[1]", "type `lvm`");
    refused(
        &[(&group("devices/-"), json!("none"))],
        "storage.volume_groups[0].devices[1]",
        "no partition or array",
    );
    refused(&[(&group("devices/-"), json!("pv1"))], "storage.volume_groups[0].devices[1]", "used by");
    refused(
        &[(&group("devices/-"), json!("root"))],
        "storage.filesystems[0].device",
        "used by the volume group",
    );
    refused(
        &[(&group("devices/-"), json!("vg0/home"))],
        "storage.volume_groups[0].devices[1]",
        "volume itself",
    );
    refused(&[(&group("extent_mib"), json!(3))], "storage.volume_groups[0].extent_mib", "power of two");
    let volume = |field: &str| format!("/storage/logical_volumes/0/{field}");
    for name in ["a b", "-x", "..", "pvmove", "x_rimage_0", ""] {
        let renamed = [
            (&*volume("name"), json!(name)),
            ("/storage/filesystems/5/device", json!(format!("vg0/{name}"))),
        ];
        refused(&renamed, "storage.logical_volumes[0].name", "LVM's own");
    }
    refused(&[(&volume("size_mib"), Value::Null)], "storage.logical_volumes[1].size_mib", "only one volume");
    let lost = [(&*volume("group"), json!("vg1")), ("/storage/filesystems/5/device", json!("vg1/swap"))];
    refused(&lost, "storage.logical_volumes[0].group", "no volume group `vg1`");
    refused(
        &[("/storage/filesystems/5/device", json!("vg0/none"))],
        "storage.filesystems[5].device",
        "no logical",
    );
    refused(
        &[("/storage/filesystems/5/device", json!("pv1"))],
        "storage.filesystems[5].device",
        "physical volume",
    );
    refused(&[("/storage/filesystems/5/device", json!("r1"))], "storage.filesystems[5].device", "RAID");
    let unused = json!({"label": "r4", "type": "raid", "size_mib": 1});
    let path = "storage.disks[0].partitions[5].type";
    found(&[("/storage/disks/0/partitions/-", unused)], Severity::Warning, &[(path, "no array")]);
}

#[test]
fn what_is_kept_and_what_it_is_on() {
    refused(
        &[("/storage/disks/1/partitions/2/preserve", json!(false))],
        "storage.filesystems[4].preserve",
        "made anew",
    );
    refused(
        &[("/storage/filesystems/4/preserve", json!(false))],
        "storage.filesystems[4].preserve",
        "formatted",
    );
    // The partition that is kept needs no size, and does not count as the one that takes the rest.
    assert_eq!(findings(&with(&[("/storage/disks/1/partitions/1/size_mib", Value::Null)])), []);
    let group = [("/storage/volume_groups/0/preserve", json!(true))];
    refused(&group, "storage.volume_groups[0].devices[0]", "`vg0` is kept and `pv1` made anew");
    let volume = [
        ("/storage/logical_volumes/1/preserve", json!(true)),
        ("/storage/filesystems/3/preserve", json!(true)),
    ];
    refused(&volume, "storage.logical_volumes[1].preserve", "set its `preserve`, too");
    let kept = [
        ("/storage/volume_groups/0/preserve", json!(true)),
        ("/storage/disks/0/partitions/4/preserve", json!(true)),
        ("/storage/logical_volumes/1/preserve", json!(true)),
        ("/storage/filesystems/3/preserve", json!(true)),
    ];
    assert_eq!(findings(&with(&kept)), []);
    let member = [("/storage/disks/0/partitions/3/preserve", json!(true))];
    refused(&member, "storage.raid[0].devices[0]", "`r1` is kept and `root` made anew");
    let root = [
        ("/storage/raid/0/preserve", json!(true)),
        ("/storage/disks/0/partitions/3/preserve", json!(true)),
        ("/storage/disks/1/partitions/0/preserve", json!(true)),
        ("/storage/disks/1/partitions/1/preserve", json!(true)),
        ("/storage/filesystems/0/preserve", json!(true)),
    ];
    refused(&root, "storage.filesystems[0].preserve", "`/` cannot be kept");
}

#[test]
fn installs_from_an_image_refuse_what_they_do_not_do() {
    let image = json!({"name": "x", "manifest": "00".repeat(32), "sources": ["http://head/x"]});
    let document = with(&[("/install/type", json!("disked")), ("/image", image)]);
    let findings = findings(&document);
    let paths: Vec<&str> = findings.iter().map(|finding| finding.path.as_str()).collect();
    let expected = ["package", "scripts", "network.interfaces[1].bond", "network.interfaces[2].vlan"];
    assert_eq!(paths, expected, "what is kept may be kept beside an image, too");
    assert!(findings.iter().skip(1).all(|finding| finding.message.contains("later release")), "{findings:?}");
    let disked: Value = serde_json::from_str(include_str!("../fixtures/v1/disked.json")).unwrap();
    let mut anaconda = disked.clone();
    anaconda["storage"]["mode"] = json!("anaconda");
    anaconda["root"]["ssh_host_keys"] = json!("keep");
    let findings = self::findings(&anaconda);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].path, "storage.mode");
}
