#!/bin/sh
# initqueue/timeout/05, before anaconda's report of errors: no network yet. A rack's switch may come up after its nodes,
# so interfaces are tried again (in EL 8 this udev event is what starts DHCP), and dracut's patience begins anew.
[ -e /run/camphor/active ] && [ ! -e /run/camphor/queued ] || return 0
. /usr/libexec/camphor/lib.sh

camphor_look
camphor_say "no network within dracut's time, trying again:$camphor_nics"
udevadm trigger --action=add --subsystem-match=net
main_loop=0
