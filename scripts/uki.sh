#!/usr/bin/env bash
# A signed UKI: kernel, initrd and command line in one file that firmware with Secure Boot checks as a whole
# (docs/initrd.md). Needs objcopy (binutils), sbsign (sbsigntool) and systemd's stub (Debian: systemd-boot-efi).
set -euo pipefail

if (($# != 6)); then
    echo "usage: ${0##*/} KERNEL INITRD ARGUMENTS KEY CERTIFICATE OUTPUT" >&2
    exit 2
fi
kernel=$1 initrd=$2 arguments=$3 key=$4 certificate=$5 output=$6
stub=${STUB:-/usr/lib/systemd/boot/efi/linuxx64.efi.stub}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '%s' "$arguments" >"$work/cmdline"

# Where the stub's own sections end in memory.
end=0
while read -r index _ size address _; do
    if [[ $index =~ ^[0-9]+$ ]] && ((0x$address + 0x$size > end)); then
        end=$((0x$address + 0x$size))
    fi
done <<<"$(objdump --section-headers --wide "$stub")"

# Ours follow, each on a page of its own: systemd-stub(7) has their names.
sections=()
add() {
    local name=$1 file=$2
    end=$(((end + 4095) / 4096 * 4096))
    sections+=(--add-section "$name=$file" --change-section-vma "$name=$end")
    end=$((end + $(stat --dereference --format=%s "$file")))
}
add .cmdline "$work/cmdline"
add .initrd "$initrd"
# Last: it may unpack itself behind its end.
add .linux "$kernel"

objcopy "${sections[@]}" "$stub" "$work/uki"
sbsign --key "$key" --cert "$certificate" --output "$output" "$work/uki"
