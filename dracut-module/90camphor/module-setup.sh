#!/bin/bash
# Camphor in an initrd that a site makes itself: `dracut --add camphor`. Takes the static programs from
# /usr/libexec/camphor and /etc/camphor/trust.json of the machine that dracut runs on; docs/package-flow.md.

camphor=/usr/libexec/camphor

# Opt-in (255), and not without a program.
check() {
    [[ -x $camphor/installer || -x $camphor/imageinit ]] && [[ -e /etc/camphor/trust.json ]] || return 1
    return 255
}

# The package flow lives beside anaconda; the image flow brings up its own network, and needs the cards' drivers. From
# dracut-ng 108 on the initqueue is a module. One that is not there would be an error.
depends() {
    local folder
    for folder in "${dracutbasedir:?}"/modules.d/[0-9][0-9]{anaconda,initqueue,kernel-network-modules}; do
        [[ -d $folder ]] && echo "${folder##*/[0-9][0-9]}"
    done
    return 0
}

install() {
    local file
    inst_simple /etc/camphor/trust.json
    inst_simple "${moddir:?}/camphor-lib.sh" $camphor/lib.sh
    if [[ -x $camphor/installer ]]; then
        inst_simple $camphor/installer
        inst_simple "$moddir/camphor-job.sh" $camphor/job.sh
        inst_hook cmdline 20 "$moddir/camphor-cmdline.sh"
        inst_hook pre-udev 20 "$moddir/camphor-start.sh"
        inst_hook pre-trigger 60 "$moddir/camphor-wait.sh"
        inst_hook initqueue/online 05 "$moddir/camphor-online.sh"
        inst_hook initqueue/settled 99 "$moddir/camphor-settled.sh"
        inst_hook initqueue/timeout 05 "$moddir/camphor-timeout.sh"
        inst_hook emergency 05 "$moddir/camphor-emergency.sh"
        dracut_need_initqueue
    fi
    if [[ -x $camphor/imageinit ]]; then
        inst_simple $camphor/imageinit
        inst_hook cmdline 10 "$moddir/camphor-image.sh"
        inst_multiple -o mkfs.ext4 mkfs.xfs mkfs.vfat mkfs.btrfs mkswap busybox
    fi
}
