"""What pmt costs: CPU time, start-up and memory of programs without preload, with the nop library or an empty hook (the
floors) and with pmt in several configurations. Runs are interleaved (A B C A B C ...), so that a slow moment of the
machine meets all.

A figure is the median over the rounds; "over none" and "over floor" compare within rounds: the median of the rounds'
ratios or differences, with a 95 % bootstrap interval. CPU time is that of the process and the children it waited for;
of the event workloads, that of the script, without the start of the interpreter. The floor of a configuration with
events is an empty hook of the same kind, which each CPython has of its own: "empty python", "empty calls".
"""
import argparse
import collections
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("PMT_BUILD") or os.path.join(HERE, "..", "..", "build"))
UNDER = os.path.join(HERE, "under.py")

# library: preloaded. options: as PMT_*. under: what under.py is asked for, with events. floor: the configuration that it
# is compared with besides "none".
Configuration = collections.namedtuple("Configuration", "library options under floor", defaults=("nothing", None))


def with_events(events, threshold="1", floor=None, **more):
    options = dict({"PMT_EVENTS": events, "PMT_SITES": "off", "PMT_THRESHOLD": threshold}, **more)
    return Configuration("libpmt.so", options, floor=floor)


FORBIDDEN = {"PMT_TEST_GATE": "forbidden"}  # as where perf events are not allowed
CONFIGURATIONS = {
    "none": Configuration(None, {}),
    "nop": Configuration("libpmt-nop.so", {}),
    "off": Configuration("libpmt.so", {"PMT_EVENTS": "off", "PMT_SITES": "off"}),
    "exact": Configuration("libpmt.so", {"PMT_EVENTS": "off"}),  # requested sizes, and Python's allocators counted
    "empty python": Configuration(None, {}, "empty python"),
    "python": with_events("python", floor="empty python"),
    "python, no perf": with_events("python", floor="empty python", **FORBIDDEN),
    "empty calls": Configuration(None, {}, "empty calls"),
    "calls": with_events("calls", floor="empty calls"),
    "calls, no perf": with_events("calls", floor="empty calls", **FORBIDDEN),
    "defaults": with_events("calls", floor="empty calls", PMT_SITES="exact"),
    "calls, every event": with_events("calls", "0", floor="empty calls"),
    "pymemtrace": Configuration(None, {}, "pymemtrace"),  # side by side, where it can be imported
}
NATIVE = ["none", "nop", "off", "exact"]
STARTS = NATIVE + ["python", "calls", "defaults"]
EVENTS = [name for name in CONFIGURATIONS if name not in ("nop", "calls, every event", "pymemtrace")]

# measure -> (unit, how a round is compared with another configuration in the same round)
MEASURES = {
    "cpu": ("s", "ratio"),
    "script": ("s", "ratio"),
    "pair": ("ns", "difference"),
    "start": ("ms", "difference"),
    "rss": ("MiB", "difference"),
    "event": ("us", "difference"),
}

# The most that a configuration may cost: (over what, limit).
REAL = {"off": ("none", 1.03)}
OVER_FLOOR = {"python": ("floor", 1.15), "python, no perf": ("floor", 1.7), "calls": ("floor", 1.25),
              "calls, no perf": ("floor", 1.25)}
GROWTH = {"python": ("none", 1.6), "calls": ("floor", 1.5)}
EVERY = {"calls, every event": ("none", 3)}


class Workload:
    """One program: its command, what is measured, in which configurations, and what they may cost at most. events: how
    many there are in it, where the measure is one event."""

    def __init__(self, name, measure, argv, configurations=NATIVE, targets=(), quick=None, stdin=None, events=None):
        self.name, self.measure, self.configurations, self.targets = name, measure, configurations, dict(targets)
        self.argv, self.quick, self.stdin, self.events = argv, quick, stdin, events

    def command(self, is_quick):
        """The command; with --quick its last word is replaced by a smaller amount of work."""
        return self.argv[:-1] + [self.quick] if is_quick and self.quick else self.argv


def generated_c():
    """A C program of 400 functions with loops, switches and calls, for the compiler to chew on."""
    parts = ["struct node { struct node *next; int value[8]; };"]
    for i in range(400):
        parts.append("int f%d(struct node *n, int x) { int s = %d; for (; n; n = n->next) { switch (x + n->value[%d]) {"
                     " case %d: s += x; break; case %d: s ^= n->value[0]; break; default: s -= %s; } }"
                     " return s * 31 + x / 7; }" % (i, i, i % 8, i, i + 1, "f%d(n, s & 7)" % (i - 1) if i else "x"))
    return "\n".join(parts)


SQL = """create table t(a integer, b text, c real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < %d)
  insert into t select i, 'row ' || (i * 7919 %% 10007), i / 3.0 from n;
create index t_b on t(b);
select count(*), sum(c) from t x join (select distinct b from t) y on x.b = y.b where x.a %% 3 = 0;
select b, count(*), group_concat(a) from t group by b order by 2 desc, 1 limit 3;
"""


def work(name):
    return os.path.join(HERE, "work", name)


def native_workloads(scratch, is_quick):
    source = os.path.join(scratch, "generated.c")
    with open(source, "w") as file:
        file.write(generated_c())
    pairs = os.path.join(BUILD, "tests", "pairs")
    return [
        Workload("malloc/free pair of 64 B", "pair", [pairs, "20"], targets={"off": ("none", 6)}, quick="2"),
        Workload("gcc -O1", "cpu", ["gcc", "-O1", "-c", "-o", os.devnull, source], targets=REAL),
        Workload("sqlite3", "cpu", ["sqlite3", ":memory:"], targets=REAL, stdin=SQL % (20000 if is_quick else 150000)),
        Workload("perl", "cpu", ["perl", work("words.pl"), "40"], targets=REAL, quick="2"),
        Workload("RSS of cat", "rss", ["cat", "/proc/self/status"], targets={"off": ("none", 3)}),
    ]


def fib_events(n):
    """Calls and returns in fib.py N."""
    calls, before = 1, 1
    for _ in range(n - 1):
        calls, before = calls + before + 1, calls
    return 2 * calls


def python_workloads(python, is_quick):
    def script(name, amount, quick, targets=OVER_FLOOR, more=()):
        return Workload("python " + name, "script", [python, work(name + ".py"), amount], EVENTS + list(more), targets,
                        quick)

    status = "import re; print(re.search('VmRSS.*', open('/proc/self/status').read()).group())"
    fib = "15" if is_quick else "20"
    return [
        script("json_work", "40", "2", REAL),
        script("fib", "27", "15"),
        script("mix", "60", "2", more=["calls, every event"]),
        script("objects", "150000", "2000"),
        script("generators", "1000000", "5000"),
        script("strings", "150000", "2000"),
        script("grow", "150000", "10000", GROWTH),
        Workload("python, an event", "event", [python, work("fib.py"), fib], ["none", "calls, every event"], EVERY,
                 events=fib_events(int(fib))),
        Workload("start of python -c pass", "start", [python, "-c", "pass"], STARTS, {"off": ("none", 15)}),
        Workload("RSS of python", "rss", [python, "-c", status], STARTS, {"off": ("none", 3)}),
    ]


# ---- one run


def environment(configuration, directory):
    library, options, _, _ = CONFIGURATIONS[configuration]
    env = {key: value for key, value in os.environ.items() if not key.startswith("PMT_") and key != "LD_PRELOAD"}
    env["EMPTY_HOOKS"] = os.path.join(BUILD, "tests")
    if library:
        env.update(options, LD_PRELOAD=os.path.join(BUILD, library), PMT_DIR=directory, PMT_SUMMARY="off")
    return env


def version_of(python):
    """(3, 11) of an interpreter."""
    return tuple(json.loads(subprocess.check_output([python, "-c", "import sys; print(list(sys.version_info[:2]))"])))


def empty_hook(configuration, version):
    """What under.py is asked for: the cheapest kind of hook that this CPython has for such events."""
    what, _, mode = configuration.partition(" ")
    if what != "empty":
        return configuration
    if version >= (3, 12):
        return "monitor:" + mode
    return "evalframe" if mode == "python" else "profile"


def run_once(workload, configuration, version, is_quick, directory):
    """Runs the program once; returns its figure in the unit of its measure."""
    argv = workload.command(is_quick)
    is_timed_inside = workload.measure in ("script", "event")
    if is_timed_inside:
        argv = [argv[0], "-B", UNDER, empty_hook(CONFIGURATIONS[configuration].under, version)] + argv[1:]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as text:
        text.write((workload.stdin or "").encode())
        text.seek(0)
        process = subprocess.Popen(argv, stdin=text, stdout=out, stderr=subprocess.STDOUT, cwd=directory,
                                   env=environment(configuration, directory))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        out.seek(0)
        output = out.read().decode(errors="replace")
    if status != 0 or "pmt:" in output or "ld.so:" in output:
        sys.exit("bench: %s with %s: wait status %d\n%s" % (argv, configuration, status, output))
    if is_timed_inside:
        seconds = float(re.search(r"^cpu ([\d.]+)$", output, re.MULTILINE).group(1))
        return seconds if workload.measure == "script" else seconds * 1e6 / workload.events
    cpu = usage.ru_utime + usage.ru_stime
    if workload.measure == "cpu":
        return cpu
    if workload.measure == "start":
        return cpu * 1000
    if workload.measure == "rss":
        return int(re.search(r"VmRSS:\s*(\d+) kB", output).group(1)) / 1024
    return float(output)


# ---- many runs


def compare(figures, base, how):
    """Median of the rounds' ratios or differences to `base`, and its 95 % bootstrap interval."""
    rounds = [a / b if how == "ratio" else a - b for a, b in zip(figures, base)]
    choose = random.Random(1)
    medians = sorted(statistics.median(choose.choices(rounds, k=len(rounds))) for _ in range(1000))
    return statistics.median(rounds), medians[25], medians[974]


def collect(workload, configurations, version, rounds, is_quick):
    """{configuration: its figures, one a round}"""
    figures = {name: [] for name in configurations}
    for number in range(rounds + 1):
        for name in configurations:
            directory = tempfile.mkdtemp(prefix="pmt-bench-")
            figure = run_once(workload, name, version, is_quick, directory)
            shutil.rmtree(directory)
            if number > 0:  # the first round warms caches
                figures[name].append(figure)
    return figures


def row_of(workload, name, figures, is_quick):
    unit, how = MEASURES[workload.measure]
    floor = CONFIGURATIONS[name].floor
    over = {"none": compare(figures[name], figures["none"], how),
            "floor": compare(figures[name], figures[floor], how) if floor in figures else None}
    what, limit = workload.targets.get(name, (None, None)) if not is_quick else (None, None)
    return {"workload": workload.name, "configuration": name, "unit": unit, "rounds": len(figures[name]),
            "median": statistics.median(figures[name]), "min": min(figures[name]), "max": max(figures[name]),
            "compared_by": how, "over_none": over["none"], "floor": floor, "over_floor": over["floor"],
            "target": limit, "target_over": what, "ok": None if limit is None else over[what][0] <= limit}


def measure(workload, version, rounds, is_quick, with_pymemtrace):
    """Rows of the table for one workload."""
    configurations = list(workload.configurations)
    if workload.measure == "script" and with_pymemtrace:
        configurations.append("pymemtrace")
    figures = collect(workload, configurations, version, rounds, is_quick)
    return [row_of(workload, name, figures, is_quick) for name in configurations]


# ---- output

HEAD = "%-24s %-19s %11s  %-19s %-25s %-25s %s" % (
    "workload", "with", "median", "least .. most", "over none", "over floor", "target")


def over_text(over, row):
    if not over or row["configuration"] == "none":
        return ""
    if row["compared_by"] == "ratio":
        return "x %.3f (%.3f .. %.3f)" % tuple(over)
    return "%+.2f (%+.2f .. %+.2f)" % tuple(over)


def line(row):
    target = "" if row["target"] is None else "%s %g over %s" % ("ok, at most" if row["ok"] else "MISSED:", row["target"],
                                                                 row["target_over"])
    return ("%-24s %-19s %11s  %-19s %-25s %-25s %s" % (
        row["workload"], row["configuration"], "%.3f %s" % (row["median"], row["unit"]),
        "%.3f .. %.3f" % (row["min"], row["max"]), over_text(row["over_none"], row), over_text(row["over_floor"], row),
        target)).rstrip()


def decisions(python):
    """What pmt says of the engines and the gate here."""
    said = []
    with tempfile.TemporaryDirectory(prefix="pmt-bench-") as directory:
        for name in ("python", "calls"):
            env = dict(environment(name, directory), PMT_VERBOSE="2")
            text = subprocess.run([python, "-c", "pass"], env=env, stderr=subprocess.PIPE).stderr.decode()
            said += ["--events %s: %s" % (name, match) for match in re.findall("pmt: (events by .*)", text)]
            said += re.findall("pmt: (RSS gate: .*)", text) if name == "calls" else []
    return "; ".join(said)


def can_import_pymemtrace(python):
    return subprocess.run([python, "-c", "from pymemtrace import cPyMemTrace"], stderr=subprocess.DEVNULL).returncode == 0


def measure_all(workloads, version, args, with_pymemtrace=False):
    rows = []
    for workload in workloads:
        if not re.search(args.only, workload.name):
            continue
        if not shutil.which(workload.argv[0]):
            print("%-24s left out: no %s here" % (workload.name, workload.argv[0]))
            continue
        fresh = measure(workload, version, args.rounds or (3 if args.quick else 15), args.quick, with_pymemtrace)
        print("\n".join(line(row) for row in fresh) + "\n", flush=True)
        rows += fresh
    return rows


def measure_python(python, args):
    version, with_pymemtrace = version_of(python), can_import_pymemtrace(python)
    print("%s: CPython %d.%d; %s" % ((python,) + version + (decisions(python),)))
    if not with_pymemtrace:
        print("pymemtrace cannot be imported by it: not compared with it")
    return [dict(row, python=python) for row in
            measure_all(python_workloads(python, args.quick), version, args, with_pymemtrace)]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="little work, 3 rounds, no targets: shows that it runs")
    parser.add_argument("--rounds", type=int, help="15 if not given")
    parser.add_argument("--only", metavar="REGEX", default="", help="workloads whose name matches")
    parser.add_argument("--python", metavar="PATH", action="append",
                        help="interpreter of the Python programs, may be given again; /usr/bin/python3 if not given")
    parser.add_argument("--json", metavar="FILE", help="write the table there too, as a list of objects")
    parser.add_argument("--check", action="store_true", help="status 1 if a target is missed")
    return parser.parse_args()


def main():
    args = arguments()
    print(HEAD)
    with tempfile.TemporaryDirectory(prefix="pmt-bench-") as scratch:
        rows = measure_all(native_workloads(scratch, args.quick), None, args)
    for python in args.python or ["/usr/bin/python3"]:
        rows += measure_python(python, args)
    if args.json:
        with open(args.json, "w") as file:
            json.dump(rows, file, indent=1)
    missed = ["%s with %s" % (row["workload"], row["configuration"]) for row in rows if row["ok"] is False]
    print("targets missed: %s" % ("; ".join(missed) or "none"))
    return 1 if not rows or (args.check and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
