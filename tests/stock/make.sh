#!/bin/sh
# Makes the stock side of the package scenarios out of a Debian root that has dracut and Python: see make_tree in
# tests/src/stock.rs, which calls this in a mount namespace of its own, so that no mount outlives it.
#
#   make.sh ROOT.tar MODULES INSTALLED.tar OUT
#
# MODULES holds usr/lib/modules/RELEASE. OUT becomes:
#   initrd.img                the "distribution's" initrd, by Debian's dracut with the module in dracut/
#   tree/images/install.img   its stage2, where a tree has it
#   tree/root.tar.zst         its "packages": INSTALLED.tar without what only a boot needs, and with what a Red Hat root
#                             has for SELinux: setfiles, and a policy's contexts (one for all files)
set -eu
here=$(dirname "$0")
root_tar=$1 modules=$2 installed=$3 out=$4
root=$out/root
mkdir -p "$root" "$out/tree/images"
tar --extract --file "$root_tar" --directory "$root"
cp -a "$modules/usr/lib/modules" "$root/usr/lib/"
# Red Hat's /bin/sh.
ln -sf bash "$root/bin/sh"

module=$root/usr/lib/dracut/modules.d/80anaconda
mkdir "$module"
cp "$here"/dracut/*.sh "$module"
for folder in proc sys dev; do
    mount --rbind "/$folder" "$root/$folder"
done
release=$(ls "$root/usr/lib/modules")
chroot "$root" dracut --force --quiet --no-hostonly --no-hostonly-cmdline --kver "$release" --zstd \
    --omit "dash systemd-networkd ifcfg" --add "bash network-legacy anaconda" /initrd.img
mv "$root/initrd.img" "$out/initrd.img"
chmod 644 "$out/initrd.img"

# Debian's python3 comes without pip, and has no pykickstart.
python3 -m venv "$out/venv"
"$out/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check --requirement "$here/requirements.txt" \
    --target "$root/usr/lib/python3/dist-packages"
rm -r "$out/venv"
chroot "$root" python3 -m compileall -q /usr/lib/python3/dist-packages
for folder in proc sys dev; do
    umount --recursive "$root/$folder"
done

contexts=etc/selinux/targeted/contexts/files
mkdir -p "$out/more/$contexts" "$out/more/usr/sbin"
cp "$root/usr/sbin/setfiles" "$out/more/usr/sbin/"
printf '/.*\tsystem_u:object_r:default_t:s0\n' > "$out/more/$contexts/file_contexts"

rm "$root/usr/sbin/init" "$root/usr/lib/systemd/systemd"
cp "$here/init" "$root/usr/sbin/init"
cp "$here/anaconda.py" "$root/usr/libexec/"
rm -r "$root/var/lib/apt/lists" "$root/var/cache/apt"
for folder in drivers net sound; do
    rm -rf "$root/usr/lib/modules/$release/kernel/$folder"
done
mksquashfs "$root" "$out/tree/images/install.img" -quiet -no-progress -comp zstd -Xcompression-level 6
bsdtar --create --file - --exclude './boot/*' --exclude ./usr/lib/modules --exclude './var/lib/apt/lists/*' \
    --no-xattrs --no-acls "@$installed" -C "$out/more" etc usr | zstd --quiet -T0 -6 -o "$out/tree/root.tar.zst"
rm -r "$root" "$out/more"
