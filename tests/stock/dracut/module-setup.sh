#!/bin/bash
# The dracut module of the stand-in for anaconda's side of a stock initrd: see anaconda-lib.sh beside this file.
# The hooks have the names and the numbers of the originals, for ours must find its place among them.

check() {
    return 255
}

depends() {
    echo network-legacy url-lib base dracut-systemd
}

installkernel() {
    instmods loop squashfs overlay virtio_net virtio_blk virtio_pci ext4 xfs vfat nls_cp437 nls_ascii
}

install() {
    inst_multiple blkid cp depmod mkdir mount umount rmdir
    inst_simple "$moddir/anaconda-lib.sh" /lib/anaconda-lib.sh
    inst_hook cmdline 26 "$moddir/parse-anaconda-kickstart.sh"
    inst_hook cmdline 27 "$moddir/parse-anaconda-repo.sh"
    inst_hook pre-trigger 50 "$moddir/kickstart-genrules.sh"
    inst_hook initqueue/online 11 "$moddir/fetch-kickstart-net.sh"
    inst_hook initqueue/online 80 "$moddir/anaconda-netroot.sh"
}
