//! Machines, images and NIIs for the tests of plans; each test changes what it is about.

#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::expect_used, reason = "test support")]

pub mod cases;
pub mod model;
pub mod stacks;

use nii::digest::Digest;
use nii::manifest::{Kernel, Manifest, Os, Payload};
use nii::{Finding, Nii, Strictness};
use plan::facts::{Disk, Facts, Firmware, JournalRecord, Nic};
use plan::op::{Act, Content};
use plan::{Inputs, Plan};
use serde_json::{Value, json};
use uuid::Uuid;

pub const ARMING: Uuid = Uuid::from_u128(0x11111111_1111_4111_8111_111111111111);
pub const ATTEMPT: Uuid = Uuid::from_u128(0x22222222_2222_4222_8222_222222222222);
pub const GIB: u64 = 1 << 30;
pub const MAC: &str = "52:54:00:00:00:01";

/// Of an install that was cut off.
pub fn begun() -> JournalRecord {
    JournalRecord {
        version: 1,
        node: "n001".into(),
        arming: ARMING,
        attempt: Uuid::from_u128(98),
        root: Uuid::from_u128(97),
        image: None,
        committed: false,
    }
}

pub struct Case {
    pub facts: Facts,
    pub nii: Value,
    pub manifest: Manifest,
}

impl Case {
    pub fn nii(&self) -> Nii {
        nii::read(self.nii.to_string().as_bytes(), Strictness::Strict).expect("the test's NII is right").0
    }

    fn with_inputs<T>(&self, plan: impl Fn(&Inputs<'_>) -> T) -> T {
        let nii = self.nii();
        let (facts, manifest) = (&self.facts, &self.manifest);
        plan(&Inputs { facts, nii: &nii, manifest, arming: ARMING, attempt: ATTEMPT })
    }

    pub fn disked(&self) -> Result<Plan, Vec<Finding>> {
        self.with_inputs(plan::install::disked)
    }

    /// As [`Case::disked`], of the machine as it is now, by another attempt.
    pub fn again(&self, facts: &Facts) -> Result<Plan, Vec<Finding>> {
        let (nii, manifest) = (self.nii(), &self.manifest);
        let attempt = Uuid::from_u128(3);
        plan::install::disked(&Inputs { facts, nii: &nii, manifest, arming: ARMING, attempt })
    }

    pub fn diskless(&self) -> Result<Plan, Vec<Finding>> {
        self.with_inputs(plan::install::diskless)
    }
}

pub fn disk(path: &str, size: u64) -> Disk {
    Disk {
        path: path.into(),
        size,
        sector: 512,
        model: Some("QEMU HARDDISK".into()),
        serial: Some(format!("S-{}", path.trim_start_matches("/dev/"))),
        wwn: None,
        vendor: None,
        transport: None,
        by_path: None,
        rotational: false,
        removable: false,
        read_only: false,
        discard: false,
        in_use: Vec::new(),
        ata_security: None,
        firmware_raid: None,
        unreadable: None,
        contents: Vec::new(),
        table: None,
        journal: None,
    }
}

pub fn nic(name: &str, mac: &str) -> Nic {
    let (name, mac) = (name.into(), mac.into());
    Nic { name, mac, driver: Some("virtio_net".into()), carrier: Some(true), kind: 1, lease: None }
}

pub fn machine(firmware: Firmware) -> Facts {
    Facts {
        firmware,
        arch: "x86_64".into(),
        kernel: "6.1.0-13-cloud-amd64".into(),
        memory_total: GIB,
        memory_available: 900 << 20,
        uuid: None,
        disks: vec![disk("/dev/vda", 8 * GIB)],
        nics: vec![
            Nic { kind: 772, ..nic("lo", "00:00:00:00:00:00") },
            nic("eth0", MAC),
            nic("eth1", "52:54:00:00:00:02"),
        ],
        tools: ["mkfs.ext4", "mkfs.xfs", "mkfs.vfat"].map(Into::into).to_vec(),
        stacked: Vec::new(),
        groups: Vec::new(),
        tool_versions: [("mkfs.xfs".to_owned(), "6.1.0".to_owned())].into(),
    }
}

fn manifest(os: Os, kernels: Vec<Kernel>) -> Manifest {
    Manifest {
        version: 1,
        name: "compute".into(),
        payload: Payload::TarZst,
        arch: "x86_64".into(),
        os,
        kernels,
        stored_size: 120 << 20,
        plain_size: 340 << 20,
        inodes: 14_000,
        ram_bytes: 380 << 20,
        xattr_namespaces: vec!["security".into()],
        window: 1 << 20,
        chunks: 340,
        pages: vec![Digest::of(b"page")],
    }
}

pub fn debian() -> Manifest {
    let kernel = |version: &str| Kernel {
        version: version.into(),
        modules: true,
        vmlinuz: Some(format!("boot/vmlinuz-{version}")),
        initrd: Some(format!("boot/initrd.img-{version}")),
    };
    let os = Os {
        id: "debian".into(),
        id_like: Vec::new(),
        version_id: "12".into(),
        pretty_name: "Debian GNU/Linux 12 (bookworm)".into(),
    };
    manifest(os, vec![kernel("6.1.0-13-cloud-amd64"), kernel("6.1.0-9-cloud-amd64")])
}

/// As made from RPMs in a container: a kernel below lib/modules, and no initramfs yet.
pub fn rocky() -> Manifest {
    let version = "5.14.0-503.el9.x86_64";
    let kernel = Kernel {
        version: version.into(),
        modules: true,
        vmlinuz: Some(format!("lib/modules/{version}/vmlinuz")),
        initrd: None,
    };
    let os = Os {
        id: "rocky".into(),
        id_like: vec!["rhel".into(), "centos".into(), "fedora".into()],
        version_id: "9.5".into(),
        pretty_name: "Rocky Linux 9.5 (Blue Onyx)".into(),
    };
    manifest(os, vec![kernel])
}

fn nii_without_storage(kind: &str) -> Value {
    json!({
        "version": 1,
        "node": {"name": "n001", "group": "compute"},
        "install": {"type": kind},
        "locale": {"timezone": "Europe/Berlin"},
        "root": {"authorized_keys": ["ssh-ed25519 AAAA admin@head"]},
        "network": {
            "hostname": "n001",
            "domain": "cluster.example",
            "dns": ["10.0.0.1"],
            "interfaces": [{"match": {"mac": MAC}, "ipv4": "dhcp"}],
        },
        "image": {
            "name": "compute",
            "manifest": Digest::of(b"manifest").to_string(),
            "sources": ["http://head:8080/images/x"],
        },
        "boot": {"kernel_args": ["console=tty0", "console=ttyS0,115200n8"]},
        "secrets": {"root_password_hash": "$6$salt$notforlogs"},
    })
}

/// A disked node: BIOS boot partition, swap, and ext4 that takes the rest.
pub fn bios() -> Case {
    let mut nii = nii_without_storage("disked");
    nii["storage"] = json!({
        "disks": [{"name": "system", "partitions": [
            {"label": "bios", "type": "bios-boot", "size_mib": 1},
            {"label": "swap", "type": "swap", "size_mib": 512},
            {"label": "root", "type": "root"},
        ]}],
        "filesystems": [
            {"device": "root", "format": "ext4", "label": "root", "mount": "/", "mount_options": ["noatime"]},
            {"device": "swap", "format": "swap"},
        ],
    });
    Case { facts: machine(Firmware::Bios), nii, manifest: debian() }
}

/// A disked node: ESP, /boot and XFS.
pub fn efi() -> Case {
    let mut nii = nii_without_storage("disked");
    nii["storage"] = json!({
        "disks": [{"name": "system", "partitions": [
            {"label": "esp", "type": "esp", "size_mib": 512},
            {"label": "root", "type": "root"},
            {"label": "boot", "type": "xbootldr", "size_mib": 1024},
        ]}],
        "filesystems": [
            {"device": "esp", "format": "vfat", "label": "ESP", "mount": "/boot/efi"},
            {"device": "boot", "format": "ext4", "mount": "/boot"},
            {"device": "root", "format": "xfs", "mount": "/"},
        ],
    });
    Case { facts: machine(Firmware::Efi), nii, manifest: debian() }
}

pub fn diskless() -> Case {
    Case { facts: machine(Firmware::Bios), nii: nii_without_storage("diskless"), manifest: debian() }
}

/// What `--plan` prints, and what the files hold.
pub fn dump(plan: &Plan) -> String {
    let files = plan.stages.iter().flat_map(|stage| &stage.ops).filter_map(|op| match &op.act {
        Act::WriteFile { path, content: Content::Text(text), .. } => Some((path, text)),
        _ => None,
    });
    let mut out = plan::render(plan);
    for (path, text) in files {
        out.push_str(&format!("\n=== {path}\n{text}"));
    }
    out
}
