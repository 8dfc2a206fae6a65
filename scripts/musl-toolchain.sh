#!/usr/bin/env bash
# Make `cargo build --target <arch>-unknown-linux-musl` work, with or without rustup's servers (`cargo xtask build` calls it).
#
#   env=$(scripts/musl-toolchain.sh) && eval "$env"        # or: ... aarch64-unknown-linux-musl
#   cargo build --release --locked --target x86_64-unknown-linux-musl
#
# 1. The active toolchain already has the target (rustup target add ...): prints nothing, changes nothing.
# 2. Otherwise, on Debian 12: takes Debian's rustc 1.96 + its std sources and builds std for musl ONCE (about
#    1-2 minutes, offline: the crates std needs are vendored in rust-web-src) into $MUSL_TOOLCHAIN_CACHE, laid out
#    as rustup would lay it out (rlibs, self-contained/ CRT objects, libc.a, libunwind.a), and prints the two
#    variables that make the ordinary, stable cargo use it: RUSTC and RUSTDOC.
set -euo pipefail
target=${1:-x86_64-unknown-linux-musl}
log() { printf 'musl-toolchain: %s\n' "$*" >&2; }

if ls "$(rustc --print target-libdir --target "$target" 2>/dev/null)"/libstd-*.rlib >/dev/null 2>&1; then
    log "$target: std of $(rustc -V) is installed, nothing to do"; exit 0
fi
case $target in
    x86_64-unknown-linux-musl)  deb=amd64 gnu=x86_64-linux-gnu  muslt=x86_64-linux-musl ;;
    aarch64-unknown-linux-musl) deb=arm64 gnu=aarch64-linux-gnu muslt=aarch64-linux-musl ;;
    *) log "$target: unknown; run: rustup target add $target"; exit 1 ;;
esac
gcc=$gnu-gcc
if ! command -v apt-get >/dev/null; then log "run: rustup target add $target"; exit 1; fi

# --- packages -----------------------------------------------------------------------------------------------------
# bookworm-security has a rustc that is new enough, bookworm itself an older one without the crates that std needs: lists of
# packages that are some months old know only that.
least=1.96
new_enough() { [ -n "$1" ] && dpkg --compare-versions "$1" ge "$least"; }
candidate() { apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p'; }
need=()
for p in rustc-web rust-web-src; do new_enough "$(dpkg-query -W -f='${Version}' $p 2>/dev/null)" || need+=($p); done
if [ "$deb" = "$(dpkg --print-architecture)" ]; then command -v musl-gcc >/dev/null || need+=(musl-tools)
else command -v "$gcc" >/dev/null || need+=("gcc-${gnu/x86_64/x86-64}" "libc6-dev-$deb-cross"); fi
if [ ${#need[@]} -gt 0 ]; then
    if [ "$(id -u)" != 0 ]; then log "first, as root: apt-get install --no-install-recommends ${need[*]}"; exit 1; fi
    log "installing ${need[*]}"
    if ! apt-cache show "${need[@]}" >/dev/null 2>&1 || ! new_enough "$(candidate rustc-web)"; then apt-get -q update >&2; fi
    new_enough "$(candidate rustc-web)" || { log "no rustc-web >= $least: apt needs Debian 12's security updates"; exit 1; }
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -q --no-install-recommends "${need[@]}" >&2
fi
rustc=/usr/bin/rustc
ver=$("$rustc" -vV | sed -n 's/^release: //p')
hash=$("$rustc" -vV | sed -n 's/^commit-hash: //p')
src=$(readlink -f "$("$rustc" --print sysroot)/lib/rustlib/src/rust")
[ -e "$src/library/sysroot/Cargo.toml" ] || { log "no library sources under $src"; exit 1; }

# --- one toolchain directory per version of Debian's package; several targets may live in it -----------------------
cache=${MUSL_TOOLCHAIN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rust-musl}
tc=$cache/$(dpkg-query -W -f='${Version}\n' rustc-web | tr -c 'A-Za-z0-9.\n' _); lib=$tc/lib/rustlib/$target/lib; sc=$lib/self-contained
mkdir -p "$tc/bin" "$tc/lib/rustlib"
exec 9>"$tc/.lock"; flock 9

if [ ! -e "$lib/.complete" ]; then
    tmp=$(mktemp -d "$cache/build.XXXXXX"); trap 'rm -rf "$tmp"' EXIT
    host=$("$rustc" -vV | sed -n 's/^host: //p')
    ln -sfn "$("$rustc" --print sysroot)/lib/rustlib/$host" "$tc/lib/rustlib/$host"
    ln -sfn "$("$rustc" --print sysroot)/lib/rustlib/etc"   "$tc/lib/rustlib/etc"
    ln -sfn "$("$rustc" --print sysroot)/lib/rustlib/src"   "$tc/lib/rustlib/src"
    for tool in rustc rustdoc; do
        [ -x "$tc/bin/$tool" ] && continue
        printf '#!/bin/sh\nexec /usr/bin/%s --sysroot "${0%%/bin/*}" "$@"\n' $tool >"$tmp/$tool"
        chmod +x "$tmp/$tool"; mv "$tmp/$tool" "$tc/bin/$tool"
    done

    log "building std $ver for $target (once)"
    up=$(printf %s "$target" | tr 'a-z-' 'A-Z_')
    (   cd "$tmp"   # away from the project's .cargo/config.toml and rust-toolchain.toml
        for v in ${!CARGO_BUILD_*} ${!CARGO_PROFILE_*} CARGO_ENCODED_RUSTFLAGS RUSTFLAGS RUSTC_WRAPPER CARGO_TARGET_DIR; do unset "$v"; done
        export RUSTC_BOOTSTRAP=1 RUSTC=$rustc __CARGO_DEFAULT_LIB_METADATA=debian-musl
        export "CARGO_TARGET_${up}_RUSTFLAGS=-Zforce-unstable-if-unmarked --remap-path-prefix=$src=/rustc/$hash"
        cargo build --quiet -Zavoid-dev-deps --locked --offline \
            --config 'source.crates-io.replace-with="vendored"' --config "source.vendored.directory=\"$src/library/vendor\"" \
            --manifest-path "$src/library/sysroot/Cargo.toml" --target "$target" --target-dir "$tmp/target" \
            --profile dist --features panic-unwind,backtrace ) >&2

    # --- Debian's musl and LLVM libunwind for the target ------------------------------------------------------------
    apt=(apt-get -q)
    if [ "$deb" != "$(dpkg --print-architecture)" ]; then
        # a private package index for the other architecture: the system's own is left alone
        mkdir -p "$tmp/apt/lists/partial" "$tmp/apt/cache/archives/partial"; : >"$tmp/apt/status"
        apt+=(-o APT::Architecture="$deb" -o APT::Architectures::="$deb" -o Dir::State="$tmp/apt" -o Dir::State::lists="$tmp/apt/lists"
              -o Dir::State::status="$tmp/apt/status" -o Dir::Cache="$tmp/apt/cache" -o Acquire::Languages=none)
        "${apt[@]}" update >&2
    fi
    llvm=$("$rustc" -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
    pkgs=("libunwind-$llvm-dev"); musl=/usr   # (downloaded, not installed: it conflicts with libunwind-dev)
    [ "$deb" = "$(dpkg --print-architecture)" ] || { pkgs+=(musl-dev); musl=$tmp/root/usr; }
    (cd "$tmp" && "${apt[@]}" -o APT::Sandbox::User=root download "${pkgs[@]}" >&2 && for d in ./*.deb; do dpkg-deb -x "$d" root; done)

    rm -rf "$lib"; mkdir -p "$sc"
    cp "$tmp/target/$target"/dist/deps/*.rlib "$lib/"
    cp "$musl/lib/$muslt"/{crt1,Scrt1,rcrt1,crti,crtn}.o "$musl/lib/$muslt/libc.a" "$sc/"
    for o in crtbegin.o crtbeginS.o crtend.o crtendS.o; do cp "$("$gcc" -print-file-name=$o)" "$sc/"; done
    cp "$tmp"/root/usr/lib/llvm-"$llvm"/lib/libunwind.a "$sc/"
    # Debian built it with _FORTIFY_SOURCE: the only glibc-only symbol it needs is __fprintf_chk
    cat >"$tmp/fortify.c" <<'C'
#include <stdarg.h>
#include <stdio.h>
int __fprintf_chk(FILE *f, int flag, const char *fmt, ...)
{ va_list ap; int r; (void)flag; va_start(ap, fmt); r = vfprintf(f, fmt, ap); va_end(ap); return r; }
C
    "$gcc" -O2 -fPIC -fno-stack-protector -U_FORTIFY_SOURCE -nostdinc -isystem "$musl/include/$muslt" \
        -isystem "$("$gcc" -print-file-name=include)" -c "$tmp/fortify.c" -o "$tmp/fortify.o"
    ar rs "$sc/libunwind.a" "$tmp/fortify.o" 2>/dev/null
    # rustup's musl std holds compiler-rt's C builtins; this one has only the Rust ones. C code in crates may need the
    # rest (mimalloc: __popcountdi2), so libgcc's members that compiler_builtins lacks go to the end of libc.a.
    # (readelf, not nm: nm's LLVM plugin, where installed, cannot read objects of a newer LLVM)
    readelf -sW "$lib"/libcompiler_builtins-*.rlib 2>/dev/null |
        awk '$5 ~ /^(GLOBAL|WEAK)$/ && $7!="UND" {print $8}' | sort -u >"$tmp/have"
    libgcc=$("$gcc" -print-libgcc-file-name)
    readelf -sW "$libgcc" | awk 'NR==FNR {have[$1]; next}
        /^File: / {match($0, /\(.*\)/); m=substr($0, RSTART+1, RLENGTH-2); next}
        $5 ~ /^(GLOBAL|WEAK)$/ && $7!="UND" {if ($8 in have || $8 ~ /^__aarch64_/) bad[m]; else ok[m]}
        END {for (m in ok) if (!(m in bad)) print m}' "$tmp/have" - | sort >"$tmp/members"
    [ -s "$tmp/have" ] && [ -s "$tmp/members" ]
    mkdir "$tmp/libgcc"; (cd "$tmp/libgcc" && xargs ar x "$libgcc" <"$tmp/members" && xargs ar q "$sc/libc.a" <"$tmp/members" && ar s "$sc/libc.a")

    if [ "$deb" != "$(dpkg --print-architecture)" ]; then   # musl-gcc for the cross compiler (C and assembly in crates)
        mkdir -p "$tc/$muslt"; rm -rf "$tc/$muslt/include"; cp -r "$musl/include/$muslt" "$tc/$muslt/include"
        printf '#!/bin/sh\nexec %s -nostdinc -isystem "${0%%/bin/*}/%s/include" -isystem "%s" "$@"\n' \
            "$gcc" "$muslt" "$("$gcc" -print-file-name=include)" >"$tc/bin/$muslt-gcc"; chmod +x "$tc/bin/$muslt-gcc"
    fi
    touch "$lib/.complete"
fi
log "using $tc ($("$rustc" -V))"
printf 'export RUSTC=%q RUSTDOC=%q\n' "$tc/bin/rustc" "$tc/bin/rustdoc"
if [ "$deb" != "$(dpkg --print-architecture)" ]; then
    printf 'export CC_%s=%q CARGO_TARGET_%s_LINKER=%q\n' "${target//-/_}" "$tc/bin/$muslt-gcc" \
        "$(printf %s "$target" | tr 'a-z-' 'A-Z_')" "$gcc"
fi
