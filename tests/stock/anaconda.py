"""A stand-in for anaconda, for tests: it installs a Debian tarball by a kickstart.

It does what a kickstart can notice, in anaconda's order: parse (by pykickstart, with the words of the release that the
kickstart names), %pre, storage, %pre-install, packages, root's account, %post, reboot; and %onerror when it fails
itself. Scripts run as pyanaconda/kickstart.py runs them: interpreter, place, log, and what --erroronfail does in that
release. Written for these tests; no line is anaconda's. It knows plain partitions only, and refuses what it does not
know, for half an obedience would prove nothing.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import traceback

from pykickstart import constants as ks
from pykickstart.parser import KickstartParser
from pykickstart.version import makeVersion, versionFromFile

KICKSTART = "/run/install/ks.cfg"
LOG = "/tmp/anaconda.log"
ROOT = "/mnt/sysroot"
TYPES = {"biosboot": "21686148-6449-6E6F-744E-656564454649", "efi": "U", "swap": "S"}
LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
MKFS = {
    "ext4": ["mkfs.ext4", "-q", "-F"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
    "efi": ["mkfs.vfat"],
    "swap": ["mkswap", "-q"],
}


def say(text):
    print("anaconda:", text, flush=True)
    with open(LOG, "a") as log:
        print(text, file=log)


def run(*argv, **more):
    return subprocess.run(argv, check=True, text=True, **more)


def execute(scripts, kind):
    """Runs the scripts of one kind, as AnacondaKSScript.run does."""
    for script in scripts:
        if script.type != kind:
            continue
        place = ROOT if script.inChroot else "/"
        descriptor, path = tempfile.mkstemp(prefix="ks-script-", dir=os.path.join(place, "tmp"))
        with os.fdopen(descriptor, "w") as file:
            file.write(script.script)
        os.chmod(path, 0o700)
        name = os.path.basename(path)
        say(f"script of line {script.lineno}, in {place}")
        log = f"/tmp/{name}.log"
        if script.logfile:
            log = os.path.join(place, script.logfile.lstrip("/")) if script.inChroot else script.logfile
            os.makedirs(os.path.dirname(log), exist_ok=True)
        with open(log, "w") as out:
            status = subprocess.run(
                [script.interp, f"/tmp/{name}"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda place=place: (os.chroot(place), os.chdir("/")),
            ).returncode
        if status != 0:
            with open(log) as file:
                said = file.read()
            say(f"script of line {script.lineno}: status {status}; it said: {said.strip()}")
            if script.errorOnFail:
                script_failed(script)


def script_failed(script):
    """In RHEL 8 and 9 the program shows the error and exits with 0: no %onerror, and the machine goes on to reboot."""
    if RELEASE in ("RHEL8", "RHEL9"):
        say("a script failed: exiting")
        sys.exit(0)
    raise RuntimeError(f"the script of line {script.lineno} failed")


def device(name):
    """The kernel's name of what --onpart or --ondisk names."""
    path = os.path.realpath(os.path.join("/dev", name))
    if not os.path.exists(path):
        raise RuntimeError(f"there is no device {name}")
    return path


def make_partitions(data):
    """Writes tables for the partitions that are not there yet, and gives each its device."""
    disks = {}
    for part in data.partition.partitions:
        if not part.onPart:
            if not part.disk:
                raise RuntimeError(f"part {part.mountpoint}: the stand-in wants --ondisk")
            disks.setdefault(part.disk, []).append(part)
    for disk, parts in disks.items():
        cleared = data.clearpart.type == ks.CLEARPART_TYPE_ALL and data.zerombr.zerombr
        allowed = not data.ignoredisk.onlyuse or disk in data.ignoredisk.onlyuse
        chosen = not data.clearpart.drives or disk in data.clearpart.drives
        if not (cleared and allowed and chosen):
            raise RuntimeError(f"{disk}: not enough free space (it is not cleared)")
        parts.sort(key=lambda part: part.grow)
        lines = ["label: gpt"]
        for part in parts:
            size = "" if part.grow else f"size={part.size}MiB, "
            lines.append(size + "type=" + TYPES.get(part.fstype or part.mountpoint, "L"))
        run("sfdisk", "--quiet", "--wipe=always", "--wipe-partitions=always", device(disk), input="\n".join(lines))
        run("udevadm", "settle")
        for number, part in enumerate(parts, 1):
            path = device(disk)
            part.onPart = f"{path}p{number}" if path[-1].isdigit() else f"{path}{number}"


def retype(path):
    """What anaconda formats becomes a partition of Linux data, whatever it was before."""
    place = os.path.realpath(f"/sys/class/block/{os.path.basename(path)}")
    with open(f"{place}/partition") as number:
        disk = "/dev/" + os.path.basename(os.path.dirname(place))
        run("sfdisk", "--quiet", "--part-type", disk, number.read().strip(), LINUX)
    run("udevadm", "settle")


def make_filesystems(data):
    """Formats and mounts. Gives the mounts in order."""
    mounts = []
    for part in data.partition.partitions:
        path = device(part.onPart)
        kind = part.fstype or {"swap": "swap", "biosboot": "biosboot", "/boot/efi": "efi"}.get(part.mountpoint, "ext4")
        if kind in MKFS and part.format:
            label = (["-n" if kind == "efi" else "-L", part.label]) if part.label else []
            say(f"{kind} on {path}")
            run(*MKFS[kind], *label, *(part.mkfsopts or "").split(), path)
            if kind in ("ext4", "xfs"):
                retype(path)
        elif kind not in MKFS and kind != "biosboot":
            raise RuntimeError(f"part {part.mountpoint}: {kind} is beyond the stand-in")
        if part.mountpoint == "/" and not part.format:
            raise RuntimeError("the root must be formatted")
        if part.mountpoint.startswith("/"):
            mounts.append((part.mountpoint, path))
    if "/" not in dict(mounts):
        raise RuntimeError("there is no root")
    for where, path in sorted(mounts):
        os.makedirs(ROOT + where, exist_ok=True)
        run("mount", path, ROOT + where)


def install(data):
    """The packages: a tarball at the place of the tree. Then what scripts in the root need."""
    fetch = subprocess.Popen(
        ["curl", "--silent", "--show-error", "--fail", data.url.url.rstrip("/") + "/root.tar.zst"],
        stdout=subprocess.PIPE,
    )
    unpack = subprocess.run(
        ["tar", "--extract", "--zstd", "--numeric-owner", "--directory", ROOT], stdin=fetch.stdout
    )
    if fetch.wait() != 0 or unpack.returncode != 0:
        raise RuntimeError("installing the packages failed")
    for name in ("proc", "sys", "dev", "run"):
        run("mount", "--rbind", f"/{name}", f"{ROOT}/{name}")
    shutil.copy(KICKSTART, ROOT + "/root/original-ks.cfg")
    if data.rootpw.lock:
        run("chroot", ROOT, "passwd", "--quiet", "--lock", "root")


def main():
    parser = KickstartParser(makeVersion(versionFromFile(KICKSTART)))
    parser.readKickstart(KICKSTART)
    data = parser.handler
    try:
        execute(data.scripts, ks.KS_SCRIPT_PRE)
        say("storage")
        make_partitions(data)
        make_filesystems(data)
        execute(data.scripts, ks.KS_SCRIPT_PREINSTALL)
        say("packages")
        install(data)
        execute(data.scripts, ks.KS_SCRIPT_POST)
    except Exception:
        say(traceback.format_exc())
        execute(data.scripts, ks.KS_SCRIPT_ONERROR)
        return 1
    say("done")
    run("umount", "--recursive", ROOT)
    return 2 if data.reboot.action == ks.KS_SHUTDOWN else 0


if __name__ == "__main__":
    with open(KICKSTART) as given:
        RELEASE = next((line.split("=")[1].strip() for line in given if line.startswith("#version=")), "")
    os.environ["ANA_INSTALL_PATH"] = ROOT
    sys.exit(main())
