#!/bin/sh
# cmdline/10: rd.camphor is the image flow. imageinit is a PID 1, and takes the machine over where dracut's own is this
# shell. systemd cannot be replaced from here: there the kernel starts imageinit at once, by rdinit=.
getargbool 0 rd.camphor || return 0
. /usr/libexec/camphor/lib.sh

[ $$ = 1 ] && exec /usr/libexec/camphor/imageinit
camphor_hold "rd.camphor under systemd: boot with rdinit=/usr/libexec/camphor/imageinit instead"
