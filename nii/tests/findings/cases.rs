//! The documents.

/// What is changed in a right document, as `pointer = value` (`-` appends, `null` removes), and where the finding is.
pub type Case = (&'static str, &'static [&'static str]);

pub const OF_STACKED: &[Case] = &[
    // Disks and partitions.
    ("storage.disks[0].name", &["/storage/disks/0/name = \"a b\""]),
    ("storage.disks[2].name", &["/storage/disks/2/name = \"system\""]),
    ("storage.disks[0].select.serial", &["/storage/disks/0/select/serial = \"<in> \""]),
    ("storage.disks[0].select.path", &["/storage/disks/0/select/path = \"sda\""]),
    ("storage.disks[0].select.number", &["/storage/disks/0/select/number = 0"]),
    ("storage.disks[0].select.pick", &["/storage/disks/0/select = {\"number\": 1, \"pick\": \"first\"}"]),
    (
        "storage.disks[1].select.pick",
        &["/storage/disks/1/wipe = \"secure\"", "/storage/disks/1/select = {\"pick\": \"first\"}"],
    ),
    (
        "storage.disks[0].select.max_size_mib",
        &["/storage/disks/0/select = {\"min_size_mib\": 2000, \"max_size_mib\": 1000}"],
    ),
    ("storage.disks[3].partitions", &["/storage/disks/- = {\"name\": \"more\", \"partitions\": []}"]),
    (
        "storage.disks[0].partitions[5].label",
        &["/storage/disks/0/partitions/- = {\"label\": \"a/b\", \"size_mib\": 1}"],
    ),
    (
        "storage.disks[0].partitions[5].label",
        &["/storage/disks/0/partitions/- = {\"label\": \"camphor\", \"size_mib\": 1}"],
    ),
    (
        "storage.disks[0].partitions[5].label",
        &["/storage/disks/0/partitions/- = {\"label\": \"bios\", \"size_mib\": 1}"],
    ),
    ("storage.disks[0].partitions[0].size_mib", &["/storage/disks/0/partitions/0/size_mib = 0"]),
    ("storage.disks[0].partitions[4].weight", &["/storage/disks/0/partitions/4/weight = 0"]),
    (
        "storage.disks[0].partitions[3].found_by",
        &["/storage/disks/0/partitions/3/found_by = {\"number\": 3}"],
    ),
    ("storage.disks[2].partitions[0].weight", &["/storage/disks/2/partitions/0/weight = 1"]),
    (
        "storage.disks[2].partitions[1].found_by.number",
        &["/storage/disks/2/partitions/1/found_by/number = 0"],
    ),
    (
        "storage.disks[2].partitions[0].found_by.filesystem_label",
        &["/storage/disks/2/partitions/0/found_by/filesystem_label = \"\""],
    ),
    (
        "storage.disks[2].partitions[0].found_by.filesystem_label",
        &["/storage/disks/2/partitions/0/found_by/filesystem_label = \"root\""],
    ),
    (
        "storage.disks[0].partitions[3].guid",
        &["/storage/disks/0/partitions/3/guid = \"00000000-0000-0000-0000-000000000000\""],
    ),
    (
        "storage.disks[2].partitions[2].found_by.guid",
        &["/storage/disks/2/partitions/2/found_by/guid = \"0c5b6b5e-7f0a-4f0e-9d3c-0f6a3c1b2d4e\""],
    ),
    (
        "storage.disks[2].partitions[2].found_by",
        &["/storage/disks/2/partitions/2/found_by = {\"number\": 2}"],
    ),
    ("storage.disks[2].wipe", &["/storage/disks/2/wipe = \"secure\""]),
    (
        "storage.disks[0].partitions[5].type",
        &["/storage/disks/0/partitions/- = {\"label\": \"spare\", \"type\": \"luks\", \"size_mib\": 1}"],
    ),
    // Arrays.
    ("storage.raid[1].name", &["/storage/raid/1/name = \"a b\"", "/storage/filesystems/1/device = \"a b\""]),
    ("storage.raid[1].name", &["/storage/raid/1/name = \"root\"", "/storage/filesystems/1 = null"]),
    ("storage.raid[1].devices", &["/storage/raid/1/level = \"raid5\""]),
    (
        "storage.raid[1].spares",
        &[
            "/storage/raid/1/level = \"raid0\"",
            "/storage/raid/1/spares = 1",
            "/storage/raid/1/devices/- = \"more\"",
            "/storage/disks/1/partitions/- = {\"label\": \"more\", \"type\": \"raid\", \"size_mib\": 1}",
        ],
    ),
    (
        "storage.raid[1].devices[1]",
        &["/storage/raid/1/devices/1 = \"nowhere\"", "/storage/disks/1/partitions/1/type = \"linux\""],
    ),
    ("storage.raid[1].devices[1]", &["/storage/disks/1/partitions/1/type = \"linux\""]),
    (
        "storage.raid[0].devices[0]",
        &[
            "/storage/raid/0/level = \"raid0\"",
            "/storage/raid/0/devices/1 = \"more\"",
            "/storage/disks/1/partitions/- = {\"label\": \"more\", \"type\": \"raid\", \"size_mib\": 512}",
            "/storage/filesystems/2/mount = \"/esp\"",
        ],
    ),
    (
        "storage.raid[1].devices[1]",
        &["/storage/raid/1/devices/1 = \"boot1\"", "/storage/disks/1/partitions/1/type = \"linux\""],
    ),
    (
        "storage.raid[1].devices[2]",
        &[
            "/storage/raid/1/devices/- = \"boot3\"",
            "/storage/disks/0/partitions/- = {\"label\": \"boot3\", \"type\": \"raid\", \"size_mib\": 1024}",
        ],
    ),
    // Encrypted devices.
    (
        "storage.luks[0].name",
        &[
            "/storage/luks/0/name = \"control\"",
            "/storage/filesystems/3/device = \"control\"",
            "/secrets/luks_keys = {\"control\": \"x\", \"work\": \"x\"}",
        ],
    ),
    (
        "storage.luks[0].name",
        &[
            "/storage/luks/0/name = \"vg0-thin\"",
            "/storage/filesystems/3/device = \"vg0-thin\"",
            "/secrets/luks_keys = {\"vg0-thin\": \"x\", \"work\": \"x\"}",
        ],
    ),
    (
        "storage.luks[0].device",
        &["/storage/luks/0/device = \"root\"", "/storage/disks/1/partitions/2/type = \"linux\""],
    ),
    ("storage.luks[1].device", &["/storage/luks/1/device = \"scratch\"", "/storage/filesystems/3 = null"]),
    ("storage.luks[1].device", &["/storage/luks/1/device = \"vg0/pool\""]),
    (
        "storage.luks[1].device",
        &["/storage/volume_groups/0/devices/- = \"work\"", "/storage/filesystems/4 = null"],
    ),
    ("storage.luks[1].device", &["/storage/luks/1/device = \"vg0/none\""]),
    ("secrets.luks_keys", &["/secrets/luks_keys = {\"work\": \"x\"}"]),
    ("secrets.luks_keys.work", &["/secrets/luks_keys/work = \"\""]),
    ("secrets.luks_keys.scratch", &["/storage/luks/0/random_key = true"]),
    ("secrets.luks_keys.other", &["/secrets/luks_keys/other = \"x\""]),
    // Volume groups and volumes.
    (
        "storage.volume_groups[1].name",
        &[
            "/storage/volume_groups/- = {\"name\": \"a b\", \"devices\": [\"pv2\"]}",
            "/storage/disks/1/partitions/- = {\"label\": \"pv2\", \"type\": \"lvm\", \"size_mib\": 1}",
        ],
    ),
    (
        "storage.volume_groups[1].name",
        &[
            "/storage/volume_groups/- = {\"name\": \"vg0\", \"devices\": [\"pv2\"]}",
            "/storage/disks/1/partitions/- = {\"label\": \"pv2\", \"type\": \"lvm\", \"size_mib\": 1}",
        ],
    ),
    ("storage.volume_groups[0].extent_mib", &["/storage/volume_groups/0/extent_mib = 3"]),
    (
        "storage.volume_groups[0].devices",
        &["/storage/volume_groups/0/devices = []", "/storage/disks/0/partitions/4/type = \"linux\""],
    ),
    ("storage.volume_groups[0].devices[0]", &["/storage/disks/0/partitions/4/type = \"linux\""]),
    (
        "storage.volume_groups[0].devices[1]",
        &["/storage/volume_groups/0/devices/- = \"vg0/thin\"", "/storage/filesystems/5 = null"],
    ),
    ("storage.volume_groups[0].devices[1]", &["/storage/volume_groups/0/devices/- = \"nowhere\""]),
    (
        "storage.logical_volumes[0].name",
        &["/storage/logical_volumes/0/name = \"pvmove\"", "/storage/luks/1/device = \"vg0/pvmove\""],
    ),
    (
        "storage.logical_volumes[3].name",
        &["/storage/logical_volumes/- = {\"group\": \"vg0\", \"name\": \"work\", \"size_mib\": 1}"],
    ),
    (
        "storage.logical_volumes[3].group",
        &["/storage/logical_volumes/- = {\"group\": \"vg1\", \"name\": \"work\", \"size_mib\": 1}"],
    ),
    ("storage.logical_volumes[0].size_mib", &["/storage/logical_volumes/0/size_mib = 0"]),
    (
        "storage.logical_volumes[3].size_mib",
        &["/storage/logical_volumes/- = {\"group\": \"vg0\", \"name\": \"more\"}"],
    ),
    (
        "storage.logical_volumes[3].thin_pool",
        &[
            "/storage/logical_volumes/- = {\"group\": \"vg0\", \"name\": \"more\", \"size_mib\": 1, \"thin_pool\": true}",
        ],
    ),
    (
        "storage.logical_volumes[2].pool",
        &[
            "/storage/logical_volumes/- = {\"group\": \"vg0\", \"name\": \"last\", \"size_mib\": 1, \"pool\": \"thin\"}",
            "/storage/logical_volumes/2/thin_pool = true",
            "/storage/filesystems/5/device = \"vg0/last\"",
        ],
    ),
    (
        "storage.logical_volumes[2].pool",
        &["/storage/logical_volumes/2/pool = \"none\"", "/storage/logical_volumes/1/thin_pool = null"],
    ),
    ("storage.logical_volumes[2].pool", &["/storage/logical_volumes/1/thin_pool = null"]),
    ("storage.logical_volumes[2].size_mib", &["/storage/logical_volumes/2/size_mib = null"]),
    // File systems.
    ("storage.filesystems[3].device", &["/storage/filesystems/3/device = \"nowhere\""]),
    ("storage.filesystems[5].device", &["/storage/filesystems/5/device = \"vg0/none\""]),
    ("storage.filesystems[3].device", &["/storage/filesystems/3/device = \"bios\""]),
    ("storage.filesystems[3].device", &["/storage/filesystems/3/device = \"boot1\""]),
    ("storage.filesystems[3].device", &["/storage/filesystems/3/device = \"pv1\""]),
    ("storage.filesystems[3].device", &["/storage/filesystems/3/device = \"crypt\""]),
    ("storage.filesystems[5].device", &["/storage/filesystems/5/device = \"vg0/pool\""]),
    ("storage.filesystems[5].device", &["/storage/filesystems/5/device = \"vg0/work\""]),
    ("storage.filesystems[3].device", &["/storage/filesystems/3/device = \"root\""]),
    ("storage.filesystems[1].label", &["/storage/filesystems/1/label = \"root\""]),
    ("storage.filesystems[3].label", &["/storage/filesystems/3/label = \"thirteen-char\""]),
    (
        "storage.filesystems[1].uuid",
        &["/storage/filesystems/1/uuid = \"7d1e5a90-6b1f-4f57-8a34-6d0c2f9b1a77\""],
    ),
    (
        "storage.filesystems[1].uuid",
        &["/storage/filesystems/1/uuid = \"00000000-0000-0000-0000-000000000000\""],
    ),
    (
        "storage.filesystems[2].uuid",
        &["/storage/filesystems/2/uuid = \"7d1e5a90-6b1f-4f57-8a34-6d0c2f9b1a78\""],
    ),
    (
        "storage.filesystems[6].uuid",
        &["/storage/filesystems/6/uuid = \"7d1e5a90-6b1f-4f57-8a34-6d0c2f9b1a78\""],
    ),
    ("storage.filesystems[1].mkfs_options[0]", &["/storage/filesystems/1/mkfs_options = [\"-m 1\"]"]),
    (
        "storage.filesystems[4].mkfs_options",
        &[
            "/storage/filesystems/4 = {\"device\": \"work\", \"format\": \"swap\", \"mkfs_options\": [\"-p\"]}",
        ],
    ),
    ("storage.filesystems[9].device", &["/storage/filesystems/9/device = \"scratch\""]),
    ("storage.filesystems[9].mount", &["/storage/filesystems/9/mount = null"]),
    ("storage.filesystems[1].subvolumes", &["/storage/filesystems/1/subvolumes = [{\"name\": \"@boot\"}]"]),
    ("storage.filesystems[0].subvolumes[2].name", &["/storage/filesystems/0/subvolumes/2/name = \"a/b\""]),
    ("storage.filesystems[0].subvolumes[2].name", &["/storage/filesystems/0/subvolumes/2/name = \"@home\""]),
    (
        "storage.filesystems[1].mount_options[0]",
        &["/storage/filesystems/1/mount_options = [\"noatime,nodev\"]"],
    ),
    ("storage.filesystems[0].mount_options[0]", &["/storage/filesystems/0/mount_options = [\"subvol=@\"]"]),
    // Mount points.
    ("storage.filesystems[3].mount", &["/storage/filesystems/3/mount = \"/home\""]),
    ("storage.filesystems[4].mount", &["/storage/filesystems/4/format = \"swap\""]),
    ("storage.filesystems[3].mount", &["/storage/filesystems/3/mount = \"/scratch/\""]),
    ("storage.filesystems[3].mount", &["/storage/filesystems/3/mount = \"/run/scratch\""]),
    ("storage.filesystems[9].mount", &["/storage/filesystems/9/mount = \"/var\""]),
    // What is needed to boot.
    ("storage.filesystems", &["/storage/filesystems/0/subvolumes/0/mount = null"]),
    (
        "storage.filesystems",
        &["/storage/filesystems/0 = {\"device\": \"root\", \"format\": \"vfat\", \"mount\": \"/\"}"],
    ),
    ("storage.filesystems", &["/storage/filesystems/0 = {\"format\": \"tmpfs\", \"mount\": \"/\"}"]),
    (
        "storage.filesystems",
        &["/storage/filesystems/2 = {\"device\": \"esp1\", \"format\": \"ext4\"}", "/storage/raid/0 = null"],
    ),
    (
        "storage.filesystems[5].mount",
        &[
            "/storage/filesystems/2/mount = \"/esp\"",
            "/storage/filesystems/5 = {\"device\": \"vg0/thin\", \"format\": \"vfat\", \"mount\": \"/boot/efi\"}",
        ],
    ),
    ("storage.filesystems[3].mount", &["/storage/filesystems/3/mount = \"/usr\""]),
    (
        "storage.filesystems[5].mount",
        &["/storage/filesystems/1/mount = \"/b\"", "/storage/filesystems/5/mount = \"/boot\""],
    ),
    // What is kept.
    ("storage.filesystems[6].preserve", &["/storage/filesystems/6/preserve = false"]),
    (
        "storage.filesystems[1].preserve",
        &["/storage/filesystems/1/preserve = true", "/storage/filesystems/1/mount = \"/srv\""],
    ),
    (
        "storage.filesystems[6].preserve",
        &["/storage/filesystems/0/subvolumes/0/mount = null", "/storage/filesystems/6/mount = \"/\""],
    ),
    ("storage.raid[1].devices[0]", &["/storage/disks/0/partitions/2/preserve = true"]),
    ("storage.volume_groups[0].devices[0]", &["/storage/volume_groups/0/preserve = true"]),
    (
        "storage.luks[0].preserve",
        &["/storage/luks/0/preserve = true", "/storage/filesystems/3/preserve = true"],
    ),
    ("storage.luks[0].preserve", &["/storage/disks/1/partitions/2/preserve = true"]),
    (
        "storage.logical_volumes[0].preserve",
        &[
            "/storage/logical_volumes/0/preserve = true",
            "/storage/luks/1/preserve = true",
            "/storage/filesystems/4/preserve = true",
        ],
    ),
    (
        "storage.logical_volumes[2].preserve",
        &[
            "/storage/logical_volumes/2/preserve = true",
            "/storage/filesystems/5/preserve = true",
            "/storage/volume_groups/0/preserve = true",
            "/storage/disks/0/partitions/4/preserve = true",
            "/storage/disks/0/partitions/4/weight = null",
        ],
    ),
    ("storage.disks[2].partitions[0].preserve", &["/storage/disks/2/partitions/0/type = \"root\""]),
    ("storage.filesystems[6].mount", &["/storage/filesystems/6/mount = \"/usr/data\""]),
    (
        "storage.mode",
        &[
            "/storage/mode = \"anaconda\"",
            "/storage/disks/0/partitions/3 = {\"label\": \"root\", \"size_mib\": 16384}",
            "/storage/disks/0/partitions/4/weight = null",
        ],
    ),
];

pub const OF_PACKAGE: &[Case] = &[
    (
        "storage.disks[1].partitions[2].preserve",
        &["/storage/mode = \"anaconda\"", "/storage/filesystems/4 = null"],
    ),
    (
        "storage.disks[0].partitions[4].weight",
        &[
            "/storage/mode = \"anaconda\"",
            "/storage/disks/1/partitions/2 = null",
            "/storage/filesystems/4 = null",
            "/storage/disks/0/partitions/4/weight = 2",
        ],
    ),
    (
        "storage.raid[0].devices",
        &[
            "/storage/raid/0 = {\"name\": \"root\", \"level\": \"raid1\", \"devices\": [\"esp\", \"esp2\"]}",
            "/storage/disks/0/partitions/3 = null",
            "/storage/disks/1/partitions/0 = {\"label\": \"esp2\", \"type\": \"esp\", \"size_mib\": 512}",
            "/storage/disks/1/partitions/1 = null",
            "/storage/filesystems/2/device = \"root\"",
            "/storage/filesystems/0/device = \"boot\"",
            "/storage/filesystems/1 = null",
        ],
    ),
    (
        "storage.luks",
        &[
            "/storage/disks/0/partitions/- = {\"label\": \"crypt\", \"type\": \"luks\", \"size_mib\": 64}",
            "/storage/luks = [{\"name\": \"x\", \"device\": \"crypt\"}]",
            "/secrets/luks_keys = {\"x\": \"y\"}",
        ],
    ),
    ("storage.filesystems[3].format", &["/storage/filesystems/3/format = \"btrfs\""]),
    (
        "storage.filesystems[3].uuid",
        &["/storage/filesystems/3/uuid = \"7d1e5a90-6b1f-4f57-8a34-6d0c2f9b1a78\""],
    ),
];
