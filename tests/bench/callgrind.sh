#!/bin/sh
# Instructions of one malloc/free pair without preload, with the nop library and with pmt, counted by callgrind. Timing
# noise does not reach this figure. PMT_BUILD: where the libraries are.
set -eu
build=${PMT_BUILD:-$(cd "$(dirname "$0")/../.." && pwd)/build}
command -v valgrind >/dev/null || { echo "skipped: valgrind is not installed"; exit 0; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# instructions PRELOAD MILLIONS: of the whole run
instructions() {
    PMT_EVENTS=off PMT_SITES=off PMT_SUMMARY=off PMT_DIR=$scratch LD_PRELOAD=$1 \
        valgrind --tool=callgrind --callgrind-out-file="$scratch/out" "$build/tests/pairs" "$2" >"$scratch/log" 2>&1 ||
        { cat "$scratch/log" >&2; exit 1; }
    sed -n 's/^\(summary\|totals\): //p' "$scratch/out" | tail -n 1
}

for library in "" libpmt-nop.so libpmt.so; do
    preload=${library:+$build/$library}
    one=$(instructions "$preload" 1)
    three=$(instructions "$preload" 3)
    printf '%-14s %s instructions a pair\n' "${library:-none}" $(((three - one) / 2000000))
done
