# Makes an older system on the disk $1, with the folder $2 for what goes onto it: five partitions, in disorder, and
# `sums` on `home`, with the digests of what must stay.
set -e
disk=$1
work=$2
sfdisk --quiet "$disk" <<END
label: gpt
1: start=1MiB, size=90MiB, name=gone
2: start=100MiB, size=16MiB, name=home
3: start=120MiB, size=16MiB, name=of-old, uuid=6d5c9cbc-6b2c-4f3f-9a53-0c5d6e1f7a11
5: start=1640MiB, size=32MiB, name=of-old
7: start=150MiB, size=8MiB, name=of-old
END
for name in home data results; do
    mkdir "$work/$name"
    echo $name >"$work/$name/.which"
    seq 200000 >"$work/$name/file"
done
seq 900000 2000000 | head -c 8M >"$work/raw"
dd if="$work/raw" of="$disk" bs=1M seek=150 conv=notrunc status=none
sha256sum "$work/raw" "$work"/*/file | sed "s,$work/raw,/dev/vda7,; s,$work,," >"$work/home/sums"
mkfs.ext4 -q -d "$work/home" -E offset=$((100 << 20)) "$disk" 16m
mkfs.ext4 -q -d "$work/data" -E offset=$((120 << 20)) "$disk" 16m
mkfs.ext4 -q -d "$work/results" -L old-results -E offset=$((1640 << 20)) "$disk" 32m
