#!/bin/sh
# emergency/05: dracut gives up, and would open its shell, or power off. rd.break comes here too, and is no failure.
[ -e /run/camphor/active ] && [ ! -e /run/camphor/held ] || return 0
getarg rd.break > /dev/null && return 0
. /usr/libexec/camphor/lib.sh

camphor_why="dracut gave up before the kickstart was made"
[ -e /run/camphor/handed-over ] && camphor_why="dracut gave up: is there a stage 2 at inst.stage2=?"
# Where no shell may be opened dracut would end the machine, and its screen.
getargbool 1 rd.shell || camphor_hold "$camphor_why"
camphor_say "$camphor_why"
camphor_report "$camphor_why"
