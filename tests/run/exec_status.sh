#!/bin/sh
# exec: PID, status, signals, arguments, stdin and stdout are the command's own.
. "$TEST_SRC/run/common"
try pmt-exec --summary off true
try pmt-exec --summary off sh -c 'exit 42'
try pmt-exec --summary off sh -c 'kill -TERM $$'
try pmt-exec --summary off sh -c 'printf "<%s>\n" "$@"' sh 'a b' '' '*' '--events' '-q'
try pmt-exec --summary off -- sh -c 'echo to stderr >&2'
echo text | pmt-exec --summary off cat
sh -c 'echo $$; exec pmt-exec --summary off sh -c "echo \$\$"' | sort -u | wc -l
try pmt-exec no-such-command
try pmt-exec ./no-such-command
try pmt-exec .
try pmt-exec /
echo data >plain
try pmt-exec ./plain
chmod 644 plain
mkdir first second
cp plain first/tool
printf '#!/bin/sh\necho second\n' >second/tool
chmod 755 second/tool
PATH=$PWD/first:$PWD/second:$PATH try pmt-exec --summary off tool
PATH=$PWD/first:$PATH try pmt-exec --summary off tool
echo 'echo run by the shell' >script
chmod 755 script
try pmt-exec --summary off ./script
