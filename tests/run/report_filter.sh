#!/bin/sh
# --focus and --ignore look at every frame of a stack; what they leave out has a line of its own.
. "$TEST_SRC/run/common"
service_records | make_capture service.pmt
try pmt report --sort live --focus raw_decode service.pmt
try pmt report --sort live --focus 'app\.py:handle$' service.pmt
try pmt report --sort live --ignore '/json/|^<string>' service.pmt
try pmt report --sort live --focus json --ignore config service.pmt
try pmt report --sort live --focus nothing service.pmt
try pmt report --sort live --focus '' service.pmt
try pmt report --sort live --focus '(' service.pmt
try pmt report --sort live --ignore 'a{2,1}' service.pmt
try pmt report --sort live --focus first --focus config service.pmt
pmt report --json --focus config service.pmt | sed -n '/^{"stack"/p'
