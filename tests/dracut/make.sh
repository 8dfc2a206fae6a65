#!/bin/sh
# Makes an initrd as a site does that makes its own: by Debian's dracut, with dracut-module/90camphor and imageinit. There
# is no systemd in it, so that PID 1 is dracut's own script. Called by tests/src/dracut.rs, in a mount namespace of its
# own, so that no mount outlives it.
#
#   make.sh ROOT.tar MODULES IMAGEINIT TRUST OUT
#
# ROOT.tar has dracut, MODULES holds usr/lib/modules/RELEASE. OUT becomes a folder with initrd.img.
set -eu
module=$(dirname "$0")/../../dracut-module/90camphor
root_tar=$1 modules=$2 program=$3 trust=$4 out=$5
root=$out/root
mkdir -p "$root"
tar --extract --file "$root_tar" --directory "$root"
cp -a "$modules/usr/lib/modules" "$root/usr/lib/"
cp -a "$module" "$root/usr/lib/dracut/modules.d/"
install -D -m 755 "$program" "$root/usr/libexec/camphor/imageinit"
install -D -m 644 "$trust" "$root/etc/camphor/trust.json"
for folder in proc sys dev; do
    mount --rbind "/$folder" "$root/$folder"
done
release=$(ls "$root/usr/lib/modules")
chroot "$root" dracut --force --quiet --no-hostonly --no-hostonly-cmdline --kver "$release" --zstd \
    --omit "systemd systemd-initrd dracut-systemd network ifcfg" --add camphor /initrd.img
for folder in proc sys dev; do
    umount --recursive "$root/$folder"
done
mv "$root/initrd.img" "$out/initrd.img"
rm -r "$root"
