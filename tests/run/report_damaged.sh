#!/bin/sh
# Damage is said, with the difference that it makes; totals are those of the state, which has a checksum.
. "$TEST_SRC/run/common"
# damaged RECORD...: what the report says of the service with these records too
damaged() {
    { service_records; printf '%s\n' "$@"; } | make_capture bad.pmt
    printf '%s\n' "--- $*"
    pmt report --sort live bad.pmt 2>&1 | sed -n '/^pmt:/p;/^note/p;/^live  /p;/^live at/,$p'
}
damaged 'drop strings 0'
damaged 'drop functions 0'
damaged 'drop nodes 0'
damaged 'drop sites_a 0'
damaged 'drop meta 0'
damaged 'twice nodes 0'
damaged 'length nodes 999999999999'
damaged 'length sites_a 18446744073709551615'
damaged 'length strings 100'
damaged 'length functions 33'
damaged 'state sites_stream 7'
# node 2 (json.loads in app.py) gets a parent behind it, itself, one that is not there
damaged 'poke nodes 32 05000000'
damaged 'poke nodes 32 02000000'
damaged 'poke nodes 32 ffffffff'
damaged 'poke nodes 36 ffffff7f'
# a function's name; a function of an unknown kind
damaged 'poke functions 4 ffffff7f'
damaged 'poke functions 12 07000000'
# a string that goes on behind the end
damaged 'poke strings 0 ffffff7f'
# a site: stack, label, owner, live bytes, total bytes
damaged 'poke sites_a 192 ffffff7f'
damaged 'poke sites_a 196 ffffff7f'
damaged 'poke sites_a 200 07000000'
damaged 'poke sites_a 208 01'
damaged 'poke sites_a 215 80'
damaged 'poke sites_a 239 01'
damaged 'state peak_bytes 5'
damaged 'state peak_bytes 200000000' 'state peak_error_bytes 1000000000'
damaged 'state native_live_blocks 5'
damaged 'state native_live_bytes 999999999999999999'
damaged 'state peak_error_bytes -1'
damaged 'stale bad'
damaged 'stale empty'
