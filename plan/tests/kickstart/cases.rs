//! Machines and NIIs: each case is the plain one, with what it is about.

use nii::{Nii, Strictness};
use plan::facts::{Content, Disk, Facts, Firmware, Nic, Table, TableEntry};
use serde_json::{Value, json};
use uuid::Uuid;

const GIB: u64 = 1 << 30;

/// A release, by its name for ksvalidator.
pub struct Release {
    pub name: &'static str,
    pub family: &'static str,
    pub version: &'static str,
}

pub const RELEASES: &[Release] = &[
    Release { name: "RHEL8", family: "rhel", version: "8.10" },
    Release { name: "RHEL9", family: "rhel", version: "9.6" },
    Release { name: "RHEL10", family: "rhel", version: "10.1" },
    Release { name: "F44", family: "fedora", version: "44" },
];

pub struct Case {
    pub name: &'static str,
    pub facts: Facts,
    pub document: Value,
    pub template: Option<&'static str>,
    /// Paths of the warnings, in every release.
    warnings: &'static [&'static str],
    /// And in RHEL 8, beside them.
    warnings_of_8: &'static [&'static str],
}

impl Case {
    pub fn nii(&self, release: &Release) -> Nii {
        let mut document = self.document.clone();
        document["package"]["os"] =
            json!({"family": release.family, "version": release.version, "arch": "x86_64"});
        nii::read(document.to_string().as_bytes(), Strictness::Strict).expect("the test's NII is right").0
    }

    pub fn warnings(&self, release: &Release) -> Vec<&'static str> {
        let more = if release.name == "RHEL8" { self.warnings_of_8 } else { &[] };
        self.warnings.iter().chain(more).copied().collect()
    }

    /// Name of each disk in the NII -> the kernel's. Selectors of these cases name the path.
    pub fn disks(&self) -> Value {
        let disks = self.document["storage"]["disks"].as_array().unwrap();
        let one = |disk: &Value| {
            let path = disk["select"]["path"].as_str().unwrap().trim_start_matches("/dev/").to_owned();
            (disk["name"].as_str().unwrap().to_owned(), json!(path))
        };
        Value::Object(disks.iter().map(one).collect())
    }

    fn with(mut self, section: &str, value: Value) -> Self {
        merge(&mut self.document[section], value);
        self
    }

    /// Disks, arrays, groups, volumes and file systems all anew.
    fn storage(mut self, value: Value) -> Self {
        self.document["storage"] = value;
        self
    }

    fn interfaces(mut self, value: Value) -> Self {
        self.document["network"]["interfaces"] = value;
        self
    }

    fn warns(mut self, warnings: &'static [&'static str], of_8: &'static [&'static str]) -> Self {
        (self.warnings, self.warnings_of_8) = (warnings, of_8);
        self
    }
}

fn merge(into: &mut Value, value: Value) {
    match (into, value) {
        (Value::Object(into), Value::Object(value)) => {
            for (key, value) in value {
                if key == "source" {
                    // One of several: not both.
                    into.remove("source");
                }
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, value) => *into = value,
    }
}

fn disk(path: &str) -> Disk {
    let facts = json!({"path": path, "size": 500 * GIB, "sector": 512, "rotational": false, "removable": false,
        "read_only": false});
    serde_json::from_value(facts).unwrap()
}

fn nic(index: u8) -> Nic {
    let facts =
        json!({"name": format!("eth{index}"), "mac": format!("52:54:00:00:00:0{}", index + 1), "kind": 1});
    serde_json::from_value(facts).unwrap()
}

fn machine(firmware: Firmware) -> Facts {
    Facts {
        firmware,
        arch: "x86_64".into(),
        kernel: "5.14.0".into(),
        memory_total: 4 * GIB,
        memory_available: 4 * GIB,
        uuid: None,
        disks: ["/dev/nvme0n1", "/dev/sda", "/dev/sdb"].map(disk).to_vec(),
        nics: [0, 1, 2].map(nic).to_vec(),
        tools: Vec::new(),
        stacked: Vec::new(),
        groups: Vec::new(),
        tool_versions: [].into(),
    }
}

/// The plain node: one disk, DHCP.
fn plain(name: &'static str, firmware: Firmware) -> Case {
    let first = match firmware {
        Firmware::Bios => json!({"label": "bios", "type": "bios-boot", "size_mib": 1}),
        Firmware::Efi => json!({"label": "esp", "type": "esp", "size_mib": 512}),
    };
    let mut filesystems = vec![
        json!({"device": "root", "format": "xfs", "label": "root", "mount": "/"}),
        json!({"device": "swap", "format": "swap", "label": "swap"}),
    ];
    if firmware == Firmware::Efi {
        filesystems.push(json!({"device": "esp", "format": "vfat", "mount": "/boot/efi"}));
    }
    let document = json!({
        "version": 1,
        "node": {"name": "p001", "group": "package"},
        "install": {"type": "package"},
        "locale": {"timezone": "Europe/Berlin"},
        "network": {"hostname": "p001", "interfaces": [{"match": {"mac": "52:54:00:00:00:01"}, "ipv4": "dhcp"}]},
        "storage": {
            "disks": [{"name": "system", "select": {"path": "/dev/sda"}, "partitions": [
                first,
                {"label": "swap", "type": "swap", "size_mib": 4096},
                {"label": "root", "type": "root"},
            ]}],
            "filesystems": filesystems,
        },
        "package": {
            "os": {},
            "source": {"url": "http://10.0.0.1/tree/os/"},
            "packages": ["openssh-server"],
        },
    });
    let facts = machine(firmware);
    Case { name, facts, document, template: None, warnings: &[], warnings_of_8: &[] }
}

pub fn all() -> Vec<Case> {
    vec![
        plain("minimal_bios", Firmware::Bios),
        plain("minimal_uefi", Firmware::Efi),
        static_network(),
        bond_with_vlan(),
        vlan_and_mtu(),
        ipv6(),
        lvm(),
        raid1_uefi(),
        raid1_bios_lvm(),
        keep_volume(),
        keep_partitions(),
        both_firmwares(),
        anaconda_simple(),
        anaconda_lvm_raid(),
        accounts(),
        hostile(),
        site_template(),
        mirrors(),
        scripts_and_extra(),
    ]
}

pub fn by_name(name: &str) -> Case {
    all().into_iter().find(|case| case.name == name).unwrap()
}

fn static_network() -> Case {
    plain("static", Firmware::Efi)
        .with("network", json!({"domain": "cluster.example", "dns": ["10.0.0.1", "10.0.0.2"]}))
        .interfaces(json!([
            {"match": {"mac": "52:54:00:00:00:01"}, "ipv4": {"static":
                {"address": "10.0.0.5", "prefix": 20, "gateway": "10.0.0.1"}}},
            {"match": {"mac": "52:54:00:00:00:02"}, "ipv4": {"static": {"address": "172.16.3.4", "prefix": 32}}},
        ]))
        .with("locale", json!({"timezone": "America/Argentina/Ushuaia", "hardware_clock_utc": false,
            "ntp": ["10.0.0.1", "ntp.cluster.example"], "lang": "de_DE.UTF-8", "keyboard": "de"}))
        .with("boot", json!({"kernel_args": ["console=tty0", "console=ttyS0,115200n8", "quiet"]}))
}

fn bond_with_vlan() -> Case {
    plain("bond_vlan", Firmware::Efi).interfaces(json!([
        {"match": {"name": "bond0"}, "bond": {
            "mode": "802.3ad",
            "members": [{"mac": "52:54:00:00:00:01"}, {"mac": "52:54:00:00:00:02"}],
            "options": {"miimon": "100", "xmit_hash_policy": "layer3+4"}}},
        {"match": {"name": "bond0.40"}, "ipv4": {"static": {"address": "10.40.0.5", "prefix": 16}},
            "vlan": {"id": 40, "parent": {"name": "bond0"}}},
        {"match": {"name": "eth2"}, "ipv4": "dhcp"},
    ]))
}

fn vlan_and_mtu() -> Case {
    plain("vlan_mtu", Firmware::Efi).interfaces(json!([
        {"match": {"name": "storage"}, "mtu": 9000, "ipv4": {"static": {"address": "10.9.0.5", "prefix": 24}},
            "bond": {"mode": "active-backup", "members": [{"name": "eth1"}, {"mac": "52:54:00:00:00:03"}],
                "options": {"arp_interval": "200", "arp_ip_target": "10.9.0.1"}}},
        {"match": {"mac": "52:54:00:00:00:01"}, "mtu": 1400, "ipv4": "dhcp"},
        {"match": {"name": "v7"}, "ipv4": "dhcp", "vlan": {"id": 7, "parent": {"mac": "52:54:00:00:00:01"}}},
    ]))
}

fn ipv6() -> Case {
    plain("ipv6", Firmware::Efi)
        .with("network", json!({"dns": ["fd00::53", "10.0.0.1"], "search": ["a.example", "b.example"]}))
        .interfaces(json!([
            {"match": {"mac": "52:54:00:00:00:01"}, "ipv6": {"static":
                {"address": "fd00::5", "prefix": 64, "gateway": "fe80::1"}}},
            {"match": {"mac": "52:54:00:00:00:02"}, "ipv4": "dhcp", "ipv6": "slaac"},
            {"match": {"mac": "52:54:00:00:00:03"}, "ipv6": "slaac"},
        ]))
        .warns(&[], &["network.search", "network.dns"])
}

fn lvm() -> Case {
    plain("lvm", Firmware::Efi).storage(json!({
        "disks": [
            {"name": "system", "select": {"path": "/dev/nvme0n1"}, "partitions": [
                {"label": "esp", "type": "esp", "size_mib": 512},
                {"label": "boot", "type": "xbootldr", "size_mib": 1024},
                {"label": "pv1", "type": "lvm"}]},
            {"name": "more", "select": {"path": "/dev/sdb"}, "partitions": [{"label": "pv2", "type": "lvm"}]},
        ],
        "volume_groups": [{"name": "vg0", "devices": ["pv1", "pv2"], "extent_mib": 32}],
        "logical_volumes": [
            {"name": "root", "group": "vg0", "size_mib": 40960},
            {"name": "swap", "group": "vg0", "size_mib": 8192},
            {"name": "scratch", "group": "vg0", "size_mib": 1024},
            {"name": "home", "group": "vg0"},
        ],
        "filesystems": [
            {"device": "esp", "format": "vfat", "mount": "/boot/efi", "label": "ESP"},
            {"device": "boot", "format": "ext4", "mount": "/boot", "mkfs_options": ["-m", "1", "-O", "^orphan_file"]},
            {"device": "vg0/root", "format": "xfs", "mount": "/"},
            {"device": "vg0/swap", "format": "swap"},
            {"device": "vg0/scratch", "format": "ext4"},
            {"device": "vg0/home", "format": "xfs", "mount": "/home", "mount_options": ["nodev", "nosuid"]},
        ],
    }))
}

/// Two equal disks.
fn mirrored(partitions: &[Value]) -> Value {
    let one = |(name, path, suffix): (&str, &str, &str)| {
        let mut partitions = partitions.to_vec();
        for partition in &mut partitions {
            let label = format!("{}{suffix}", partition["label"].as_str().unwrap());
            partition["label"] = json!(label);
        }
        json!({"name": name, "select": {"path": path}, "partitions": partitions})
    };
    json!([one(("first", "/dev/sda", "-a")), one(("second", "/dev/sdb", "-b"))])
}

fn raid1_uefi() -> Case {
    plain("raid1_uefi", Firmware::Efi).storage(json!({
        "disks": mirrored(&[
            json!({"label": "esp", "type": "raid", "size_mib": 512}),
            json!({"label": "boot", "type": "raid", "size_mib": 1024}),
            json!({"label": "root", "type": "raid"}),
        ]),
        "raid": [
            {"name": "esp", "level": "raid1", "devices": ["esp-a", "esp-b"]},
            {"name": "boot", "level": "raid1", "devices": ["boot-a", "boot-b"]},
            {"name": "mdroot", "level": "raid1", "devices": ["root-a", "root-b"]},
        ],
        "filesystems": [
            {"device": "esp", "format": "vfat", "mount": "/boot/efi"},
            {"device": "boot", "format": "ext4", "mount": "/boot"},
            {"device": "mdroot", "format": "xfs", "mount": "/", "label": "root"},
        ],
    }))
}

fn raid1_bios_lvm() -> Case {
    plain("raid1_bios_lvm", Firmware::Bios).storage(json!({
        "disks": mirrored(&[
            json!({"label": "bios", "type": "bios-boot", "size_mib": 1}),
            json!({"label": "boot", "type": "raid", "size_mib": 1024}),
            json!({"label": "pv", "type": "raid"}),
        ]),
        "raid": [
            {"name": "boot", "level": "raid1", "devices": ["boot-a", "boot-b"]},
            {"name": "pv", "level": "raid1", "devices": ["pv-a", "pv-b"]},
        ],
        "volume_groups": [{"name": "vg0", "devices": ["pv"]}],
        "logical_volumes": [{"name": "root", "group": "vg0"}, {"name": "swap", "group": "vg0", "size_mib": 4096}],
        "filesystems": [
            {"device": "boot", "format": "xfs", "mount": "/boot"},
            {"device": "vg0/root", "format": "xfs", "mount": "/"},
            {"device": "vg0/swap", "format": "swap"},
        ],
    }))
}

/// A table as an earlier install left it: label, type, number and size in MiB of each partition.
fn table(entries: &[(&str, u128, u32, u64)]) -> Option<Table> {
    let mut next = 2048;
    let one = |(label, kind, number, mib): &(&str, u128, u32, u64)| {
        let first = next;
        next += mib * 2048;
        TableEntry {
            number: *number,
            kind: Uuid::from_u128(*kind),
            guid: Uuid::from_u128(u128::from(*number)),
            first,
            last: next - 1,
            label: (*label).to_owned(),
            attributes: 0,
        }
    };
    Some(Table { guid: Uuid::from_u128(7), partitions: entries.iter().map(one).collect() })
}

/// What lies on the partition of this number: kind and label. Members of one array have one UUID.
fn holds(disk: &mut Disk, number: u32, kind: &str, label: Option<&str>) {
    let uuid = if kind == "linux_raid_member" { 99 } else { u128::from(number) };
    disk.contents.push(Content {
        partition: Some(number),
        kind: kind.into(),
        label: label.map(Into::into),
        uuid: Some(Uuid::from_u128(uuid).to_string()),
        size: 1 << 30,
        used: None,
        members: None,
    });
}

const ESP: u128 = 0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b;
const LINUX: u128 = 0x0fc63daf_8483_4772_8e79_3d69d8477de4;
const LVM: u128 = 0xe6d6d379_f507_44c2_a23c_238f2a3df928;
const RAID: u128 = 0xa19d880f_05fc_4d3b_a006_743f0f84911e;

fn keep_volume() -> Case {
    let mut case = plain("keep_volume", Firmware::Efi).storage(json!({
        "disks": [{"name": "system", "select": {"path": "/dev/sda"}, "partitions": [
            {"label": "esp", "type": "esp", "size_mib": 512},
            {"label": "boot", "size_mib": 1024},
            {"label": "pv1", "type": "lvm", "preserve": true},
        ]}],
        "volume_groups": [{"name": "vg0", "devices": ["pv1"], "preserve": true}],
        "logical_volumes": [
            {"name": "root", "group": "vg0", "size_mib": 40960},
            {"name": "home", "group": "vg0", "preserve": true},
            {"name": "images", "group": "vg0", "preserve": true},
        ],
        "filesystems": [
            {"device": "esp", "format": "vfat", "mount": "/boot/efi"},
            {"device": "boot", "format": "ext4", "mount": "/boot"},
            {"device": "vg0/root", "format": "xfs", "mount": "/"},
            {"device": "vg0/home", "format": "xfs", "mount": "/home", "preserve": true, "mount_options": ["nosuid"]},
        ],
    }));
    let old = [("old-esp", ESP, 1, 600), ("boot", LINUX, 2, 1024), ("pv1", LVM, 3, 200_000)];
    case.facts.disks[1].table = table(&old);
    holds(&mut case.facts.disks[1], 3, "LVM2_member", Some("vg0"));
    case
}

fn keep_partitions() -> Case {
    let mut case = plain("keep_partitions", Firmware::Efi).storage(json!({
        "disks": [
            {"name": "system", "select": {"path": "/dev/nvme0n1"}, "partitions": [
                {"label": "esp", "type": "esp", "size_mib": 512},
                {"label": "root", "type": "root"},
                {"label": "swap", "type": "swap", "preserve": true},
                {"label": "data", "preserve": true},
                {"label": "md-a", "type": "raid", "preserve": true},
                {"label": "unused", "preserve": true},
            ]},
            {"name": "second", "select": {"path": "/dev/sdb"}, "partitions": [
                {"label": "md-b", "type": "raid", "preserve": true},
            ]},
        ],
        "raid": [{"name": "mdkept", "level": "raid1", "devices": ["md-a", "md-b"], "preserve": true}],
        "filesystems": [
            {"device": "esp", "format": "vfat", "mount": "/boot/efi"},
            {"device": "root", "format": "ext4", "mount": "/"},
            {"device": "swap", "format": "swap", "preserve": true},
            {"device": "data", "format": "xfs", "mount": "/data", "preserve": true, "mount_options": ["noatime"]},
            {"device": "mdkept", "format": "ext4", "mount": "/kept", "preserve": true},
        ],
    }));
    let swap = nii::v1::PartitionType::Swap.guid().as_u128();
    let old = [
        ("esp", ESP, 1, 512),
        ("data", LINUX, 7, 30_000),
        ("old root", LINUX, 2, 30_000),
        ("swap", swap, 5, 4096),
        ("md-a", RAID, 12, 10_000),
        ("unused", LINUX, 13, 10_000),
    ];
    case.facts.disks[0].table = table(&old);
    case.facts.disks[2].table = table(&[("md-b", RAID, 1, 10_000)]);
    let system = &mut case.facts.disks[0];
    holds(system, 7, "xfs", None);
    holds(system, 5, "swap", None);
    holds(system, 12, "linux_raid_member", Some("mdkept"));
    holds(&mut case.facts.disks[2], 1, "linux_raid_member", Some("mdkept"));
    case
}

/// A fleet's one layout for both firmwares, on a machine that boots by BIOS.
fn both_firmwares() -> Case {
    plain("both_firmwares", Firmware::Bios)
        .storage(json!({
            "disks": [{"name": "system", "select": {"path": "/dev/sda"}, "partitions": [
                {"label": "bios", "type": "bios-boot", "size_mib": 1},
                {"label": "esp", "type": "esp", "size_mib": 512},
                {"label": "root", "type": "root"},
            ]}],
            "filesystems": [
                {"device": "esp", "format": "vfat", "mount": "/boot/efi"},
                {"device": "root", "format": "ext4", "mount": "/"},
            ],
        }))
        .warns(&["storage.filesystems[0]"], &[])
}

fn anaconda_simple() -> Case {
    plain("anaconda_simple", Firmware::Bios).with("storage", json!({"mode": "anaconda"}))
}

fn anaconda_lvm_raid() -> Case {
    let mut disks = mirrored(&[
        json!({"label": "boot", "type": "raid", "size_mib": 1024}),
        json!({"label": "pv", "type": "raid"}),
    ]);
    let esp = json!({"label": "esp", "type": "esp", "size_mib": 600});
    disks[0]["partitions"].as_array_mut().unwrap().insert(0, esp);
    plain("anaconda_lvm_raid", Firmware::Efi).storage(json!({
        "mode": "anaconda",
        "disks": disks,
        "raid": [
            {"name": "boot", "level": "raid1", "devices": ["boot-a", "boot-b"]},
            {"name": "pv", "level": "raid0", "devices": ["pv-a", "pv-b"]},
        ],
        "volume_groups": [{"name": "vg0", "devices": ["pv"], "extent_mib": 8}],
        "logical_volumes": [{"name": "root", "group": "vg0", "size_mib": 20480}, {"name": "var", "group": "vg0"}],
        "filesystems": [
            {"device": "esp", "format": "vfat", "mount": "/boot/efi"},
            {"device": "boot", "format": "xfs", "mount": "/boot"},
            {"device": "vg0/root", "format": "xfs", "mount": "/"},
            {"device": "vg0/var", "format": "ext4", "mount": "/var"},
        ],
    }))
}

fn accounts() -> Case {
    plain("accounts", Firmware::Efi)
        .with("install", json!({"after": "kexec"}))
        .with("root", json!({"authorized_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtleQ admin@head"]}))
        .with("package", json!({
            "selinux": "permissive",
            "firewall": {"enabled": true, "services": ["ssh", "https"], "ports": ["514:udp", "6817-6819:tcp"]},
            "services": {"enabled": ["chronyd", "getty@ttyS0"], "disabled": ["postfix"]},
            "users": [
                {"name": "admin", "uid": 1500, "gid": 1600, "groups": ["wheel", "adm"], "home": "/srv/admin",
                    "shell": "/bin/zsh", "gecos": "The Admin",
                    "authorized_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtleQ admin@desk"]},
                {"name": "backup"},
            ],
        }))
}

/// Everything that means something to a shell, to shlex, to kickstart or to the template.
fn hostile() -> Case {
    plain("hostile", Firmware::Efi)
        .with("node", json!({"attributes": {"%end": "%post\n{{ x }}".replace('\n', " "), "a b": "'\"#$(x)`"}}))
        .with("root", json!({"authorized_keys": [
            "command=\"echo '%end' # {{ nii }} $(reboot)\",no-pty ssh-ed25519 AAAA it's \\ ünï 漢字 # key"]}))
        .with("storage", json!({
            "disks": [{"name": "system", "select": {"path": "/dev/sda"}, "partitions": [
                {"label": "esp", "type": "esp", "size_mib": 512},
                {"label": "%end (x) #y; ü", "type": "root"},
                {"label": "swap", "type": "swap", "size_mib": 4096},
            ]}],
            "filesystems": [
                {"device": "%end (x) #y; ü", "format": "xfs", "mount": "/"},
                {"device": "swap", "format": "swap"},
                {"device": "esp", "format": "vfat", "mount": "/boot/efi"},
            ],
        }))
        .with("package", json!({
            "source": {"url": "http://10.0.0.1/a%20b/$releasever/?x=1&y=[2]&z=~,"},
            "users": [{"name": "o.brien", "gecos": "Ädmin O'Brien, %post --x {{ nii }} #5; rm -rf / && (x) | >y"}],
            "extra": ["%addon com_redhat_kdump --disable\n%end\n", "# it's {{ not }} a template\n%post\necho ' %end'\n%end"],
        }))
        .with("boot", json!({"kernel_args": ["x=a,b;c|d&e(f)", "x=%end", "{{nii}}"]}))
}

fn site_template() -> Case {
    let mut case = plain("site_template", Firmware::Efi)
        .with("node", json!({"attributes": {"rack": "R 07", "project": "physics"}}))
        .with("network", json!({"dns": ["10.0.0.1"]}))
        .with("locale", json!({"ntp": ["10.0.0.1"]}))
        .warns(&[], &["network.dns"]);
    case.template = Some(include_str!("site.ks.j2"));
    case
}

fn mirrors() -> Case {
    plain("mirrors", Firmware::Efi).with("package", json!({
        "source": {"mirrorlist": "https://mirrors.example/?repo=BaseOS&arch=$basearch"},
        "repositories": [
            {"name": "AppStream", "source": {"mirrorlist": "https://mirrors.example/?repo=AppStream&arch=$basearch"},
                "cost": 500},
            {"name": "epel", "source": {"metalink": "https://mirrors.example/metalink?repo=epel"}, "install": true},
            {"name": "site", "source": {"url": "http://10.0.0.1/site/"}},
        ],
        "environment": "minimal-environment",
        "groups": ["standard", "core"],
        "packages": ["glibc.i686", "kernel-devel", "python3*"],
        "exclude": ["iwl*-firmware"],
    }))
}

fn scripts_and_extra() -> Case {
    let script = |name: &str, phase: &str| {
        json!({"name": name, "phase": phase, "url": "/api/v1/file/0d197521d9a48760576da1c87dfd828a60d397ea1e16f92a5b7c44b4f4060ce1",
            "digest": "0d197521d9a48760576da1c87dfd828a60d397ea1e16f92a5b7c44b4f4060ce1"})
    };
    let mut case = plain("scripts_extra", Firmware::Efi).with("install", json!({"after": "poweroff"})).with(
        "package",
        json!({"selinux": "disabled", "firewall": {"enabled": false},
            "extra": ["skipx", "%pre-install\ntrue\n%end\n\n\n\n%post\ntrue\n%end"]}),
    );
    let mut with_python = script("inventory", "pre");
    with_python["interpreter"] = json!("/usr/bin/python3");
    case.document["scripts"] =
        json!([script("check", "pre"), script("later", "first-boot"), with_python, script("join", "post")]);
    case
}
