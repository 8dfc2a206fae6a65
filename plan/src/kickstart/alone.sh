# Stops unless the volume group $1 is on the partitions $2 (in the order of their names) and on nothing else: LVM goes by
# names, and another disk may have a group of the same one.
alone() {
    found=$(
        lvm pvs --noheadings -o pv_name -S "vg_name=\"$1\"" | while read -r name; do
            readlink -f "$name"
        done | LC_ALL=C sort | tr '\n' ' '
    )
    found=${found% }
    if [ "$found" != "$2" ]; then
        /run/camphor/installer report failed --why \
            "volume group $1 is to be kept on $2 and nothing else, but is on ${found:-no disk}: nothing was removed"
        exit 1
    fi
}
