#!/bin/sh
. "$TEST_SRC/run/common"
options() { env "$@" pmt doctor | sed -n '/^options/,/^python/{/^python/d;p}'; }
options PMT_THRESHOLD=abc
options PMT_THRESHOLD=2 PMT_TRESHOLD=2
options PMT_SITES=sample PMT_SAMPLE=0
options PMT_ENABLE=0
options PMT_TEST_ANYTHING=1 PMT_ROOT=5
options PMT_NATIVE=yes PMT_SNAPSHOT=+1M,200%
options "PMT_EVENTS=$(printf 'a\nb\033[0m')"
# what pmt-exec refuses, doctor calls not accepted, and the other way round
for pair in threshold:0 threshold:1K threshold:-1 threshold: threshold:1000000001 sample:1k sample:1025G sample:G \
    log-max:4095 log-max:4K depth:1024 depth:1025 timeline:0 events:off events:Off events:off,calls sites:exact \
    summary:auto summary:1 snapshot:peak 'snapshot:peak,' snapshot:+1G,5% snapshot:0% output: output:x lines:; do
    option=${pair%%:*}
    value=${pair#*:}
    variable=PMT_$(echo "$option" | tr a-z- A-Z_)
    [ "$option" != output ] || variable=PMT_DIR
    pmt-exec "--$option=$value" --print-env >/dev/null 2>&1
    refused=$?
    env "$variable=$value" pmt doctor | grep -q "$variable=.* is not accepted"
    accepted=$?
    case $refused/$accepted in
    125/0 | 0/1) ;;
    *) echo "$pair: pmt-exec $refused, doctor $accepted" ;;
    esac
done
