#!/usr/bin/env python3
"""`pmt log` against an independent reader, on thousands of damaged logs.

The reader here is the regular expression of the format's description and unbounded integers; pmt's is written by hand
in C. Both must refuse the same logs, and read the same figures from the others. Damage is random but always the same.
"""
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("PMT_BUILD", HERE.parent.parent / "build")).resolve()
ROUNDS = 1500  # damaged copies of each file of the corpus
BATCH = 500    # files given to one pmt

HEADER = re.compile(rb"\s+" + rb"\s+".join(rb"Event dEvent Clock What File #line Function RSS dRSS".split()) + rb"\s*")
ROW = re.compile(rb"(NEXT|PREV): (\d+)\s+\+(\d+)\s+([\d.]+)\s+(\w+)\s+(.*?)\s*#\s*(-?\d+) (.+?)\s+(\d+)\s+(-?\d+)"
                 rb"(?:\s+thread=(\d+))?")
MSG = re.compile(rb"(MSG):  \s*(\d+)\s+\+(\d+)\s+([\d.]+)\s+#(.*)")
CLOCK = re.compile(rb"\d+(\.\d*)?")
LIMIT = 2 ** 63


class Refused(Exception):
    pass


def split_lines(data):
    """Whole lines, and the size of what is cut behind them; NULs are allowed at the very end only."""
    whole, nul, rest = data.partition(b"\0")
    if rest.strip(b"\0"):
        raise Refused("NUL inside")
    lines = whole.split(b"\n")
    return lines[:-1], len(lines[-1]), len(nul) + len(rest)


def parse(line):
    match = ROW.fullmatch(line) or MSG.fullmatch(line)
    if not match or not CLOCK.fullmatch(match[4]) or int(match[4].split(b".")[0]) > (LIMIT - 1) // 10 ** 6 - 1:
        raise Refused(line)
    numbers = [int(match[i]) for i in (2, 3)]
    if match[1] != b"MSG":
        numbers += [int(match[i] or 0) for i in (7, 9, 10, 11)]
    if any(abs(number) >= LIMIT for number in numbers):
        raise Refused("too large")
    return match


def unescape(name):
    return re.sub(rb"\\x([0-9a-fA-F]{2})", lambda m: bytes([int(m[1], 16)]), name)


class Sums:
    def __init__(self):
        self.places, self.rose, self.fell = {}, 0, 0

    def move(self, place, change):
        if change:
            sums = self.places.setdefault(place, [0, 0])
            sums[change < 0] += abs(change)
        self.rose += max(change, 0)
        self.fell += max(-change, 0)
        if max(self.rose, self.fell) >= 2 ** 64:
            raise Refused("sums")


def summarise(data):
    """The figures of a log; Refused if it is none."""
    lines, cut, nuls = split_lines(data)
    if not lines or not HEADER.fullmatch(lines[0]):
        raise Refused("header")
    counts, sums, rss, event, highest = {"NEXT": 0, "PREV": 0, "MSG": 0}, Sums(), None, None, 0
    first = None
    for line in lines[1:]:
        match = parse(line)
        counts[match[1].decode()] += 1
        if match[1] == b"MSG":
            continue
        number, value, own = int(match[2]), int(match[9]), int(match[10])
        place = (unescape(match[8]), unescape(match[6]), int(match[7]))
        if event is None:
            first = value
        elif number < event or (number == event and value != rss):
            raise Refused("event number")
        else:
            change = value - rss
            if number <= event + 1:
                own = change
            elif not -LIMIT <= change - own < LIMIT:
                raise Refused("sums")
            sums.move(None, change - own)
            sums.move(place, own)
        event, rss, highest = number, value, max(highest, value)
    return {"rows": counts, "cut": cut, "nuls": nuls, "rss": [first, rss, highest if event is not None else None],
            "events": 0 if event is None else event + 1, "total": [sums.rose, sums.fell],
            "rose": sorted((p, s[0]) for p, s in tidy(sums.places) if s[0]),
            "fell": sorted((p, s[1]) for p, s in tidy(sums.places) if s[1])}


def tidy(places):
    return [((b"(between logged rows)",) if place is None else place, sums) for place, sums in places.items()]


def place_of(site):
    if site["file"] is None:
        return (b"(between logged rows)",)
    return tuple(site[key].encode("utf-8", "surrogateescape") for key in ("function", "file")) + (site["line"],)


def figures_of(report):
    """The same of a report of pmt."""
    return {"rows": {key.upper(): value for key, value in report["rows"].items()}, "cut": report["cut_bytes"],
            "nuls": report["nul_bytes"], "rss": [report["rss"][key] for key in ("first", "last", "max")],
            "events": report["events"], "total": [report["total"]["rose"], report["total"]["fell"]],
            "rose": sorted((place_of(site), site["bytes"]) for site in report["rose"]),
            "fell": sorted((place_of(site), site["bytes"]) for site in report["fell"])}


def damage(data, rng):
    """One to three faults."""
    lines = data.splitlines(keepends=True)
    for _ in range(rng.randint(1, 3)):
        data = bytearray(b"".join(lines))
        at = rng.randrange(len(data) or 1)
        fault = rng.randrange(8)
        if fault == 0:
            del data[at:]
        elif fault == 1 and data:
            data[at] ^= 1 << rng.randrange(8)
        elif fault == 2:
            data[at:at + 1] = rng.choice((b" ", b"#", b"  ", b"\t", b"\\x41", b"\0", b"\n", b"-", b"+", b".", b"thread=1"))
        elif fault == 3:
            data += bytes(rng.randrange(3)) + rng.choice((b"", b"NEXT", b"\n"))
        elif fault == 4:
            del data[at:at + rng.randrange(40)]
        lines = bytes(data).splitlines(keepends=True)
        if fault == 5 and lines:
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
        elif fault == 6 and lines:
            del lines[rng.randrange(len(lines))]
        elif fault == 7 and lines:
            number = rng.choice((b"0", b"-1", b"7", b"9223372036854775807", b"9223372036854775808", b"18446744073709551616"))
            row = rng.randrange(len(lines))
            words = list(re.finditer(rb"-?\d+", lines[row]))
            if words:
                word = rng.choice(words)
                lines[row] = lines[row][:word.start()] + number + lines[row][word.end():]
    return b"".join(lines)


def run_pmt(paths):
    """{path: report, or None where it was refused}"""
    done = subprocess.run([BUILD / "pmt", "log", "--json", *paths], capture_output=True, timeout=300)
    if done.returncode not in (0, 1):
        raise SystemExit(f"pmt log: status {done.returncode}\n{done.stderr.decode(errors='replace')[-4000:]}")
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    found = {report["file"]: report for report in reports}
    refused = [line for line in done.stderr.decode(errors="replace").splitlines()]
    if len(refused) + len(reports) != len(paths) or bool(refused) != (done.returncode == 1):
        raise SystemExit(f"{len(paths)} logs, {len(reports)} reports and {len(refused)} lines on stderr, "
                         f"status {done.returncode}")
    return {path: found.get(path) for path in paths}


def expected(data):
    try:
        return summarise(data)
    except Refused:
        return None


def check_batch(batch, folder):
    """How many were accepted and refused; a difference ends the test with the log that shows it."""
    for path, data in batch.items():
        pathlib.Path(path).write_bytes(data)
    reports = run_pmt(list(batch))
    for path, data in batch.items():
        wanted, report = expected(data), reports[path]
        got = None if report is None else figures_of(report)
        if wanted != got:
            print(f"FAIL: for these bytes\n{data!r}\nwanted {wanted}\ngot    {got}")
            print("0 passed, 1 failed, 0 skipped")
            sys.exit(1)
        os.unlink(path)
    accepted = sum(report is not None for report in reports.values())
    return accepted, len(batch) - accepted


def main():
    rng = random.Random(20)
    accepted = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        for source in sorted((HERE / "log").iterdir()):
            data = source.read_bytes()
            copies = [data] + [damage(data, rng) for _ in range(ROUNDS)]
            for start in range(0, len(copies), BATCH):
                batch = {f"{folder}/{i}": copy for i, copy in enumerate(copies[start:start + BATCH])}
                counts = check_batch(batch, folder)
                accepted, refused = accepted + counts[0], refused + counts[1]
    print(f"{accepted} damaged logs were still logs, {refused} were refused, by both readers")
    is_good = accepted > ROUNDS / 10 and refused > ROUNDS / 10
    print("1 passed, 0 failed, 0 skipped" if is_good else "0 passed, 1 failed, 0 skipped")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
