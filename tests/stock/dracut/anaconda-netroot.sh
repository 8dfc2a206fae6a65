#!/bin/bash
# The stand-in's fetch of stage2 when an interface comes online; see anaconda-lib.sh.

. /lib/anaconda-lib.sh

repo=${root#anaconda-net:}
[ -n "$repo" ] && [ "$repo" != "$root" ] || return 0
[ -e /dev/root ] && return 0

stock "fetching stage2 from $repo"
if image=$(fetch_url "${repo%/}/images/install.img") && anaconda_mount_sysroot "$image"; then
    echo "$1" >> /tmp/anaconda_netroot.done
else
    stock "no stage2 at $repo"
fi
