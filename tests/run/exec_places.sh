#!/bin/sh
# Where pmt-exec finds the library: build tree, install (lib, multiarch, lib64), through symlinks, with odd names.
. "$TEST_SRC/run/common"
which_library() { "$@" --summary off env | sed -n 's/^LD_PRELOAD=//p'; }
which_library pmt-exec
(cd "$build" && which_library ./pmt-exec)
(cd "$build" && which_library sh pmt-exec)
ln -s "$build/pmt-exec" link
ln -s link link2
which_library ./link2
install_in() {
    mkdir -p "$1/bin" "$1/$2"
    cp "$build/pmt-exec" "$build/pmt" "$1/bin"
    cp "$build/libpmt.so" "$1/$2"
}
install_in one lib
which_library one/bin/pmt-exec
install_in two lib/x86_64-linux-gnu
which_library two/bin/pmt-exec
install_in three lib64
which_library three/bin/pmt-exec
ln -s one/bin bin
which_library bin/pmt-exec
# without the tool the preload works, only nobody says why it cannot
rm two/bin/pmt
which_library two/bin/pmt-exec
mkdir -p none/bin
cp "$build/pmt-exec" none/bin
try none/bin/pmt-exec true
install_in "with space" lib
try "with space/bin/pmt-exec" sh -c 'echo ${LD_PRELOAD-not set}; exit 3'
try "with space/bin/pmt-exec" --print-env
install_in with:colon lib
try with:colon/bin/pmt-exec sh -c 'exit 4'
install_in 'glob[*]?' lib
which_library 'glob[*]?/bin/pmt-exec'
