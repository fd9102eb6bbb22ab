"""FAULTS.md 33, 35, 36, 38, 39, the errno rule, and the net native figures against an independent count."""
import json
import os
import re
import shutil
import sys

from faulttest import both, check_complete, only_log, pmttest, python_argv, read_file, target
from pmttest import LIB, check, each, equal, main, parse_summary, run, scratch, short, skip, some_pythons, test

PYTHONS = some_pythons()
BIG = 50000000


def hide_bytes(text):
    """What malloc_usable_size adds up to depends on which thread came first."""
    return re.sub(r"\d+ bytes", "... bytes", text)


def native_of(argv, sites="off", **more):
    """A compared run with the summary: (its output, Summary). With sites off, sizes are the allocator's."""
    result = both(argv, summary="on", sites=sites, normalise=hide_bytes, **more).traced
    return result.out, parse_summary(result.pmt_lines)


# ---- 33, 35, 36: the sums


@test
def blocks_of_other_threads():
    """Freed and resized by threads that did not allocate them, and alive when their threads have ended."""
    (out, held), (_, freed) = (native_of([target("cross"), how]) for how in ("hold", "release"))
    words = out.split()
    check(int(words[1]) > 10000, "the program holds too little to tell", out)
    equal((held.blocks - freed.blocks, held.native - freed.native), (int(words[1]), int(words[3])), "blocks and bytes")


@test
def corner_results():
    """Results and errno are libc's (compared by both()), and nothing is left: the figures are those of an idle run."""
    (out, corner), (_, idle) = native_of([target("corner")]), native_of([target("corner"), "none"])
    check(len(out.splitlines()) > 100, "the program shows too little", out)
    equal((corner.native, corner.blocks, corner.mapped, corner.regions, corner.brk),
          (idle.native, idle.blocks, idle.mapped, idle.regions, idle.brk), "what is live at the end")


NATIVE = ["malloc", "calloc", "realloc", "reallocarray", "posix_memalign", "aligned_alloc", "memalign", "valloc",
          "pvalloc", "new"]
MAPPED = ["mmap", "mmap64", "mremap"]
BREAK = ["sbrk", "brk"]


@each(NATIVE + MAPPED + BREAK)
def big_block(way):
    """50 MB by each call: seen when kept, to the byte where the summary has bytes, and unseen when given back."""
    if way == "new" and run([target("big"), way, "free"], pmt=False, env={"WITNESS_DIR": scratch()}).status == 3:
        skip("libstdc++.so.6 is not installed")
    (_, none), (out, kept), (_, freed) = (native_of([target("big")] + words)
                                          for words in (["none", "free"], [way, "keep"], [way, "free"]))
    worth = int(out)
    check(worth >= BIG, "the block is too small", out)
    seen = (kept.native - freed.native, kept.blocks - freed.blocks, kept.regions - freed.regions)
    tenth = 0.11 * (1 << 20)  # the summary prints mapped bytes to a tenth of a MiB
    if way in NATIVE:
        equal(seen, (worth, 1, 0), "bytes, blocks, regions seen")
    elif way in MAPPED:
        equal(seen, (0, 0, 1), "bytes, blocks, regions seen")
        check(abs(kept.mapped - freed.mapped - worth) < tenth, "mapped differs by %d" % (kept.mapped - freed.mapped))
    else:
        equal(seen, (0, 0, 0), "bytes, blocks, regions seen")
        equal(kept.brk - freed.brk, worth, "brk")
    if way != "new":  # which loads libstdc++
        equal((freed.native, freed.blocks, freed.regions, freed.brk),
              (none.native, none.blocks, none.regions, none.brk), "what is left when it is given back")


# ---- the oracle


def oracle_totals(argv, order, sites, **more):
    """Runs argv with pmt and the oracle stacked: (pmt's bytes and blocks, the oracle's). Sizes are the requested ones with
    sites exact, else the allocator's."""
    path = os.path.join(scratch(), "totals")
    preload = [LIB, target("liboracle")] if order == "pmt first" else [target("liboracle"), LIB]
    result = run(argv, preload=preload, cwd=scratch(), summary="on", sites=sites,
                 env=dict({"ORACLE_OUT": path, "WITNESS_DIR": scratch()},
                          **({"ORACLE_REQUESTED": "1"} if sites == "exact" else {})), **more)
    summary = parse_summary(result.pmt_lines)
    return result, (summary.native, summary.blocks), tuple(int(word) for word in read_file(path).split())


ORACLE_WORK = {"family": ["family"], "cross hold": ["cross", "hold"], "cross release": ["cross", "release"],
               "late": ["late"], "corner": ["corner"], "contexts": ["contexts"], "forkthreads": ["forkthreads", "5"]}


STACKS = [(order, sites) for order in ("pmt first", "oracle first") for sites in ("off", "exact")]


@each([stack + (work,) for stack in STACKS for work in ORACLE_WORK])
def equals_the_oracle(case):
    """Live bytes and blocks at exit: equal to the byte to those of a library that keeps a hash of all blocks."""
    order, sites, work = case
    name, *arguments = ORACLE_WORK[work]
    result, mine, oracle = oracle_totals([target(name)] + arguments, order, sites)
    check(result.status in (0, 3) and not result.err, "the program failed", result)
    equal(mine, oracle, "bytes and blocks (pmt's and the oracle's)")


REAL_WORK = {
    "perl": ["perl", "-e", 'my %h; $h{$_} = "x" x $_ for 1..5000; delete $h{$_} for 1..2500; print scalar(keys %h)'],
    "sort": ["sort", "-R"] + [os.path.join(pmttest.SRC, "lib", "pmttest.py")] * 20,
    "awk": ["awk", "BEGIN { for (i = 0; i < 50000; i++) a[i] = i \"x\"; print length(a) }"],
}


@each([stack + (work,) for stack in STACKS for work in REAL_WORK])
def equals_the_oracle_on_real_programs(case):
    order, sites, work = case
    argv = REAL_WORK[work]
    if not shutil.which(argv[0]):
        skip("%s is not installed" % argv[0])
    _, mine, oracle = oracle_totals(argv, order, sites)
    equal(mine, oracle, "bytes and blocks (pmt's and the oracle's)")


# ---- 38: names


@each(pmttest.PYTHONS)
def hostile_names(python):
    """Every name reads back from the log as it is in Python."""
    result = both(python_argv(python, "hostile.py"))
    log = only_log(result)
    check_complete(log)
    expected = [(bytes.fromhex(file).decode("utf-8", "surrogateescape"), line, name)
                for file, line, name in json.loads(read_file(result.cwd, "names"))]
    # the log writes an empty name as `-`, so one that is `-` cannot be told from it
    expected = [("" if file == "-" else file, line, name) for file, line, name in expected]
    rows = [(row.file, row.line, row.function) for row in log.rows if row.what == "CALL"]
    missing = [wanted for wanted in expected if wanted not in rows]
    check(not missing, "%d names of %d are not in the log" % (len(missing), len(expected)),
          *[short(wanted, 200) for wanted in missing])
    places = [rows.index(wanted) for wanted in expected if expected.count(wanted) == 1]
    equal(places, sorted(places), "the order of the calls")


# ---- 39: the environment


BAD_VALUES = {"CHOICE": ["nonsense", "ON OFF"], "COUNT": ["abc", "-1", "99999999999999999999", "1x", "0x10"],
              "SIZE": ["12Q", "K", "-5", "99999999999999999999G"], "FLAG": ["2", "yes"],
              "WHEN": ["never", "peak,,never", "%"], "TEXT": []}


def read_options():
    """(variable, kind) of every row of options.def."""
    with open(os.path.join(os.path.dirname(pmttest.SRC), "preload", "options.def")) as file:
        rows = re.findall(r'^OPTION\((\w+), (\w+), "(\w+)"', file.read(), re.MULTILINE)
    check(len(rows) > 10, "options.def is not what this test reads")
    return [(variable, kind) for _, kind, variable in rows]


@each([(variable, value) for variable, kind in read_options() for value in BAD_VALUES[kind]])
def bad_value(case):
    """One line that names the variable, its value and what is accepted; the program runs with the default."""
    variable, value = case
    result = both(python_argv(PYTHONS[-1], "events.py", 10), env={variable: value}, threshold=1,
                  problems=[re.escape(variable)])
    (line,) = result.traced.pmt_lines
    check(value in line, "the line does not name the value", line)
    check(len(line) > len("pmt: %s=%s" % (variable, value)) + 10, "the line does not say what is accepted", line)
    equal(len(result.logs), 1, "number of logs")


@each(["PMT_NONSENSE", "PMT_", "PMT_DIRS", "PMT_threshold"])
def unknown_variable(name):
    result = both(python_argv(PYTHONS[-1], "forks.py", 3), env={name: "1"}, problems=[r"\b%s\b" % name])
    check(result.logs, "no log")


@test
def several_problems():
    """One line each, of the first process only."""
    problems = {"PMT_NONSENSE": "1", "PMT_EVENTS": "some", "PMT_LOG_MAX": "many", "PMT_FOLLOW": "perhaps"}
    both(python_argv(PYTHONS[-1], "forks.py", 3), env=problems, problems=["^pmt: %s" % name for name in problems])


@test
def silent():
    """PMT_VERBOSE=0: not a word of problems."""
    both(python_argv(PYTHONS[-1], "events.py", 10), verbose=0, threshold=1,
         env={"PMT_NONSENSE": "1", "PMT_EVENTS": "some"})


@test
def test_variables_are_left_alone():
    both(python_argv(PYTHONS[-1], "events.py", 10), env={"PMT_TEST_OF_SOMEBODY": "1"})


@each(PYTHONS)
def disabled(python):
    """PMT_ENABLE=0: the library does nothing at all."""
    result = both(python_argv(python, "events.py", 100), enable=0, summary="on", env={"PMT_NONSENSE": "1"})
    equal((result.logs, result.traced.pmt_lines), ({}, []), "what pmt did")


# ---- errno


@each(pmttest.PYTHONS)
def errno_is_kept(python):
    both(python_argv(python, "errnos.py"))


if __name__ == "__main__":
    sys.exit(main())
