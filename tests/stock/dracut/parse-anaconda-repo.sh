#!/bin/bash
# The stand-in's reading of inst.stage2=; see anaconda-lib.sh.

. /lib/anaconda-lib.sh

getarg root= > /dev/null && return

stage2=$(getarg inst.stage2=)
case "${stage2%%:*}" in
    http | https | ftp)
        root=anaconda-net:$stage2
        set_neednet
        ;;
    *) root=anaconda-auto-cd ;;
esac
wait_for_dev /dev/root
rootok=1
