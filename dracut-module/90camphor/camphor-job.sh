#!/bin/sh
# The initqueue's job, at /usr/libexec/camphor/job.sh: prepare, and then what anaconda's own fetch-kickstart-disk does
# when it has a kickstart. `installer prepare` holds by itself when it fails; whatever else goes wrong holds here.
. /usr/libexec/camphor/lib.sh
rm -f -- "$hookdir/initqueue/camphor.sh"

# Whether two files are the same, line by line: there is neither cmp nor cat for sure.
camphor_same() {
    [ -s "$1" ] && [ -s "$2" ] || return 1
    {
        while IFS= read -r camphor_line; do
            IFS= read -r camphor_other <&3 && [ "$camphor_line" = "$camphor_other" ] || return 1
        done < "$1"
        ! IFS= read -r camphor_other <&3
    } 3< "$2"
}

# Whether anaconda has its stage 2. With inst.stage2= of the network it was fetched in the pass of the online hooks that
# queued this job, and is not tried again: better to know before a disk is touched. A mount hook tells.
camphor_staged() {
    [ -e /run/camphor/online ] && [ "${root#anaconda-net:}" != "$root" ] || return 0
    for camphor_hook in "$hookdir"/mount/01-*-anaconda.sh; do
        [ -e "$camphor_hook" ] && return 0
    done
    return 1
}

[ -e /lib/anaconda-lib.sh ] || camphor_hold "this initrd is not an installer's: it has no /lib/anaconda-lib.sh"
camphor_staged || camphor_hold "no stage 2 could be fetched from ${root#anaconda-net:}; no disk was touched"
mkdir -p /run/camphor/started
kickstart=
/run/camphor/installer prepare || camphor_hold "installer prepare failed with status $?"

# Anaconda's functions may end the shell (sourcing a file that is missing does, in POSIX mode): the initqueue would end
# with it, and the boot go on. The status of parse_kickstart says nothing: what counts is that the kickstart of prepare,
# and no older one, has come to where anaconda takes it from. parse-kickstart appends to ks.info, which is sourced even
# if it died before that.
camphor_traps=$(trap)
trap 'camphor_hold "anaconda ended the shell of the job"' EXIT
. /lib/anaconda-lib.sh
rm -f /run/install/ks.cfg
echo "parsed_kickstart=" > /tmp/ks.info
parse_kickstart /tmp/ks.cfg
camphor_same /tmp/ks.cfg /run/install/ks.cfg || camphor_hold "anaconda did not take the kickstart: see /tmp/ks.info"
run_kickstart

mkdir -p /run/camphor/handed-over
trap - EXIT
eval "$camphor_traps"
