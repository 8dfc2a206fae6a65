#!/bin/bash
# The stand-in's reading of inst.ks=; see anaconda-lib.sh.

. /lib/anaconda-lib.sh

[ -f /tmp/ks.cfg.done ] && return

kickstart=$(getarg inst.ks=)
[ -n "$kickstart" ] && [ -z "$root" ] && root=anaconda-kickstart
case "${kickstart%%:*}" in
    http | https | ftp) set_neednet ;;
    file)
        cp "${kickstart#file:}" /tmp/ks.cfg
        parse_kickstart /tmp/ks.cfg
        [ "$root" = anaconda-kickstart ] && root=""
        : > /tmp/ks.cfg.done
        ;;
esac
export kickstart
