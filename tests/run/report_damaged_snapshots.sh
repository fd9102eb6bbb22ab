#!/bin/sh
# Damage of snapshots, marks and features.
. "$TEST_SRC/run/common"
damaged() {
    { service_records; printf '%s\n' 'snapshot growth time=0.25 held=3:7/1' 'snapshot exit time=1.2 held=3:5/1,4:6/2' \
        'mark point one time=0.1 memory=5' 'mark point two time=0.2 memory=6' "$@"; } | make_capture bad.pmt
    printf '%s\n' "--- $*"
    pmt report --sort live bad.pmt | sed -n '/^note/p;/^live  /p;/^live at/,$p'
}
damaged ''
damaged 'state exit_snapshot 1'
damaged 'state exit_snapshot 9'
damaged 'drop snapshots 0'
damaged 'length snapshots 100'
damaged 'poke snapshots 0 07000000'
damaged 'poke snapshots 4 ffffff7f'
damaged 'poke snapshots 56 ffffffffffffff7f'
damaged 'poke snapshots 64 ffffff7f'
damaged 'poke snapshots 72 06'
damaged 'poke snapshots 79 7f'
damaged 'poke snapshots 112 99'
damaged 'drop marks 0'
damaged 'poke marks 0 09'
damaged 'poke marks 36 ffffff7f'
damaged 'length marks 40'
damaged 'header features 7'
damaged 'header features 0x8000000000000001'
