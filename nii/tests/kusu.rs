//! Documents as Kusu's `nodeboot.cgi` writes them, with its bugs.

#![allow(clippy::unwrap_used, reason = "test support")]

use std::net::Ipv4Addr;

use nii::kusu::{Around, KusuError, NodeInfo, parse};
use nii::v1::{
    Device, DiskSelect, Family, Family4, Format, InstallType, InterfaceMatch, PartitionType, Source,
};
use nii::{Finding, Nii};
use proptest::prelude::*;

/// As the CGI prints it: one line a row, nothing escaped.
const PACKAGE: &str = include_str!("../fixtures/kusu/package.xml");
const DISKED: &str = include_str!("../fixtures/kusu/disked.xml");
const UNKNOWN: &str = include_str!("../fixtures/kusu/unknown.xml");

fn around() -> Around {
    Around { base: "http://10.1.0.1".into(), ..Around::default() }
}

fn read(text: &str) -> Result<(Nii, Vec<Finding>), KusuError> {
    parse(text.as_bytes())?.to_nii(&around())
}

fn nii(text: &str) -> Nii {
    read(text).unwrap_or_else(|error| panic!("{error}")).0
}

/// What it is refused for.
#[track_caller]
fn refused(text: &str, path: &str, words: &str) {
    let Err(KusuError::Refused(findings)) = read(text) else { panic!("{path}: is not refused") };
    let told = findings.iter().any(|f| f.is_error() && f.path == path && f.message.contains(words));
    assert!(told, "{path}: {findings:#?}");
}

#[test]
fn a_package_node() {
    let nii = nii(PACKAGE);
    assert_eq!((nii.node.name.as_str(), nii.node.group.as_str()), ("compute-00-01", "compute-2"));
    assert_eq!(nii.install.kind, InstallType::Package);
    assert_eq!((nii.locale.timezone.as_str(), nii.locale.hardware_clock_utc), ("Europe/Berlin", false));
    assert_eq!((nii.locale.lang.as_str(), nii.locale.keyboard.as_str()), ("de_DE.UTF-8", "de"));
    let package = nii.package.unwrap();
    let os = &package.os;
    assert_eq!((os.family, os.version.as_str(), os.arch.as_str()), (Family::Rhel, "9.6", "x86_64"));
    assert_eq!(package.source, Source::Url("http://10.1.0.1/repos/1000".into()));
    assert_eq!(package.packages, ["component-base-node", "component-nagios-compute", "emacs-nox", "gcc-c++"]);
    let hash = nii.secrets.unwrap().root_password_hash.unwrap();
    assert_eq!(hash.expose(), "$1$c2FsdHNh$W8ZLSZzXl0bqxqZQ3K3u./");
}

#[test]
fn its_network() {
    let network = nii(PACKAGE).network;
    assert_eq!(
        (network.hostname.as_str(), network.domain.as_deref()),
        ("compute-00-01", Some("hpc.example"))
    );
    assert_eq!(network.dns, ["10.1.0.1".parse::<Ipv4Addr>().unwrap()], "InstallerServeDNS wins over dns1");
    let [boot, second] = network.interfaces.as_slice() else { panic!("{:?}", network.interfaces) };
    assert_eq!(boot.select, InterfaceMatch::Mac("52:54:00:00:00:01".into()));
    let Some(Family4::Static(ip)) = &boot.ipv4 else { panic!("{:?}", boot.ipv4) };
    // The row of eth0 is there twice, and the last wins; the router of the last row that has one goes to whom it fits.
    assert_eq!((ip.address, ip.prefix), (Ipv4Addr::new(10, 1, 0, 5), 16));
    assert_eq!(ip.gateway, Some(Ipv4Addr::new(10, 1, 0, 254)));
    assert_eq!(second.select, InterfaceMatch::Name("eth1".into()));
    assert_eq!(second.ipv4, Some(Family4::Dhcp));
}

#[test]
fn interfaces_that_the_machine_does_not_have_are_left_out() {
    let nics = vec![("eth0".into(), "52:54:00:00:00:01".into())];
    let (nii, warnings) = parse(PACKAGE.as_bytes()).unwrap().to_nii(&Around { nics, ..around() }).unwrap();
    assert_eq!(nii.network.interfaces.len(), 1);
    assert!(warnings.iter().any(|finding| finding.message.contains("no interface eth1")), "{warnings:?}");
}

#[test]
fn its_storage() {
    let storage = nii(PACKAGE).storage;
    let [first, second] = storage.disks.as_slice() else { panic!("{:?}", storage.disks) };
    let row = |p: &nii::v1::Partition| (p.label.clone(), p.kind, p.size_mib, p.preserve);
    assert_eq!(
        first.partitions.iter().map(row).collect::<Vec<_>>(),
        [
            ("boot".into(), PartitionType::Xbootldr, Some(1024), false),
            ("swap".into(), PartitionType::Swap, Some(2000), false),
            ("pv1-3".into(), PartitionType::Lvm, None, false),
        ]
    );
    assert_eq!(
        second.partitions.iter().map(row).collect::<Vec<_>>(),
        [("data".into(), PartitionType::Linux, None, true)]
    );
    let group = &storage.volume_groups[0];
    assert_eq!(
        (group.name.as_str(), group.devices.as_slice()),
        ("VolGroup00", ["pv1-3".to_owned()].as_slice())
    );
    assert_eq!(group.extent_mib, Some(32));
    assert!(
        matches!(storage.device("VolGroup00/ROOT"), Some(Device::LogicalVolume(v)) if v.size_mib == Some(12000))
    );
    assert!(
        matches!(storage.device("VolGroup00/VAR"), Some(Device::LogicalVolume(v)) if v.size_mib.is_none())
    );
    let mounts: Vec<_> =
        storage.filesystems.iter().map(|f| (f.device.as_str(), f.format, f.mount.as_deref())).collect();
    assert_eq!(
        mounts,
        [
            ("boot", Format::Ext4, Some("/boot")),
            ("swap", Format::Swap, None),
            ("VolGroup00/ROOT", Format::Ext4, Some("/")),
            ("VolGroup00/VAR", Format::Xfs, Some("/var")),
            ("data", Format::Ext4, Some("/data")),
        ]
    );
    assert!(storage.filesystems[4].preserve);
}

/// A disk's number is that disk and no other, whatever fits on which.
#[test]
fn disks_go_by_their_numbers() {
    let numbers = |text: &str| -> Vec<_> {
        nii(text).storage.disks.iter().map(|disk| (disk.name.clone(), disk.select.clone())).collect()
    };
    let select = |number| DiskSelect { number: Some(number), ..DiskSelect::default() };
    let expected = [("disk1".to_owned(), select(1)), ("disk2".to_owned(), select(2))];
    assert_eq!(numbers(PACKAGE), expected);
    let third = PACKAGE.replace("device=\"2\" partition=\"1\"", "device=\"3\" partition=\"1\"");
    assert_eq!(numbers(&third)[1], ("disk3".to_owned(), select(3)), "disk 2 is left alone");
}

#[test]
fn attributes_keep_what_scripts_knew_and_no_secret() {
    let (nii, warnings) = read(PACKAGE).unwrap();
    let attributes = &nii.node.attributes;
    let get = |name: &str| attributes.get(name).map(String::as_str).unwrap_or_default();
    assert_eq!((get("NGID"), get("NGTYPE"), get("REPOID")), ("2", "compute", "1000"));
    assert_eq!(get("OSTYPE"), "rocky-9.6-x86_64");
    assert_eq!(get("NICDEF0"), "eth0|10.1.0.5|255.255.0.0|10.1.0.0||10.1.0.254|0||52:54:00:00:00:01|");
    assert_eq!(get("NICDEF1"), "eth1|10.2.0.5|255.255.0.0|10.2.0.0|-eth1||1|mtu 9000 \"jumbo\"||");
    assert_eq!(get("MOTD"), "R&D says \"welcome\" to <all>, a=\"1\" b=\"2\"");
    let everything =
        format!("{:?} {:?} {nii:?} {warnings:?}", parse(PACKAGE.as_bytes()).unwrap(), attributes);
    for secret in ["planted", "$1$c2FsdHNh"] {
        assert!(!everything.contains(secret), "{secret}");
    }
    let withheld = warnings.iter().any(|finding| finding.path == "nodeinfo.appglobals.NagiosPassword");
    assert!(withheld, "{warnings:?}");
}

#[test]
fn settings_that_sound_secret_are_dropped() {
    let settings = |names: &[&str]| {
        let one = |name: &&str| format!("<appglobals name=\"{name}\" value=\"planted\"/>\n");
        let rows: String = names.iter().map(one).collect();
        let text = PACKAGE.replace("</nodeinfo>", &format!("{rows}</nodeinfo>"));
        parse(text.as_bytes()).unwrap()
    };
    let secret = [
        "LDAP_PASSWD",
        "IpmiPass",
        "DbPwd",
        "wifiPassphrase",
        "cfmSecret",
        "JOIN_TOKEN",
        "ApiKey",
        "ssh_private_KEY",
        "AwsCredentials",
    ];
    let info = settings(&secret);
    assert!(secret.iter().all(|name| info.withheld.contains(&(*name).to_owned())), "{:?}", info.withheld);
    assert!(!format!("{info:?}").contains("\"planted\""), "{info:?}");
    let public = ["Keyboard", "KeyboardLayout", "PROJECT"];
    let info = settings(&public);
    assert!(public.iter().all(|name| info.appglobals.contains_key(*name)), "{:?}", info.withheld);
}

#[test]
fn an_image_needs_a_digest_of_its_manifest() {
    let digest = "0d197521d9a48760576da1c87dfd828a60d397ea1e16f92a5b7c44b4f4060ce1";
    let manifest = "<appglobals name=\"CAMPHOR_IMAGE_MANIFEST\"";
    refused(
        &DISKED.replace(manifest, "<appglobals name=\"other\""),
        "nodeinfo.appglobals.CAMPHOR_IMAGE_MANIFEST",
        "/images/3.img.tar.bz2, has neither digest nor signature",
    );
    refused(&DISKED.replace(digest, "0d19"), "nodeinfo.appglobals.CAMPHOR_IMAGE_MANIFEST", "BLAKE3");
    let (nii, warnings) = read(DISKED).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(nii.install.kind, InstallType::Disked);
    let image = nii.image.unwrap();
    assert_eq!(image.manifest.to_string(), digest);
    assert_eq!(image.sources, [format!("http://10.1.0.1/images/{digest}")]);
    let source = format!(
        "{manifest} value=\"{digest}\"/>\n<appglobals name=\"CAMPHOR_IMAGE_SOURCE\" value=\"http://a/i,http://b/i\"/>"
    );
    let with_source = DISKED.replace(&format!("{manifest} value=\"{digest}\"/>"), &source);
    assert_eq!(self::nii(&with_source).image.unwrap().sources, ["http://a/i", "http://b/i"]);
    let diskless = self::nii(&DISKED.replace("\"disked\"", "\"diskless\""));
    assert_eq!((diskless.install.kind, diskless.storage.disks.len()), (InstallType::Diskless, 0));
    let rows = DISKED.lines().filter(|line| !line.contains("<partition")).collect::<Vec<_>>().join("\n");
    assert_eq!(self::nii(&rows).install.kind, InstallType::Diskless, "as Kusu has it");
}

#[test]
fn what_is_unknown_or_cut_off_is_a_named_error() {
    assert!(matches!(parse(UNKNOWN.as_bytes()), Err(KusuError::UnknownNode)));
    for nothing in ["", "<html>It works!</html>", "<?xml version=\"1.0\"?><nii><debug></debug></nii>"] {
        assert!(matches!(parse(nothing.as_bytes()), Err(KusuError::UnknownNode)), "{nothing}");
    }
    let inside = PACKAGE.find("</nodeinfo>").unwrap();
    for at in (PACKAGE.find("<nicinfo").unwrap()..inside).filter(|at| PACKAGE.is_char_boundary(*at)) {
        let error = parse(&PACKAGE.as_bytes()[..at]).unwrap_err();
        assert!(matches!(error, KusuError::Truncated), "{at}: {error}");
    }
    // What follows is not needed.
    assert_eq!(nii(&PACKAGE[..inside + "</nodeinfo>".len()]), nii(PACKAGE));
    assert_eq!(nii(&PACKAGE[..inside + "</nodeinfo><cfm>CFMBase".len()]), nii(PACKAGE));
    let twice = PACKAGE.replace("</nodeinfo>", "</nodeinfo><nodeinfo name=\"x\"></nodeinfo>");
    assert!(matches!(parse(twice.as_bytes()), Err(KusuError::Syntax { .. })));
}

#[test]
fn bytes_that_are_no_utf8_are_latin_1() {
    let mut bytes = PACKAGE.replace("R&D", "B@ro").into_bytes();
    let at = bytes.windows(4).position(|window| window == b"B@ro").unwrap();
    bytes[at + 1] = 0xfc;
    let info: NodeInfo = parse(&bytes).unwrap();
    assert!(info.appglobals["MOTD"].starts_with("Büro"), "{:?}", info.appglobals["MOTD"]);
}

#[test]
fn what_camphor_does_not_do_is_refused_by_name() {
    let package = |from: &str, to: &str| {
        assert!(PACKAGE.contains(from), "{from}");
        PACKAGE.replacen(from, to, 1)
    };
    refused(&package("\"package\"", "\"unmanaged\""), "nodeinfo.installtype", "`unmanaged`");
    refused(&package("rocky-9.6-x86_64", "sles-10-x86_64"), "nodeinfo.ostype", "no anaconda");
    refused(&package("rocky-9.6-x86_64", "rocky"), "nodeinfo.ostype", "NAME-VERSION-ARCH");
    refused(&PACKAGE.replace("255.255.0.0", "255.0.255.0"), "nodeinfo.nicinfo[0].subnet", "no netmask");
    refused(
        &package("device=\"1\" partition=\"1\"", "device=\"N\" partition=\"1\""),
        "nodeinfo.partition[0].device",
        "all disks",
    );
    refused(
        &package("device=\"1\" partition=\"2\"", "device=\"1\" partition=\"1\""),
        "nodeinfo.partition[1].partition",
        "two partitions",
    );
    refused(&package("\"linux-swap\"", "\"ntfs\""), "nodeinfo.partition[1].fstype", "`ntfs`");
    refused(&package("size=\"2000\"", "size=\"\""), "nodeinfo.partition[1].size", "`fill`");
    refused(
        &package("preserveDefault=none", "preserveDefault=all"),
        "nodeinfo.partition[7].options",
        "its label",
    );
    refused(&package("extent=32M", "extent=lots"), "nodeinfo.partition[3].options", "extent");
    // What the NII's own rules refuse keeps the NII's path.
    refused(&package("emacs-nox", "emacs nox"), "package.packages[2]", "no package name");
    refused(&package("Europe/Berlin", "Europe Berlin"), "locale.timezone", "tz database");
}

#[test]
fn a_volume_that_is_kept_keeps_what_it_is_on() {
    let kept = PACKAGE.replace(
        "options=\"lv;vg=VolGroup00;fill\" preserve=\"0\"",
        "options=\"lv;vg=VolGroup00;fill\" preserve=\"1\"",
    );
    let storage = nii(&kept).storage;
    assert!(storage.volume_groups[0].preserve);
    let (_, physical) = storage.partition("pv1-3").unwrap();
    assert!(physical.preserve);
    assert!(
        !storage.logical_volumes.iter().find(|v| v.name == "ROOT").unwrap().preserve,
        "made anew in the group"
    );
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(info) = parse(&bytes) {
            let _ = info.to_nii(&around());
        }
    }

    /// The vocabulary and its delimiters in any order.
    #[test]
    fn no_words_are_a_panic(words in proptest::collection::vec(proptest::sample::select(vec![
        "<", ">", "/>", "</", "\"", "'", "=", "&", ";", "&amp;", "&#x", "nii", "debug", "nodeinfo", "nicinfo", "partition",
        "appglobals", "component", "cfm", " name=\"", " value=\"", " device=\"", " size=\"", " options=\"", "pv;vg=", "lv;",
        "<nodeinfo name=\"n\" installtype=\"package\">", "</nodeinfo>", "\0", "é", "1", "-", "\n", "<!--", "<![CDATA[", "<?",
    ]), 0..40)) {
        if let Ok(info) = parse(words.concat().as_bytes()) {
            let _ = info.to_nii(&around());
        }
    }

    /// A right document with one place made wrong: it is read, or refused by name.
    #[test]
    fn no_change_is_a_panic(at in 0..PACKAGE.len(), byte in any::<u8>()) {
        let mut bytes = PACKAGE.as_bytes().to_vec();
        bytes[at] = byte;
        if let Ok(info) = parse(&bytes) {
            let _ = info.to_nii(&around());
        }
    }

    /// Any text in a setting is read as it was written, but for what cannot be told from the end of the element.
    #[test]
    fn settings_are_read_as_written(value in "[a-z<>&\"' =/;#\n]{0,24}") {
        let looks_like_markup = ["/>", "name=", "value=", "&amp;", "&lt;", "&gt;", "&quot;", "&apos;", "&#"];
        prop_assume!(!looks_like_markup.iter().any(|markup| value.contains(markup)) && !value.contains("name") && !value.contains("value"));
        let text = format!("<nii><nodeinfo name=\"n\"><appglobals name=\"k\" value=\"{value}\"/></nodeinfo></nii>");
        prop_assert_eq!(&parse(text.as_bytes()).unwrap().appglobals["k"], &value);
    }
}
