#!/bin/sh
# How the process ended; a process that has not said so is looked for in /proc, made here.
. "$TEST_SRC/run/common"
mkdir -p proc/4242 proc/sys/kernel/random
export PMT_PROC_ROOT="$PWD/proc"
printf 'cpu 1 2\nbtime 1699999000\nprocesses 5\n' >proc/stat
echo 1b4e28ba-2fa1-11d2-883f-0016d3cca427 >proc/sys/kernel/random/boot_id
# shows ARGUMENTS...: of a process with these
ends() {
    service_records | sed "s/ended=exit status=0/$1/" | make_capture "case.pmt"
    echo "--- $1"
    pmt report --sort live "case.pmt" | sed -n '/^end/p;/^live at/p;/^live now/p;/^note/p'
    pmt report --json "case.pmt" | grep -o '"exit": [^,]*, "ended": "[a-z]*"' | head -n 1
}
ends 'ended=exit status=0'
ends 'ended=exit status=3'
ends 'ended=exit status=-1'
ends 'ended=exec'
ends 'ended=running'
# fields up to the start, in 1/100 s since the boot; the capture's own is 1000 s after the boot
alive() {
    echo "4242 (a) b (c) $1 1 1 1 0 -1 4194304 100 0 0 0 1 1 0 0 20 0 1 0 $2 1000 100" >proc/4242/stat
    echo "=== state $1, started $2"
    ends "${3:-ended=running}"
}
alive S 99900
alive S 0
alive R 100100
alive S 100400
alive Z 99900
alive S 99900 'ended=exec'
alive S 99900 'ended=running boot=1b4e28ba-2fa1-11d2-883f-0016d3cca427'
alive S 99900 'ended=running boot=another'
echo 'garbage' >proc/4242/stat
ends 'ended=running'
{ service_records; echo 'state ended 7'; } | make_capture later.pmt
try pmt report --sort live later.pmt
# killed within teardown: the reading at exit is there, but it did not get to say that it exited
{ service_records | sed 's/ended=exit/ended=running/'; echo 'snapshot exit time=1.2 held=3:5/1'; } | make_capture teardown.pmt
pmt report --sort live teardown.pmt | grep -e '^end' -e '^live'
