#!/bin/sh
. "$TEST_SRC/run/common"
[ "$(id -u)" = 0 ] || skip "needs root, to make a program of another user"
chmod 755 .
make_program program 'int main(void) { return 5; }'
for mode in 4755 2755; do
    cp program special
    chown 65534:65534 special
    chmod $mode special
    try pmt-exec --summary off ./special
done
# set-user-ID to the user who runs it changes nothing, and the preload takes
rm special
cp program special
chmod 4755 special
try pmt-exec --summary off ./special
