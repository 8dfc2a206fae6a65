"""Reads kickstarts back with pykickstart, and compares what it parsed with the NIIs that they were made from.

Input on stdin: a JSON list of {case, release, firmware, kickstart, nii, names, nics, disks, by_hand}. For each,
`ksvalidator -v RELEASE` must have nothing to say, and every section of what pykickstart parsed must equal what this
script works out from the NII by itself. Prints the table release x case, then every difference. Exit status 0: all
well; 1: something is not.
"""

import ipaddress
import json
import os
import shlex
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor

from pykickstart import constants as ks
from pykickstart.parser import KickstartParser
from pykickstart.version import makeVersion

INSTALLER = "/run/camphor/installer"
TIMESOURCE = {"RHEL8": False}
NETWORK_DNS = {"RHEL8": False}


class Document:
    """An NII with what is known about its machine."""

    def __init__(self, raw):
        self.__dict__.update(raw)
        self.storage = self.nii["storage"]
        self.package = self.nii["package"]
        self.ours = self.storage.get("mode", "camphor") == "camphor"

    def partitions(self):
        return [(disk, p) for disk in self.storage["disks"] for p in disk["partitions"]]

    def filesystem(self, device):
        return next((f for f in self.storage["filesystems"] if f["device"] == device), None)

    def nic(self, match):
        """The kernel's name."""
        if "name" in match:
            return match["name"]
        return next(nic["name"] for nic in self.nics if nic["mac"] == match["mac"])


def wanted_source(doc):
    def source(value):
        (kind, url), = value.items()
        return kind, url

    repos = [
        (r["name"], *source(r["source"]), r.get("cost"), r.get("install", False))
        for r in doc.package.get("repositories", [])
    ]
    return {"tree": source(doc.package["source"]), "repositories": repos}


def seen_source(handler, doc):
    def source(url, mirrorlist, metalink):
        kinds = [("url", url), ("mirrorlist", mirrorlist), ("metalink", metalink)]
        (given,) = [(kind, value) for kind, value in kinds if value]
        return given

    url = handler.url
    repos = [
        (r.name, *source(r.baseurl, r.mirrorlist, r.metalink), r.cost, r.install) for r in handler.repo.repoList
    ]
    return {"tree": source(url.url, url.mirrorlist, url.metalink), "repositories": repos}


def wanted_locale(doc):
    locale = doc.nii["locale"]
    return {
        "lang": locale["lang"],
        "keyboard": locale["keyboard"],
        "timezone": locale["timezone"],
        "utc": locale["hardware_clock_utc"],
        "ntp": locale.get("ntp", []),
    }


def seen_locale(handler, doc):
    if TIMESOURCE.get(doc.release, True):
        ntp = [source.ntp_server for source in handler.timesource.timesource_list]
    else:
        ntp = list(handler.timezone.ntpservers)
    return {
        "lang": handler.lang.lang,
        "keyboard": handler.keyboard._keyboard,
        "timezone": handler.timezone.timezone,
        "utc": handler.timezone.isUtc,
        "ntp": ntp,
    }


def wanted_network(doc):
    network = doc.nii["network"]
    has_dns = NETWORK_DNS.get(doc.release, True)
    servers = network.get("dns", [])
    search = network.get("search") or ([network["domain"]] if network.get("domain") else [])
    found = {}
    for interface in network["interfaces"]:
        name = doc.nic(interface["match"])
        four, six = interface.get("ipv4"), interface.get("ipv6")
        family = {4: four, 6: six}
        one = {
            "mtu": str(interface["mtu"]) if "mtu" in interface else "",
            "ipv4": four and ("dhcp" if four == "dhcp" else address(four["static"])),
            "ipv6": six and ("auto" if six == "slaac" else address(six["static"])),
            "dns": [s for s in servers if family[ipaddress.ip_address(s).version]],
            "search4": search if has_dns and four else [],
            "search6": search if has_dns and six else [],
            "only_ours": [
                bool(has_dns and servers and four == "dhcp"),
                bool(has_dns and servers and six == "slaac"),
            ],
            "by_mac": "mac" in interface["match"],
        }
        if "bond" in interface:
            bond = interface["bond"]
            members = [doc.nic(member) for member in bond["members"]]
            options = {"mode": bond["mode"], **bond.get("options", {})}
            one["bond"] = (members, options, all("mac" in m for m in bond["members"]))
        if "vlan" in interface:
            vlan = interface["vlan"]
            one["vlan"] = (vlan["id"], doc.nic(vlan["parent"]))
        found[name] = one
    hostname = network["hostname"] + ("." + network["domain"] if network.get("domain") else "")
    return {"hostname": hostname, "interfaces": found}


def address(static):
    gateway = static.get("gateway")
    return str(ipaddress.ip_interface(f"{static['address']}/{static['prefix']}")), gateway or ""


def words(text):
    return text.split(",") if text else []


def seen_network(handler, doc):
    found, hostname = {}, None
    for data in handler.network.network:
        if data.hostname:
            assert hostname is None and not data.device, "the host name has a command of its own"
            hostname = data.hostname
            continue
        assert data.onboot is True and data.activate is False, f"{data.device}: --onboot, --no-activate"
        device = data.device
        if ":" in device:
            device = next(nic["name"] for nic in doc.nics if nic["mac"] == device)
        bond = None
        if data.bondslaves:
            options = dict(option.split("=") for option in data.bondopts.split(","))
            bond = (data.bondslaves.split(","), options, data.bindto == "mac")
        one = {
            "mtu": data.mtu,
            "ipv4": None,
            "ipv6": None if data.noipv6 else data.ipv6,
            "dns": words(data.nameserver),
            "search4": words(getattr(data, "ipv4_dns_search", None)),
            "search6": words(getattr(data, "ipv6_dns_search", None)),
            "only_ours": [
                bool(getattr(data, "ipv4_ignore_auto_dns", False)),
                bool(getattr(data, "ipv6_ignore_auto_dns", False)),
            ],
            "by_mac": data.bindto == "mac" and not bond,
        }
        if not data.noipv4:
            static = ipaddress.ip_interface(f"{data.ip}/{data.netmask}") if data.bootProto == "static" else None
            one["ipv4"] = (str(static), data.gateway or "") if static else data.bootProto
        if one["ipv6"] not in (None, "auto"):
            one["ipv6"] = (str(ipaddress.ip_interface(one["ipv6"])), data.ipv6gateway)
        if data.vlanid:
            if bond:  # The bond below it has no address of its own.
                nothing = {"mtu": "", "ipv4": None, "ipv6": None, "dns": [], "search4": [], "search6": []}
                found[device] = nothing | {"only_ours": [False, False], "by_mac": False, "bond": bond}
            one["vlan"] = (int(data.vlanid), device)
            device = data.interfacename
        elif bond:
            one["bond"] = bond
        assert device not in found, f"{device} has two commands"
        found[device] = one
    return {"hostname": hostname, "interfaces": found}


def wanted_accounts(doc):
    fields = [("uid", None), ("gid", None), ("groups", []), ("home", ""), ("shell", ""), ("gecos", "")]
    users = doc.package.get("users", [])
    keys = [("root", key) for key in doc.nii["root"]["authorized_keys"][:1]]
    keys += [(user["name"], key) for user in users for key in user.get("authorized_keys", [])]
    return {
        "root": "locked",
        "users": [(u["name"], "locked", *(u.get(name, default) for name, default in fields)) for u in users],
        "keys": keys,
    }


def seen_accounts(handler, doc):
    locked = lambda data: "locked" if data.lock and not data.password else "open"
    users = [
        (u.name, locked(u), u.uid, u.gid, list(u.groups), u.homedir, u.shell, u.gecos) for u in handler.user.userList
    ]
    return {
        "root": locked(handler.rootpw),
        "users": users,
        "keys": [(data.username, data.key) for data in handler.sshkey.sshUserList],
    }


def wanted_security(doc):
    firewall, services = doc.package.get("firewall"), doc.package.get("services", {})
    wall = None
    if firewall:
        on = firewall["enabled"]
        wall = (on, firewall.get("services", []) if on else [], firewall.get("ports", []) if on else [])
    return {
        "selinux": doc.package["selinux"],
        "firewall": wall,
        "services": (services.get("enabled", []), services.get("disabled", [])),
    }


def seen_security(handler, doc):
    modes = {ks.SELINUX_ENFORCING: "enforcing", ks.SELINUX_PERMISSIVE: "permissive", ks.SELINUX_DISABLED: "disabled"}
    wall = handler.firewall
    return {
        "selinux": modes[handler.selinux.selinux],
        "firewall": None if wall.enabled is None else (wall.enabled, list(wall.services), list(wall.ports)),
        "services": (list(handler.services.enabled), list(handler.services.disabled)),
    }


def wanted_boot(doc):
    efi = doc.firmware == "efi"
    kind = "esp" if efi else "bios-boot"
    boot_disk = [doc.disks[disk["name"]] for disk, p in doc.partitions() if p["type"] == kind]
    if efi and not boot_disk:
        esp = next(f["device"] for f in doc.storage["filesystems"] if f.get("mount") == "/boot/efi")
        first = next(raid for raid in doc.storage["raid"] if raid["name"] == esp)["devices"][0]
        boot_disk = [doc.disks[disk["name"]] for disk, p in doc.partitions() if p["label"] == first]
    actions = {"reboot": (ks.KS_REBOOT, False), "kexec": (ks.KS_REBOOT, True), "poweroff": (ks.KS_SHUTDOWN, False)}
    return {
        "location": "mbr",
        "drive": boot_disk[0],
        "order": "left",
        "append": " ".join(doc.nii["boot"].get("kernel_args", [])),
        "after": actions[doc.nii["install"]["after"]],
    }


def seen_boot(handler, doc):
    loader = handler.bootloader
    return {
        "location": loader.location,
        "drive": loader.bootDrive,
        "order": "left" if loader.leavebootorder else "changed",
        "append": loader.appendLine or "",
        "after": (handler.reboot.action, bool(handler.reboot.kexec)),
    }


def wanted_packages(doc):
    get = lambda name: sorted(doc.package.get(name, []))
    return {
        "environment": doc.package.get("environment"),
        "groups": get("groups"),
        "packages": get("packages"),
        "exclude": get("exclude"),
    }


def seen_packages(handler, doc):
    packages = handler.packages
    assert not packages.excludedGroupList and not packages.nocore and not packages.default
    return {
        "environment": packages.environment,
        "groups": sorted(group.name for group in packages.groupList),
        "packages": sorted(packages.packageList),
        "exclude": sorted(packages.excludedList),
    }


def format_of(filesystem, is_esp):
    return {
        "fstype": "efi" if is_esp or filesystem.get("mount") == "/boot/efi" else filesystem["format"],
        "label": filesystem.get("label", ""),
        "mkfs": " ".join(filesystem.get("mkfs_options", [])),
        "options": ",".join(filesystem.get("mount_options", [])),
        "kept": False,
    }


def kept(filesystem):
    return {
        "fstype": "",
        "label": "",
        "mkfs": "",
        "options": ",".join(filesystem.get("mount_options", [])),
        "kept": True,
    }


def place(filesystem):
    return "swap" if filesystem["format"] == "swap" else filesystem.get("mount", "")


def on_device(filesystem, is_esp=False):
    made = kept(filesystem) if filesystem.get("preserve") else format_of(filesystem, is_esp)
    return {"at": place(filesystem)} | made


def wanted_storage(doc):
    storage, efi = doc.storage, doc.firmware == "efi"
    arrays, groups = storage.get("raid", []), storage.get("volume_groups", [])
    disks = [doc.disks[disk["name"]] for disk in storage["disks"]]
    cleared = (ks.CLEARPART_TYPE_NONE, [], False, "", False)
    if not doc.ours:
        cleared = (ks.CLEARPART_TYPE_ALL, disks, True, "gpt", True)
    partitions = {}
    for disk, partition in doc.partitions():
        label, kind = partition["label"], partition["type"]
        # Kept members are found by anaconda itself.
        member = next((r["name"] for r in arrays if label in r["devices"] and not r.get("preserve")), None)
        member = member or next((g["name"] for g in groups if label in g["devices"] and not g.get("preserve")), None)
        filesystem = doc.filesystem(label)
        if kind == ("bios-boot" if efi else "esp"):
            continue
        if member:
            one = {"at": f"in {member}"}
        elif kind == "bios-boot":
            if doc.ours:
                continue
            one = {"at": "biosboot", "fstype": "biosboot", "label": "", "mkfs": "", "options": "", "kept": False}
        elif filesystem:
            one = on_device(filesystem, kind == "esp")
        else:
            continue
        size = partition.get("size_mib")
        on = doc.names[label] if doc.ours else (doc.disks[disk["name"]], size or 1, size is None)
        partitions[label] = one | {"on": on}
    return {
        "disks": disks,
        "cleared": cleared,
        "partitions": partitions,
        "arrays": wanted_arrays(doc, arrays, groups),
        "groups": {
            g["name"]: "kept" if g.get("preserve") else (sorted(g["devices"]), g.get("extent_mib", 0) * 1024)
            for g in groups
        },
        "volumes": wanted_volumes(doc, groups),
    }


def wanted_arrays(doc, arrays, groups):
    found = {}
    for array in arrays:
        filesystem = doc.filesystem(array["name"])
        group = next((g["name"] for g in groups if array["name"] in g["devices"]), None)
        if array.get("preserve"):
            if filesystem:
                found[array["name"]] = on_device(filesystem)
            continue
        one = {"at": f"in {group}"} if group else on_device(filesystem)
        made = {"level": array["level"].upper(), "members": sorted(array["devices"]), "spares": array.get("spares", 0)}
        found[array["name"]] = one | made
    return found


def wanted_volumes(doc, groups):
    found = {}
    for volume in doc.storage.get("logical_volumes", []):
        name = f"{volume['group']}/{volume['name']}"
        filesystem = doc.filesystem(name)
        if volume.get("preserve"):
            if filesystem:
                found[name] = on_device(filesystem)
            continue
        group = next(g for g in groups if g["name"] == volume["group"])
        size = volume.get("size_mib")
        found[name] = on_device(filesystem) | {"size": (size or group.get("extent_mib", 4), size is None)}
    return found


def seen_format(data, members):
    """What a part, raid or logvol command says about what is on it."""
    at = data.mountpoint
    if at in members:
        assert not (data.fstype or data.label or data.mkfsopts or data.fsopts) and data.format
        return {"at": f"in {members[at]}"}
    return {
        "at": "" if at == "None" else at,
        "fstype": data.fstype or "",
        "label": data.label or "",
        "mkfs": data.mkfsopts or "",
        "options": data.fsopts or "",
        "kept": not data.format,
    }


def seen_storage(handler, doc):
    labels = {name: label for label, name in doc.names.items()}
    # raid.N or pv.N -> the array or group that uses it, and -> what it is for this document.
    members, who = {}, {}
    for data in handler.raid.raidList:
        members |= {name: data.device for name in data.members}
        if data.mountpoint.startswith("pv."):
            who[data.mountpoint] = data.device
    for data in handler.volgroup.vgList:
        members |= {name: data.vgname for name in data.physvols}
    other = "bios-boot" if doc.firmware == "efi" else "esp"
    made = [p["label"] for _, p in doc.partitions() if p["type"] != other]
    partitions = {}
    for index, data in enumerate(handler.partition.partitions):
        assert not data.encrypted and not data.resize and not data.recommended and not data.maxSizeMB
        # anaconda is not told the labels of those that it makes: they come in the order of the NII.
        label = labels[data.onPart] if doc.ours else made[index]
        assert label not in partitions, f"{label} has two commands"
        on = data.onPart if doc.ours else (data.disk, data.size, data.grow)
        assert not (data.disk or data.size or data.grow) if doc.ours else not data.onPart
        partitions[label] = seen_format(data, members) | {"on": on}
        who[data.mountpoint] = label
    arrays = {}
    for data in handler.raid.raidList:
        one = seen_format(data, members)
        if data.members:
            one |= {"level": data.level, "members": sorted(who[m] for m in data.members), "spares": data.spares}
        else:
            assert data.preexist and not data.format and not data.level
        arrays[data.device] = one
    groups = {
        data.vgname: "kept" if data.preexist else (sorted(who[pv] for pv in data.physvols), data.pesize)
        for data in handler.volgroup.vgList
    }
    volumes = {}
    for data in handler.logvol.lvList:
        one = seen_format(data, {})
        assert data.preexist == (not data.format) and not data.percent and not data.thin_volume
        if data.format:
            one["size"] = (data.size, data.grow)
        volumes[f"{data.vgname}/{data.name}"] = one
    clear = handler.clearpart
    return {
        "disks": handler.ignoredisk.onlyuse,
        "cleared": (clear.type, clear.drives, clear.initAll, clear.disklabel, handler.zerombr.zerombr),
        "partitions": partitions,
        "arrays": arrays,
        "groups": groups,
        "volumes": volumes,
    }


def wanted_scripts(doc):
    pre = [s for s in doc.nii.get("scripts", []) if s["phase"] == "pre"]
    calls = [f"{INSTALLER} report begin"]
    calls += [
        " ".join([*([s["interpreter"]] if "interpreter" in s else []), f"/run/camphor/scripts/pre/{i:02}-{s['name']}"])
        for i, s in enumerate(pre, 1)
    ]
    groups = {g["name"] for g in doc.storage.get("volume_groups", []) if g.get("preserve")}
    volumes = doc.storage.get("logical_volumes", [])
    removed = [f"{v['group']}/{v['name']}" for v in volumes if v["group"] in groups and not v.get("preserve")]
    replaced = {name.split("/")[0] for name in removed}
    devices = {g["name"]: g["devices"] for g in doc.storage.get("volume_groups", [])}
    checked = {name: sorted(f"/dev/{doc.names[label]}" for label in devices[name]) for name in replaced}
    return {
        "begin": calls,
        "removed": removed,
        "checked": checked,
        "end": f'{INSTALLER} finish --root "${{ANA_INSTALL_PATH:-/mnt/sysroot}}"',
        "end_flags": (False, True, "/bin/sh", None),
        "onerror": [f"{INSTALLER} report failed --script onerror"],
        "reports": f'{INSTALLER} report failed --script "$1"',
    }


def seen_scripts(handler, doc):
    pre = [s for s in handler.scripts if s.type == ks.KS_SCRIPT_PRE]
    assert len(pre) == 1 and pre[0].errorOnFail, "one %pre --erroronfail"
    lines = pre[0].script.splitlines()
    calls = [lines[0]] + [line.split(" || ")[0] for line in lines if " || fail " in line and not line.startswith("if ")]
    checks = [shlex.split(line)[1:] for line in lines if line.startswith("alone ")]
    assert "lvremove" not in pre[0].script.rpartition("\nalone ")[0], "all groups are looked at first"
    last = handler.scripts[-1]
    assert last.type == ks.KS_SCRIPT_POST, "ours is the last"
    return {
        "begin": calls,
        "removed": [line.split()[3] for line in lines if line.startswith("if lvm lvs ")],
        "checked": {name: on.split(" ") for name, on in checks},
        "end": last.script.strip(),
        "end_flags": (last.inChroot, last.errorOnFail, last.interp, last.logfile),
        "onerror": [s.script.strip() for s in handler.scripts if s.type == ks.KS_SCRIPT_ONERROR],
        "reports": lines[2].strip(),
    }


SECTIONS = {
    "source": (wanted_source, seen_source),
    "locale": (wanted_locale, seen_locale),
    "network": (wanted_network, seen_network),
    "accounts": (wanted_accounts, seen_accounts),
    "security": (wanted_security, seen_security),
    "boot": (wanted_boot, seen_boot),
    "packages": (wanted_packages, seen_packages),
    "storage": (wanted_storage, seen_storage),
    "scripts": (wanted_scripts, seen_scripts),
}


def parse(doc):
    handler = makeVersion(doc.release)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        KickstartParser(handler).readKickstartFromString(doc.kickstart)
    return handler


def differences(doc):
    try:
        handler = parse(doc)
    except Exception as error:  # Whatever pykickstart raises is a fault of the kickstart.
        return [f"parsing: {type(error).__name__}: {error}"]
    found = []
    if not doc.by_hand and not (handler.displaymode.nonInteractive and handler.displaymode.displayMode == ks.DISPLAY_MODE_TEXT):
        found.append("mode: neither text nor without questions")
    for name, (wanted, seen) in SECTIONS.items():
        try:
            pairs = diff(name, wanted(doc), seen(handler, doc))
        except (AssertionError, KeyError, StopIteration, ValueError, TypeError) as error:
            pairs = [f"{name}: {type(error).__name__}: {error}"]
        found += pairs
    return found


def diff(path, wanted, seen):
    if isinstance(wanted, dict) and isinstance(seen, dict):
        keys = sorted({*wanted, *seen}, key=str)
        return [d for key in keys for d in diff(f"{path}.{key}", wanted.get(key), seen.get(key))]
    return [] if wanted == seen else [f"{path}: the NII says {wanted!r}, pykickstart read {seen!r}"]


def validate(release, documents):
    """What ksvalidator says of the documents of a release: case -> lines, none if all is well."""
    program = os.path.join(os.path.dirname(sys.executable), "ksvalidator")
    said = {}
    with tempfile.TemporaryDirectory() as folder:
        for doc in documents:
            with open(os.path.join(folder, doc.case), "w", encoding="utf-8") as file:
                file.write(doc.kickstart)
        files = [os.path.join(folder, doc.case) for doc in documents]
        run = subprocess.run(
            [sys.executable, program, "-v", release, *files],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1"},
        )
        case = None
        for line in filter(None, map(str.strip, run.stdout.splitlines())):
            if line.startswith("Checking kickstart file "):
                case = os.path.basename(line.split()[-1])
                said[case] = []
            else:
                said[case].append(f"ksvalidator: {line}")
    assert set(said) == {doc.case for doc in documents}, f"ksvalidator: {run.stdout}"
    assert run.returncode == 0 or any(said.values()), f"ksvalidator: status {run.returncode}"
    return said


def main():
    documents = [Document(raw) for raw in json.load(sys.stdin)]
    releases = list(dict.fromkeys(doc.release for doc in documents))
    of = {release: [doc for doc in documents if doc.release == release] for release in releases}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        validated = dict(zip(releases, pool.map(validate, releases, of.values())))
    results = {}
    for doc in documents:
        results[doc.release, doc.case] = (validated[doc.release][doc.case], differences(doc))
    print(f"{'ksvalidator -v':<20}" + "".join(f"{release:>8}" for release in releases) + "   read back = NII")
    for case in dict.fromkeys(doc.case for doc in documents):
        cells = "".join(f"{'warns' if results[release, case][0] else 'ok':>8}" for release in releases)
        equal = sum(not results[release, case][1] for release in releases)
        print(f"{case:<20}{cells}   {equal} of {len(releases)}")
    bad = 0
    for (release, case), (said, different) in results.items():
        for line in said + different:
            print(f"{release} {case}: {line}")
            bad = 1
    return bad


if __name__ == "__main__":
    sys.exit(main())
