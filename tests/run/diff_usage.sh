#!/bin/sh
. "$TEST_SRC/run/common"
{ service_records; echo 'snapshot growth'; } | make_capture good.pmt
echo text >text.pmt
try pmt diff
try pmt diff --help
try pmt diff good.pmt
try pmt diff good.pmt good.pmt good.pmt
try pmt diff --to exit good.pmt
try pmt diff --from nothing good.pmt
try pmt diff --from growth-1 --to nothing good.pmt
try pmt diff good.pmt@nothing good.pmt
try pmt diff good.pmt@ good.pmt
try pmt diff @growth-1 good.pmt
try pmt diff missing.pmt good.pmt
try pmt diff good.pmt text.pmt
try pmt diff --by thread good.pmt good.pmt
try pmt diff --bogus good.pmt good.pmt
try pmt diff --sort live good.pmt good.pmt
