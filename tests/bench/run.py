"""What pmt costs: CPU time, start-up and memory of programs without preload, with the nop library (the floor) and with
pmt in several configurations. Runs are interleaved (A B C A B C ...), so that a slow moment of the machine meets all.

A figure is the median over the rounds; "over none" compares within rounds: the median of the rounds' ratios or
differences, with a 95 % bootstrap interval. CPU time is that of the process and the children it waited for.
"""
import argparse
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

# name -> (library, options as PMT_*)
OFF = {"PMT_EVENTS": "off", "PMT_SITES": "off"}
CONFIGURATIONS = {
    "none": (None, {}),
    "nop": ("libpmt-nop.so", {}),
    "off": ("libpmt.so", OFF),
    "exact": ("libpmt.so", {"PMT_EVENTS": "off"}),  # requested sizes, and Python's allocators counted
    "python 1": ("libpmt.so", {"PMT_EVENTS": "python", "PMT_SITES": "off", "PMT_THRESHOLD": "1"}),
    "python 0": ("libpmt.so", {"PMT_EVENTS": "python", "PMT_SITES": "off", "PMT_THRESHOLD": "0"}),
    "calls 1": ("libpmt.so", {"PMT_EVENTS": "calls", "PMT_SITES": "off", "PMT_THRESHOLD": "1"}),
    "calls 0": ("libpmt.so", {"PMT_EVENTS": "calls", "PMT_SITES": "off", "PMT_THRESHOLD": "0"}),
}
NATIVE = ["none", "nop", "off", "exact"]
EVENTS = NATIVE + ["python 1", "python 0", "calls 1", "calls 0"]
PYMEMTRACE = "pymemtrace"  # side by side, where it can be imported

# measure -> (unit, how a round is compared with "none" in the same round)
MEASURES = {
    "cpu": ("s", "ratio"),
    "pair": ("ns", "difference"),
    "start": ("ms", "difference"),
    "rss": ("MiB", "difference"),
}


class Workload:
    """One program: its command, what is measured, and the most that "off" may cost over none (None: no target)."""

    def __init__(self, name, measure, argv, configurations=NATIVE, target=None, quick=None, stdin=None):
        self.name, self.measure, self.configurations, self.target = name, measure, configurations, target
        self.argv, self.quick, self.stdin = argv, quick, stdin

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


def workloads(python, scratch, is_quick):
    source = os.path.join(scratch, "generated.c")
    with open(source, "w") as file:
        file.write(generated_c())

    def script(name, amount, quick, **more):
        return Workload("python " + name.replace("_work", ""), "cpu",
                        [python, os.path.join(HERE, "work", name + ".py"), amount], EVENTS, quick=quick, **more)

    pairs = os.path.join(BUILD, "tests", "pairs")
    status = "import re; print(re.search('VmRSS.*', open('/proc/self/status').read()).group())"
    return [
        Workload("malloc/free pair of 64 B", "pair", [pairs, "20"], target=6, quick="2"),
        Workload("gcc -O1", "cpu", ["gcc", "-O1", "-c", "-o", os.devnull, source], target=1.03),
        Workload("sqlite3", "cpu", ["sqlite3", ":memory:"], target=1.03, stdin=SQL % (20000 if is_quick else 150000)),
        Workload("perl", "cpu", ["perl", os.path.join(HERE, "work", "words.pl"), "40"], target=1.03, quick="2"),
        script("json_work", "60", "2", target=1.03),
        script("fib", "25", "15"),
        script("mix", "15", "2"),
        script("objects", "100000", "10000"),
        Workload("start of python -c pass", "start", [python, "-c", "pass"], EVENTS, target=15),
        Workload("RSS of cat", "rss", ["cat", "/proc/self/status"], target=3),
        Workload("RSS of python", "rss", [python, "-c", status], EVENTS, target=3),
    ]


def environment(configuration, directory):
    library, options = CONFIGURATIONS.get(configuration, (None, {}))
    env = {key: value for key, value in os.environ.items() if not key.startswith("PMT_") and key != "LD_PRELOAD"}
    if library:
        env.update(options, LD_PRELOAD=os.path.join(BUILD, library), PMT_DIR=directory, PMT_SUMMARY="off")
    return env


def run_once(workload, configuration, is_quick, directory):
    """Runs the program once; returns its figure in the unit of its measure."""
    argv = workload.command(is_quick)
    if configuration == PYMEMTRACE:
        argv = [argv[0], os.path.join(HERE, "under_pymemtrace.py")] + argv[1:]
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
    cpu = usage.ru_utime + usage.ru_stime
    if workload.measure == "cpu":
        return cpu
    if workload.measure == "start":
        return cpu * 1000
    if workload.measure == "rss":
        return int(re.search(r"VmRSS:\s*(\d+) kB", output).group(1)) / 1024
    return float(output)


def compare(figures, base, how):
    """Median of the rounds' ratios or differences to `base`, and its 95 % bootstrap interval."""
    rounds = [a / b if how == "ratio" else a - b for a, b in zip(figures, base)]
    choose = random.Random(1)
    medians = sorted(statistics.median(choose.choices(rounds, k=len(rounds))) for _ in range(1000))
    return statistics.median(rounds), medians[25], medians[974]


def measure(workload, rounds, is_quick, extra):
    """Rows of the table for one workload."""
    configurations = workload.configurations + (extra if workload.configurations is EVENTS else [])
    figures = {name: [] for name in configurations}
    for number in range(rounds + 1):
        for name in configurations:
            directory = tempfile.mkdtemp(prefix="pmt-bench-")
            figure = run_once(workload, name, is_quick, directory)
            shutil.rmtree(directory)
            if number > 0:  # the first round warms caches
                figures[name].append(figure)
    unit, how = MEASURES[workload.measure]
    rows = []
    for name in configurations:
        value, low, high = compare(figures[name], figures["none"], how)
        target = workload.target if name == "off" and not is_quick else None
        rows.append({"workload": workload.name, "configuration": name, "unit": unit, "rounds": rounds,
                     "median": statistics.median(figures[name]), "min": min(figures[name]), "max": max(figures[name]),
                     "over_none": value, "over_none_low": low, "over_none_high": high, "compared_by": how,
                     "target": target, "ok": None if target is None else value <= target})
    return rows


HEAD = "%-26s %-11s %12s  %-19s %12s  %-17s %s" % (
    "workload", "with", "median", "least .. most", "over none", "95 % interval", "target")


def line(row):
    spread = "%.3f .. %.3f" % (row["min"], row["max"])
    if row["configuration"] == "none":
        over = interval = ""
    elif row["compared_by"] == "ratio":
        over, interval = "x %.3f" % row["over_none"], "%.3f .. %.3f" % (row["over_none_low"], row["over_none_high"])
    else:
        over = "%+.2f %s" % (row["over_none"], row["unit"])
        interval = "%+.2f .. %+.2f" % (row["over_none_low"], row["over_none_high"])
    target = "" if row["target"] is None else "%s %g" % ("ok, at most" if row["ok"] else "MISSED:", row["target"])
    return ("%-26s %-11s %12s  %-19s %12s  %-17s %s" % (
        row["workload"], row["configuration"], "%.3f %s" % (row["median"], row["unit"]), spread, over, interval,
        target)).rstrip()


def can_import_pymemtrace(python):
    return subprocess.run([python, "-c", "from pymemtrace import cPyMemTrace"], stderr=subprocess.DEVNULL).returncode == 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help="runs of each program in each configuration (default 15)")
    parser.add_argument("--quick", action="store_true", help="small amounts of work, 3 rounds, no targets: shows that all runs")
    parser.add_argument("--only", metavar="REGEX", default="", help="workloads whose name matches")
    parser.add_argument("--python", metavar="PATH", default="/usr/bin/python3", help="interpreter of the Python programs")
    parser.add_argument("--json", metavar="FILE", help="write the table there too, as a list of objects")
    parser.add_argument("--check", action="store_true", help="status 1 if a target is missed")
    return parser.parse_args()


def main():
    args = arguments()
    extra = [PYMEMTRACE] if can_import_pymemtrace(args.python) else []
    if not extra:
        print("pymemtrace cannot be imported by %s: not compared with it" % args.python)
    rows = []
    print(HEAD)
    with tempfile.TemporaryDirectory(prefix="pmt-bench-") as scratch:
        for workload in workloads(args.python, scratch, args.quick):
            if not re.search(args.only, workload.name):
                continue
            if not shutil.which(workload.argv[0]):
                print("%-26s left out: no %s here" % (workload.name, workload.argv[0]))
                continue
            fresh = measure(workload, args.rounds or (3 if args.quick else 15), args.quick, extra)
            print("\n".join(line(row) for row in fresh) + "\n", flush=True)
            rows += fresh
    if args.json:
        with open(args.json, "w") as file:
            json.dump(rows, file, indent=1)
    missed = [row["workload"] for row in rows if row["ok"] is False]
    print("targets missed: %s" % (", ".join(missed) or "none"))
    return 1 if not rows or (args.check and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
