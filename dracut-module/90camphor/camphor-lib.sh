#!/bin/sh
# What camphor's hooks share, at /usr/libexec/camphor/lib.sh. Sourced into dracut's own shell: POSIX, no exit, and
# every name begins with camphor_. Only tools that dracut's base module brings.

# Says it on every console that the kernel writes to; what dracut prints goes to the journal only.
camphor_say() {
    while read -r camphor_tty _; do
        [ -e "/dev/$camphor_tty" ] && echo "camphor: $*" > "/dev/$camphor_tty"
    done < /proc/consoles
}

# Tells the head node of a failure; before there is a session nobody can.
camphor_report() {
    [ -e /run/camphor/started ] && /run/camphor/installer report failed --text "$*"
}

# Fails closed: the job that calls this never ends, so dracut never goes on. rd.shell gives its shell first.
camphor_hold() {
    trap - EXIT
    mkdir -p /run/camphor/held
    camphor_report "$*"
    getargbool 0 rd.shell && emergency_shell -n camphor "camphor: $*"
    while :; do
        camphor_say "STOPPED: $*. Nothing more happens here; reset the machine (rd.shell gives a shell)"
        sleep 60
    done
}

# Queues the job, once for all interfaces and hooks.
camphor_queue() {
    mkdir /run/camphor/queued 2> /dev/null || return 0
    echo ". /usr/libexec/camphor/job.sh" > "$hookdir/initqueue/camphor.sh"
}

# Sets camphor_nics to a sentence about the network cards.
camphor_look() {
    camphor_nics=
    for camphor_nic in /sys/class/net/*/device; do
        [ -e "$camphor_nic" ] || continue
        camphor_nic=${camphor_nic%/device} camphor_link=0
        { read -r camphor_link < "$camphor_nic/carrier"; } 2> /dev/null || camphor_link=0
        [ "$camphor_link" = 1 ] && camphor_link="a link, no address" || camphor_link="no link; is a cable in?"
        camphor_nics="$camphor_nics ${camphor_nic##*/} has $camphor_link;"
    done
    camphor_nics=${camphor_nics:- no network card is known; its driver may come by inst.dd=}
}
