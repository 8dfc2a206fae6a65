#!/bin/bash
# A test double of the library that stock initrds of RHEL and Fedora carry at this path. Written for these tests from
# what the originals do (rhinstaller/anaconda, folder `dracut`, branches rhel-8 to main), none of it copied. It has the
# entry points that other dracut modules can meet, parse_kickstart and run_kickstart, and no more: in particular no
# parser, so no line of a kickstart becomes a dracut argument. What passes here proves our side of the contract only.

command -v getarg > /dev/null || . /lib/dracut-lib.sh
command -v fetch_url > /dev/null || . /lib/url-lib.sh

# Says what the stand-in does, so that a console shows who did what.
stock() {
    echo "stock-initrd: $*" > /dev/console
}

# With neither a network root nor this file, dracut brings up no interface.
set_neednet() {
    if [ -z "$netroot" ]; then
        : >> /tmp/net.ifaces
    fi
}

wait_for_kickstart() {
    echo '[ -e /tmp/ks.cfg.done ]' > "$hookdir/initqueue/finished/kickstart.sh"
}

# parse_kickstart FILE: as in the original, the status says nothing about the file.
parse_kickstart() {
    stock "parse_kickstart $1"
    echo "# $1" > /etc/cmdline.d/80-kickstart.conf
    unset CMDLINE
    mkdir -p /run/install
    [ -e "$1" ] && cp "$1" /run/install/ks.cfg
    return 0
}

# The original looks for a root again, by what the kickstart said, and runs the hooks of all that is online once more.
run_kickstart() {
    stock "run_kickstart"
    local state
    [ "$root" = anaconda-kickstart ] && root=""
    kickstart=""
    . "$hookdir"/cmdline/*parse-anaconda-repo.sh
    if [ "${root#anaconda-net:}" != "$root" ] && ! [ -f /tmp/anaconda_netroot.done ]; then
        for state in /tmp/net.*.did-setup; do
            state=${state#/tmp/net.}
            [ -d "/sys/class/net/${state%.did-setup}" ] && source_hook initqueue/online "${state%.did-setup}"
        done
    fi
    : > /tmp/ks.cfg.done
}

# The original hands the image to dmsquash-live-root.
anaconda_mount_sysroot() {
    mkdir -p /run/rootfsbase /run/overlayfs /run/ovlwork
    mount -t squashfs -o loop,ro "$1" /run/rootfsbase || return 1
    echo "mount -t overlay LiveOS_rootfs -o lowerdir=/run/rootfsbase,upperdir=/run/overlayfs,workdir=/run/ovlwork $NEWROOT" \
        > "$hookdir/mount/01-$$-anaconda.sh"
    ln -s null /dev/root
}
