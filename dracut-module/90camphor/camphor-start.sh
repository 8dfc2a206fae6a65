#!/bin/sh
# pre-udev/20: the program goes to /run, to outlive the pivot, and somebody says on the console what is waited for.
[ -e /run/camphor/active ] || return 0
. /usr/libexec/camphor/lib.sh

cp -p /usr/libexec/camphor/installer /run/camphor/
# Without systemd dracut may mount /run noexec (126: found, but cannot be executed); %post will call it there.
camphor_status=0
/run/camphor/installer --list > /dev/null 2>&1 || camphor_status=$?
[ "$camphor_status" = 126 ] && mount -o remount,exec /run

camphor_watch() {
    while [ ! -e /run/camphor/started ]; do
        sleep 30
        # A shell that dracut opened keeps the console for itself.
        [ -e /run/camphor/started ] || [ -e /.console_lock ] && continue
        if [ -e /run/camphor/queued ]; then
            camphor_say "the network is up; waiting for dracut, which fetches stage 2"
        else
            camphor_look
            camphor_say "waiting for the network:$camphor_nics"
        fi
    done
}
camphor_watch < /dev/null > /dev/null 2>&1 &
