#!/usr/bin/env python3
"""`pmt report` and `pmt diff` on captures that are being written, on the largest ones, and on those of real programs."""
import glob
import json
import os
import pathlib
import random
import resource
import signal
import struct
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
import make_capture  # noqa: E402  (neighbours)
from pmttest import BUILD, LIB, check, clean_env, equal, main, run, scratch, skip, test  # noqa: E402

PMT = os.path.join(BUILD, "pmt")
TICK = 0.01  # seconds; the library's shortest
FIGURES = ("live_bytes", "live_blocks", "peak_bytes", "total_bytes", "total_blocks", "temporary_blocks")


def report(*words):
    done = subprocess.run([PMT, "report", "--json", *words], capture_output=True, timeout=60)
    check(done.returncode == 0, "pmt report fails", done.stderr.decode(errors="replace")[-2000:])
    return json.loads(done.stdout)


class Writer(threading.Thread):
    """Writes a capture as the library does: at every tick what is new in the streams that grow, then the other stream of
    sites, then the other state. Everything changes at every tick."""

    def __init__(self, path):
        super().__init__()
        self.capture = make_capture.Capture(pid=os.getpid(), parent=os.getppid(), start=time.time())
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self.extents, self.end, self.is_over = {}, make_capture.HEADER_SIZE, False
        self.rng = random.Random(3)
        self.capture.state["sequence"] = 0
        self.tick()

    def write_stream(self, number, data):
        for index in range(-(-len(data) // make_capture.PAYLOAD)):
            if (number, index) not in self.extents:
                self.extents[number, index] = self.end
                self.end += make_capture.EXTENT_SIZE
                os.ftruncate(self.fd, self.end)
                head = make_capture.EXTENT_HEAD.pack(make_capture.EXTENT_MAGIC, number, index, 0)
                os.pwrite(self.fd, head, self.extents[number, index])
            payload = data[index * make_capture.PAYLOAD:(index + 1) * make_capture.PAYLOAD]
            os.pwrite(self.fd, payload, self.extents[number, index] + make_capture.EXTENT_HEAD.size)

    def change(self):
        capture = self.capture
        for _ in range(20):
            node = capture.stack([(f"file{self.rng.randrange(50)}.py", self.rng.randrange(500), "f", 1), ("a.py", 1, "g", 1)])
            capture.site(node)
        for site in capture.sites:
            for name in FIGURES:
                site[name] = self.rng.randrange(1000)

    def tick(self):
        capture = self.capture
        self.change()
        capture.state["sequence"] += 1
        streams = capture.streams()
        for number, name in enumerate(make_capture.STREAMS):
            self.write_stream(number, streams[name])
        if capture.state["sequence"] == 1:
            os.pwrite(self.fd, make_capture.pack(make_capture.HEADER, capture.header), 0)
        slot = capture.state["sequence"] % 2
        os.pwrite(self.fd, capture.state_bytes(streams), make_capture.STATE_AT * (1 + slot))

    def run(self):
        while not self.is_over and len(self.capture.sites) < 2000:
            start = time.monotonic()
            self.tick()
            time.sleep(max(TICK - (time.monotonic() - start), TICK / 4))


@test
def a_process_that_writes():
    """Every reading is one tick, whole."""
    path = os.path.join(scratch(), "live.pmt")
    writer = Writer(path)
    writer.start()
    sequence = set()
    try:
        for _ in range(60):
            whole = report(path)
            equal(whole["warnings"], [], "the warnings")
            equal(whole["process"]["ended"], "running", "the end")
            for name in FIGURES:
                equal(sum(site[name] for site in whole["sites"]), whole["totals"][name], "the sum of " + name)
            sequence.add(whole["totals"]["total_bytes"])
    finally:
        writer.is_over = True
        writer.join()
    check(len(sequence) > 5, "the reports are of different ticks", sequence)


@test
def a_torn_state():
    """While a state is being written, the other one counts; it is looked at again."""
    path = os.path.join(scratch(), "torn.pmt")
    writer = Writer(path)
    writer.tick()
    before = report(path)
    place = make_capture.STATE_AT * (1 + 1)  # the third tick's slot
    whole = os.pread(writer.fd, 400, place)
    os.pwrite(writer.fd, struct.pack("<Q", 3), place)
    torn = report(path)
    equal(torn["totals"], before["totals"], "the totals of the state that stands")
    check(torn["warnings"], "a state that stays torn is said")
    os.pwrite(writer.fd, whole, place)
    equal(report(path)["warnings"], [], "the warnings")


def largest():
    """200,000 sites on 400,000 frames of 20,000 functions, about 28 frames deep."""
    rng = random.Random(1)
    capture = make_capture.Capture()
    functions = [capture.function(f"/usr/lib/python3.11/package{i % 300}/module{i % 3000}.py", f"function_{i}", i)
                 for i in range(20000)]
    nodes, depths = [0], [0]
    while len(nodes) < 400000:
        at = len(nodes) - 1 if rng.random() < 0.6 else rng.randrange(len(nodes))
        if depths[at] < 60:
            nodes.append(capture.node(nodes[at], rng.choice(functions), len(nodes)))
            depths.append(depths[at] + 1)
    for _ in range(200000):
        capture.site(rng.choice(nodes), live_bytes=rng.randrange(10000), live_blocks=rng.randrange(100),
                     peak_bytes=rng.randrange(20000), total_bytes=rng.randrange(10 ** 6),
                     total_blocks=rng.randrange(1000), temporary_blocks=rng.randrange(10))
    return capture


@test
def as_large_as_it_gets():
    """The report takes less than a second, and memory that goes with the file's size."""
    if subprocess.run(["grep", "-q", "__asan_init", PMT]).returncode == 0:
        skip("a sanitizer makes it slow")
    path = os.path.join(scratch(), "large.pmt")
    largest().write(path)
    best, limit = 99, 10 * os.path.getsize(path)
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(["prlimit", f"--as={limit}", PMT, "report", path], capture_output=True, timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        equal((done.returncode, done.stderr), (0, b""), "status and complaints")
    check(best < 1, "the report takes %.2f s of CPU" % best)
    equal(done.stdout.count(b"add up"), 0, "sums that do not add up")


# --- real programs ----------------------------------------------------------------------------------------------------

PYTHON = "/usr/bin/python3"
PROGRAM = """import json, os, sys, time
def keep(n):
    return [bytes(100) for _ in range(n)]
def drop():
    return len(json.dumps(["x" * 1000] * 20000))
kept = keep(20000)
drop()
MEMPOINT('here')
"""


def captures(directory):
    return sorted(glob.glob(os.path.join(directory, "*.pmt")))


def closed_report(*words):
    """The report, whose sites have to add up to its totals without a warning."""
    whole = report(*words)
    equal(whole["warnings"], [], "the warnings")
    for name in FIGURES:
        equal(sum(site[name] for site in whole["sites"]), whole["totals"][name], "the sum of " + name)
    return whole


def write_program(text):
    path = os.path.join(scratch(), "program.py")
    with open(path, "w") as file:
        file.write(text)
    return path


def line_of(site):
    return [(os.path.basename(frame["file"]), frame["line"], frame["function"]) for frame in site["stack"][:1]]


@test
def a_program_that_exits():
    path = write_program(PROGRAM)
    result = run([PYTHON, path], events="off")
    whole = closed_report(*captures(result.dir))
    process = whole["process"]
    equal((process["pid"], process["argv"], process["exit"], process["ended"]), (result.pid, [PYTHON, path], 0, "exit"),
          "the process")
    site = max(whole["sites"], key=lambda site: (bool(site["stack"]), site["live_bytes"]))
    equal(site["stack"][0]["function"] in ("keep", "<listcomp>") and site["stack"][0]["line"], 3, "the line that keeps")
    equal([frame["line"] for frame in site["stack"] if frame["function"] == "<module>"], [6], "its caller")
    check(site["live_blocks"] >= 20000, "blocks that are kept", site)
    equal([mark["name"] for mark in whole["marks"] if mark["name"] == "here"], ["here"], "the mark")
    focused = report("--focus", "program.py:drop", *captures(result.dir))["sites"]
    check(sum(site["total_bytes"] for site in focused) > 20e6 > 1e6 > sum(site["live_bytes"] for site in focused),
          "what drop() allocates is gone", focused[:2])


@test
def a_program_that_is_looked_at_and_killed():
    path = write_program(PROGRAM + "print('ready', flush=True)\nfor i in range(3000):\n"
                                   "    kept += keep(50)\n    time.sleep(0.01)\n")
    directory = scratch()
    process = subprocess.Popen([PYTHON, path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               env=clean_env({}, [LIB], directory, {"events": "off"}))
    try:
        equal(process.stdout.readline(), b"ready\n", "the first line")
        first = closed_report(*captures(directory))
        until = time.monotonic() + 20  # ticks become rarer on a machine that has no time for them
        while True:
            time.sleep(0.2)
            second = closed_report(*captures(directory))
            if second["totals"]["live_blocks"] > first["totals"]["live_blocks"] or time.monotonic() > until:
                break
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    equal((first["process"]["ended"], second["process"]["ended"]), ("running", "running"), "the end of a running process")
    check(second["totals"]["live_blocks"] > first["totals"]["live_blocks"], "it grows")
    last = closed_report(*captures(directory))
    equal((last["process"]["ended"], last["process"]["exit"]), ("killed", None), "the end")
    check(last["totals"]["live_blocks"] >= second["totals"]["live_blocks"], "the last tick is the last")


@test
def a_program_that_grows():
    path = write_program("import time\nkept = []\nfor i in range(20):\n    kept += [bytearray(1 << 20)]\n"
                         "    time.sleep(0.03)  # longer than a tick\n")
    result = run([PYTHON, path], events="off", snapshot="exit,+8M")
    files = captures(result.dir)
    whole = report("--sort", "growth", *files)
    equal(whole["warnings"], [], "the warnings")
    growth = whole["sites"][0]
    equal(line_of(growth), [("program.py", 4, "<module>")], "what grew")
    check(4 << 20 < growth["growth_bytes"] < 16 << 20, "it grew by what came after the first snapshot", growth)
    done = subprocess.run([PMT, "diff", "--json", "--from", "growth-1", *files], capture_output=True, timeout=60)
    diff = json.loads(done.stdout)
    equal([diff["sites"][0][name] for name in ("live_bytes_diff", "live_blocks_diff")],
          [growth["growth_bytes"], growth["growth_blocks"]], "the difference to that snapshot")
    equal(sum(site["live_bytes_diff"] for site in diff["sites"]), diff["totals"]["live_bytes_diff"], "the sum")


@test
def a_tree_of_processes():
    path = write_program(PROGRAM + """
for i in range(2):
    if os.fork() == 0:
        more = keep(10000)
        sys.exit(i)
    os.wait()
""")
    result = run([PYTHON, path], events="off")
    whole = closed_report(*captures(result.dir))
    equal(whole["process"]["pid"], result.pid, "the root")
    equal([entry["exit"] for entry in whole["processes"]], [0, 0, 1], "the ends, in the order of their start")
    for entry in whole["processes"][1:]:
        equal(entry["ppid"], result.pid, "the parent")
        check(entry["totals"]["inherited_bytes"] > 2e6, "what a child inherited", entry)


if __name__ == "__main__":
    sys.exit(main())
