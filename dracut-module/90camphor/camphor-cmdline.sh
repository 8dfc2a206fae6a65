#!/bin/sh
# cmdline/20, before anaconda's 26 and the network's 9x: is this boot camphor's? Without one of its words on the
# command line every other hook does nothing, and the initrd is the stock one.
getarg camphor.head= > /dev/null || getarg camphor.nii= > /dev/null || getarg niihost= > /dev/null || return 0

(umask 077 && mkdir -p /run/camphor/active)

# What the network side of dracut needs, unless the boot script said it.
getarg ip= > /dev/null || echo "ip=dhcp" >> /etc/cmdline.d/70-camphor.conf
getargbool 0 rd.neednet || echo "rd.neednet=1" >> /etc/cmdline.d/70-camphor.conf
# Without a kickstart anaconda looks for one on disks, or asks. This one is never there: if our job does not run, the
# boot stops.
getarg inst.ks= > /dev/null || echo "inst.ks=http://127.0.0.1/camphor-did-not-run" >> /etc/cmdline.d/70-camphor.conf
unset CMDLINE
