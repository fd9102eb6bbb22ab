#!/bin/sh
# The environment: options win over variables, other people's preloads stay, ours is there once.
. "$TEST_SRC/run/common"
show() { env "$@" pmt-exec env | grep '^PMT_SUMMARY\|^PMT_EVENTS\|^LD_PRELOAD\|^PMT_ROOT' | sed 's/PMT_ROOT=[0-9]*/PMT_ROOT=PID/'; }
quiet() { show "$@" 2>/dev/null; }
quiet PMT_SUMMARY=off PMT_EVENTS=python
PMT_EVENTS=python pmt-exec --summary off --events lines env | grep ^PMT_EVENTS
make_program other.so 'int other_library;' -shared -fPIC
make_program libpmt.so 'int second_copy;' -shared -fPIC
preloads() { env LD_PRELOAD="$1" pmt-exec --summary off env | grep ^LD_PRELOAD; }
preloads "$PWD/other.so"
preloads "$PWD/other.so:$build/libpmt.so"
preloads "$build/libpmt.so $PWD/other.so"
preloads "$PWD/libpmt.so"
preloads ' : '
preloads ''
# a run inside a run is the first of a tree of its own
pmt-exec --summary off sh -c 'echo $PMT_ROOT; pmt-exec --summary off sh -c "echo \$PMT_ROOT"' | sort -u | wc -l
