#!/bin/bash
# The stand-in's fetch of inst.ks= for each interface that comes online; see anaconda-lib.sh.

[ -e /tmp/ks.cfg.done ] && return 0
[ -n "$kickstart" ] || return 0

. /lib/anaconda-lib.sh

cat > "$hookdir/initqueue/fetch-ks-$1.sh" << EOF
. /lib/anaconda-lib.sh
stock "fetching the kickstart $kickstart"
if fetch_url "$kickstart" /tmp/ks.cfg; then
    parse_kickstart /tmp/ks.cfg
    run_kickstart
fi
rm "\$job"
EOF
