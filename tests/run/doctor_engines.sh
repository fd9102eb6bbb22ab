#!/bin/sh
# How RSS and events will be noticed: what doctor says is what the library then does.
. "$TEST_SRC/run/common"
python=/usr/bin/python3
doctor() { pmt doctor -- "$python"; }
library() { LD_PRELOAD=$build/libpmt.so PMT_VERBOSE=2 "$@" $python -c pass 2>&1; }

says=$(doctor | sed -n 's/^gate  *[a-z]*  *\([^(]*\) (.*/\1/p')
does=$(library env | sed -n 's/^pmt: RSS gate: //p')
[ "$says" = "$does" ] && echo "gate: as it says" || echo "gate: '$says', '$does'"
doctor | grep -e --events
for events in python calls lines; do
    library env PMT_EVENTS=$events | sed -n "s/^pmt: \(events\)/$events: \1/p"
done

# a program under a system call filter: the kernel might end it
cat >filter.py <<'END'
import ctypes, os, struct, sys
program = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7fff0000))
filter = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 1, ctypes.addressof(program)))
prctl = ctypes.CDLL(None).prctl
if prctl(38, 1, 0, 0, 0) or prctl(22, 2, ctypes.c_void_p(ctypes.addressof(filter)), 0, 0):
    sys.exit(77)
os.execvp(sys.argv[1], sys.argv[1:])
END
$python filter.py true || skip "system call filters are not allowed here"
$python filter.py pmt doctor | sed -n '/^gate/,/^limits/{/^limits/d;p}'
library $python filter.py | grep gate | tail -n 1

# versions that are not served, by name only: none of these is run
mkdir versions
for name in python3.5 python3.16 python3.13t python; do
    cp "$(command -v $python)" "versions/$name"
    pmt doctor -- "versions/$name" | sed -n 's/^ *\(ok\|note\) *\(it is Python.*\|--events.*\|.*served.*\|.*known.*\)/\1 \2/p'
done
