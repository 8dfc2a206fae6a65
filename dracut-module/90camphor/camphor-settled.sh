#!/bin/sh
# initqueue/settled/99: an address that came without an online hook (NetworkManager's runs once, networkd's may never).
# Only after ten quiet seconds: in EL 8 the address is there before the routes and names that its online hook follows.
[ -e /run/camphor/active ] && [ ! -e /run/camphor/queued ] || return 0
[ "${main_loop:-0}" -ge 20 ] || return 0
. /usr/libexec/camphor/lib.sh

# Whether the kernel has an address to reach others by, whoever set it: a route, or a global IPv6 address.
camphor_addressed() {
    while read -r camphor_nic _; do
        [ "$camphor_nic" = Iface ] || return 0
    done < /proc/net/route
    while read -r _ _ _ camphor_scope _ camphor_nic; do
        [ "$camphor_scope" = 00 ] && [ "$camphor_nic" != lo ] && return 0
    done < /proc/net/if_inet6
    return 1
}

if camphor_addressed; then
    camphor_queue
fi
