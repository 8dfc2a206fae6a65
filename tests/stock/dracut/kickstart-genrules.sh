#!/bin/bash
# Makes the initqueue wait for a kickstart from the network; see anaconda-lib.sh.

. /lib/anaconda-lib.sh

case "${kickstart%%:*}" in
    http | https | ftp | nfs) wait_for_kickstart ;;
esac
