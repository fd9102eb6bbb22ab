"""Allocation sites of programs as they live: what a service holds, labels, temporary blocks, code that dies, threads,
native memory, and what is left of a program that is killed. On every CPython where it may differ.
"""
import collections
import glob
import json
import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sitecheck import (BUILD, ENV, FLAGS, Case, account_of, by_line, capture_of, captures, compare, in_exit_snapshot,
                       line_of, program, source)
import pmttest
from pmttest import LIB, PYTHONS, check, clean_env, each, equal, main, run, scratch, some_pythons, test

IS_LONG = bool(os.environ.get("PMT_SLOW"))
MIB = 1 << 20


def report(capture, *options):
    done = subprocess.run([os.path.join(BUILD, "pmt"), "report", "--json", *options, capture.path], stdout=subprocess.PIPE,
                          check=True)
    return json.loads(done.stdout.decode("utf-8", "surrogateescape"))


# ---- a service

@each(PYTHONS)
def service(python):
    """Who fills the cache is the biggest; a temporary is at the peak and not live; the encoder keeps nothing."""
    result = program(python, "service")
    equal(result.out, "4667 True True\n", "the service's own words")
    capture = capture_of(result)
    sites = report(capture)["sites"]
    biggest = max((site for site in sites if site["stack"]), key=lambda site: site["live_bytes"])
    equal([frame["function"] for frame in biggest["stack"][:4]], ["raw_decode", "decode", "loads", "handle"],
          "who holds most")
    check(biggest["live_bytes"] > 2 * MIB, "the cache holds %d bytes" % biggest["live_bytes"])
    line, file = line_of(source("service"), "# the temporary"), source("service")
    at_peak = [site for site in sites if site["stack"] and site["stack"][0]["line"] == line and site["stack"][0]["file"] == file]
    check(sum(site["peak_bytes"] for site in at_peak) > 10 * MIB, "the temporary is not at the peak", at_peak)
    check(sum(site["live_bytes"] for site in at_peak) < 1024, "the temporary is still there", *at_peak)
    encoder = [site for site in sites if any(frame["function"] == "dumps" for frame in site["stack"])]
    check(sum(site["total_bytes"] for site in encoder) > 5 * MIB, "the encoder is not seen at work")
    kept = [site for site in encoder if site["live_bytes"]]  # what CPython has on its lists of free objects
    check(sum(site["live_bytes"] for site in kept) < 32768, "the encoder keeps", *kept)


# ---- labels

LABELLED = {None: 10 + 2 + 4 + 7 + 9, "one": 21, "two": 5, "raises": 3, "é\nodd": 6, "again": 6, "thread": 8, "main": 12}


@each(PYTHONS)
def labels(python):
    """Each site carries the label of its thread at that moment; marks tell of begin and end, in the order of events."""
    line = line_of(source("labels"), "kept[i] = ")
    result = program(python, "labels", events="python", threshold=1000000)
    capture = capture_of(result)
    got = {}
    for name in LABELLED:
        got[name] = by_line(account_of(capture, name).stacks, source("labels"))[line][3:5]
    equal(got, {name: (count * 1033, count) for name, count in LABELLED.items()}, "bytes and blocks allocated with each label")
    names = ["one", "two", "raises", "é\nodd", "again", "again", "again", "main", "thread"]
    for kind in ("begin", "end"):
        marks = [mark.name for mark in capture.marks if mark.kind == kind]
        equal(sorted(marks), sorted(names), "the labels that %s" % kind)
    order = [(mark.kind, mark.name) for mark in capture.marks if mark.kind != "point"]
    equal(order[:6], [("begin", "one"), ("begin", "two"), ("end", "two"), ("end", "one"), ("begin", "raises"),
                      ("end", "raises")], "the order of marks")
    messages = [message.text for message in pmttest.parse_log(result.logs[0]).messages if "label" in message.text]
    equal(len(messages), 2 * len(names), "messages of labels in the event log")
    by_label = {site["label"]: site for site in report(capture, "--by", "label")["sites"] if site.get("label")}
    for name, count in LABELLED.items():
        check(name is None or by_label[name]["total_bytes"] >= 1033 * count, "label %r in the report" % name)


# ---- temporary blocks

@each(PYTHONS)
def temporary(python):
    """Freed by the thread that allocated them, with no other allocation of that thread in between."""
    count = 300
    file = source("temporary")
    expected = {}
    with open(file, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            words = line.partition("# ")[2].split()
            if words[1:2] == ["of"]:
                expected[number] = (int(words[2]) * count, int(words[0]) * count)
    check(len(expected) > 8, "too few lines")
    lines = by_line(account_of(capture_of(program(python, "temporary", count))).stacks, file)
    got = {number: lines.get(number, (0,) * 6)[4:] for number in expected}
    for number, (blocks, freed_at_once) in got.items():  # an object of the interpreter's own may be among them, once
        check(0 <= blocks - expected[number][0] <= 2 and abs(freed_at_once - expected[number][1]) <= 2,
              "line %d: %d blocks, %d temporary; expected %s" % ((number, blocks, freed_at_once) + (expected[number],)))


# ---- code objects that die

def codes(python, *arguments, **options):
    result = program(python, "codes", *arguments, timeout=600, **options)
    return result, int(result.out)


def check_names(capture, counts, file=None):
    """Each name has allocated what its code has, no more and no less."""
    got = collections.Counter()
    for stack, figures in account_of(capture).stacks.items():
        file_name, line, function = stack[0]
        if line == 2 and function[:1] == "f" and function[1:].isdigit() and (file is None or file_name == file):
            got[function] += figures[3]
            if file:
                equal(figures[3], figures[4] * (1033 + int(function[1:])), "bytes of %s blocks of %s" % (figures[4], function))
    equal(dict(got), {"f%d" % k: count * (1033 + k) for k, count in enumerate(counts)}, "bytes of each name")


@each(some_pythons())
def short_lived_code(python):
    """A million code objects, each at the address of an earlier one with another name."""
    count = 1000000 if IS_LONG or python.path.startswith("/usr/bin/") else 200000
    result, growth = codes(python, "loads", count)
    capture = capture_of(result)
    check_names(capture, [count // 40 + 2] * 40, "<made>")
    check(len(capture.functions) < 2000 and len(capture.sites) < 20000, "%d functions, %d sites" % (
        len(capture.functions), len(capture.sites)))
    _, plain = codes(python, "loads", count, pmt=False)
    print("  %-14s %d code objects: RSS grows by %d KiB, %d without pmt" % (python, count, growth // 1024, plain // 1024))
    check(growth - plain < MIB, "RSS grows by %d bytes more than without pmt" % (growth - plain))


@each(some_pythons())
def code_of_many_files(python):
    """More files than there is room for: the first are right, the others are counted, what was known stays known."""
    count = 200000
    result, growth = codes(python, "files", count)
    capture = capture_of(result)
    state = capture.state
    check(state.lost_functions > 0 or state.lost_strings > 0 or len(capture.functions) > count, "nothing was lost, and %d "
          "functions are known" % len(capture.functions))
    check_names(capture, [2] * 40, "<made>")
    seen = collections.Counter()
    for stack, figures in account_of(capture).stacks.items():
        file, line, function = stack[0]
        if file.startswith("<cell ") and line == 2:
            number = int(file[6:-1])
            equal((function, figures[3:5]), ("f%d" % (number % 40), (1033 + number % 40, 1)), "the site in %s" % file)
            seen[number] += 1
    check(len(seen) > 20000 and set(range(len(seen) // 2)) <= set(seen), "only %d files are known" % len(seen))
    _, plain = codes(python, "files", count, pmt=False)
    print("  %-14s %d of %d files known; RSS grows by %d KiB, %d without pmt" % (
        python, len(seen), count, growth // 1024, plain // 1024))
    check(growth - plain < 96 * MIB, "RSS grows by %d bytes more than without pmt" % (growth - plain))


@each(some_pythons())
def reloaded_module(python):
    count = 2000
    folder = scratch()
    with open(os.path.join(folder, "reloaded.py"), "w") as file:
        file.write("def f0():\n    return b'x' * size\nsize = 1000\n")
    result, growth = codes(python, "reload", count, folder)
    capture = capture_of(result)
    check(len(capture.functions) < 2000, "%d functions" % len(capture.functions))
    path = os.path.join(folder, "reloaded.py")
    lines = by_line(account_of(capture).stacks, path)
    equal(lines[2][3:5], (count * 1033, count), "bytes and blocks of line 2 of the module")
    _, plain = codes(python, "reload", count, folder, pmt=False)
    check(growth - plain < MIB, "RSS grows by %d bytes, %d without pmt" % (growth, plain))


# ---- threads

@each(some_pythons())
def threads_come_and_go(python):
    """10,000 threads cost less than 1 MiB."""
    result = program(python, "threads", 10000)
    capture_of(result)
    plain = program(python, "threads", 10000, pmt=False)
    growth, without = int(result.out), int(plain.out)
    print("  %-14s RSS grows by %d KiB, %d without pmt" % (python, growth // 1024, without // 1024))
    check(growth - without < MIB, "10,000 threads cost %d bytes more than without pmt" % (growth - without))


# ---- programs without Python

STORM = os.path.join(BUILD, "tests", "storm")


def storm(*arguments):
    """What the program says of its own blocks, and the run's capture."""
    result = run([STORM, *map(str, arguments)], timeout=240, all=1)
    equal((result.status, result.err, result.pmt_lines), (0, "", []), "the end of the program")
    return [int(word) for word in result.out.split()], capture_of(result)


def check_storm(kind, count):
    """Live and total figures are those of the program, and what the same without its blocks has."""
    _, idle = storm(kind, 0)
    (live, blocks, total, total_blocks, highest, _), capture = storm(kind, count)
    got, base = capture.totals, idle.totals
    equal((got.live_bytes - base.live_bytes, got.live_blocks - base.live_blocks), (live, blocks), "live bytes and blocks")
    equal((got.total_bytes - base.total_bytes, got.total_blocks - base.total_blocks), (total, total_blocks),
          "total bytes and blocks")
    return highest, capture


@test
def realloc_storm():
    """8 threads resize and free each other's blocks."""
    check_storm("storm", 150000)


@test
def peak_of_threads():
    """With 4 threads the peak is right within the error that is stated."""
    highest, capture = check_storm("levels", 7)
    state = capture.state
    check(0 < state.peak_error_bytes <= 8 * 65536, "the stated error is %d" % state.peak_error_bytes)
    check(abs(state.peak_bytes - highest) <= state.peak_error_bytes + 4096, "the peak is %d, %d +- %d by pmt" % (
        highest, state.peak_bytes, state.peak_error_bytes))


@test
def peak_before_threads():
    """A peak of one thread, which has given most of it back when the next one comes."""
    (_, _, _, _, highest, _), capture = storm("late")
    state = capture.state
    check(abs(state.peak_bytes - highest) <= state.peak_error_bytes + 4096, "the peak is %d, %d +- %d by pmt" % (
        highest, state.peak_bytes, state.peak_error_bytes))


@test
def threads_of_c():
    """10,000 threads that come and go cost less than 1 MiB."""
    told, _ = storm("threads", 10000)
    plain = run([STORM, "threads", "10000"], pmt=False)
    growth, without = told[5], int(plain.out.split()[5])
    check(growth - without < MIB, "10,000 threads cost %d bytes more than without pmt" % (growth - without))


# ---- native memory

@each(PYTHONS)
def native(python):
    """Native blocks have the Python stack of their thread, whether it holds the GIL or not."""
    capture = capture_of(program(python, "native"))
    line = line_of(source("native"), "# taken")
    got = collections.Counter()
    for site in capture.sites:
        if site.owner == "native" and site.stack and site.stack[0].line == line and "native.py" in site.stack[0].file:
            thread = "thread" if site.stack[-1].function != "<module>" else "main"
            got[thread, site.stack[1].function] += site.live_bytes
    equal(dict(got), {("thread", "inner"): 3 * 4 * 3001, ("main", "inner"): 4 * 3001, ("thread", "outer"): 3 * 7 * 2003,
                      ("main", "outer"): 7 * 2003}, "bytes by thread and function")


# ---- killed

TICK, MARGIN = 0.1, 0.25  # seconds; the margin is for machines that have something else to do


def kill_at(python, moment):
    """Kills the program after so many seconds of its work; returns its rows and its capture."""
    directory, record = scratch(), os.path.join(scratch(), "record")
    process = subprocess.Popen([python.path, *FLAGS, source("steps"), record], stdin=subprocess.DEVNULL,
                               env=clean_env(ENV, [LIB], directory, {"events": "off"}))
    while not os.path.exists(record) or not os.path.getsize(record):
        check(process.poll() is None, "the program has ended")
        time.sleep(0.005)
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with open(record) as lines:
        rows = [line.split() for line in lines.read().splitlines()]
    found = glob.glob(os.path.join(directory, "*.pmt"))
    equal(len(found), 1, "the number of captures after %.2f s" % moment)
    return [(int(number), float(clock), int(live)) for number, clock, live in rows], captures.read(found[0])


@each(PYTHONS)
def killed(python):
    """The capture of a killed program equals what the program said of itself, at most one tick before."""
    chance = random.Random(str(python))
    line = line_of(source("steps"), "# the step")
    for _ in range(-(-50 // len(PYTHONS)) * (4 if IS_LONG else 1)):
        rows, capture = kill_at(python, chance.random() * 1.5)
        captures.check_sums(capture)
        equal(capture.ended, "running", "how it ended, by the capture")
        held = by_line(account_of(capture).stacks, source("steps")).get(line, (0, 0))
        size, count = held[0], held[1]
        steps = [(5033 + i % 1000) for i in range(count)]
        equal(size, sum(steps), "bytes of %d steps" % count)
        check(count <= len(rows), "%d steps, %d were begun" % (count, len(rows)))
        if count < len(rows) - 1:
            late = rows[-1][1] - rows[count + 1][1]  # since the first step that the capture does not know
            check(late <= TICK + MARGIN, "the capture is %.3f s old: %d of %d steps" % (late, count, len(rows)))
        near = [row[2] for row in rows[max(count - 1, 0):count + 2]]
        check(count == 0 or min(abs(capture.state.python_live_bytes - live) for live in near) < 1000,
              "Python's live bytes are %d, by itself %s" % (capture.state.python_live_bytes, near))


if __name__ == "__main__":
    pmttest.describe_pythons()
    sys.exit(main())
