#!/usr/bin/env python3
"""`pmt report` on captures that are cut at every byte, and with random bits changed.

What a capture holds is known here, from its making. A report of the damaged file must give the same totals, or warn, or
the file must be refused: never a wrong number without a word. What was cut off behind the last byte that is needed must
change nothing at all.
"""
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
import make_capture  # noqa: E402  (a neighbour)

BUILD = pathlib.Path(os.environ.get("PMT_BUILD", HERE.parent.parent / "build")).resolve()
BATCH = 400    # files given to one pmt
FLIPPED = 6000  # files with changed bits
ALONE = 300    # of them read one by one: their sites are added up here
TEXT = """
process pid=4242 parent=4200 start=1700000000 time=1.25 ended=exit status=0 python=3.11.7 cwd=/srv
argv python app.py
native live=500/3 peak=700 total=1000/10 temp=2
site live=100/2 peak=300 total=500/9 temp=1 /lib/python3.11/json/decoder.py:353:raw_decode /srv/app.py:3:f@2
site live=70/1 peak=7 total=77/1 label=a owner=native /srv/app.py:4:f@2 ...
site live=9000/40 peak=90 total=9999/50 temp=3 /srv/app.py:5:g@2
snapshot growth time=0.5 name=early held=3:50/1
snapshot exit time=1.2 held=0:400/2,3:90/1,5:8000/39
mark point one time=0.1 memory=5
"""
TOTALS = {"live_bytes": 8490, "live_blocks": 42, "peak_bytes": 1097, "total_bytes": 11576, "total_blocks": 70,
          "temporary_blocks": 6, "python_live_bytes": 8090, "native_live_bytes": 400}


def fail(path, text):
    kept = pathlib.Path(tempfile.gettempdir()) / "pmt-damaged.pmt"
    kept.write_bytes(pathlib.Path(path).read_bytes())
    print(f"FAIL: {text}\n      the file is kept: {kept}\n0 passed, 1 failed, 0 skipped")
    sys.exit(1)


def report(paths):
    """({path: its entry of the report, or None where it was refused}, the whole report)"""
    done = subprocess.run([BUILD / "pmt", "report", "--json", *paths], capture_output=True, timeout=300)
    refused = done.stderr.decode(errors="replace").splitlines()
    if done.returncode not in (0, 1) or bool(refused) != (done.returncode == 1):
        fail(paths[0], f"status {done.returncode}: {refused[:5]}")
    whole = json.loads(done.stdout) if done.stdout else {"processes": []}
    found = {entry["file"]: entry for entry in whole["processes"]}
    if len(found) + len(refused) != len(paths):
        fail(paths[0], f"{len(paths)} files, {len(found)} reports, {len(refused)} refused: {refused[:5]}")
    return {path: found.get(path) for path in paths}, whole


def is_right(entry):
    return all(entry["totals"][name] == value for name, value in TOTALS.items())


def check_entry(path, entry, must_be_whole=False):
    """refused, right or warned; anything else ends the test."""
    if must_be_whole and (entry is None or entry["warnings"] or not is_right(entry)):
        fail(path, f"nothing that is needed is missing, but {entry}")
    if entry is None:
        return "refused"
    if entry["warnings"]:
        return "warned"
    if not is_right(entry):
        fail(path, f"a wrong total without a word: {entry['totals']}")
    return "right"


def check_files(folder, files, whole_from=None):
    """Counts of outcomes of (name, bytes)."""
    counts = {"refused": 0, "right": 0, "warned": 0}
    files = list(files)
    for start in range(0, len(files), BATCH):
        paths = {}
        for name, data in files[start:start + BATCH]:
            path = f"{folder}/{name}"
            pathlib.Path(path).write_bytes(data())
            paths[path] = name
        for path, entry in report(list(paths))[0].items():
            is_whole = whole_from is not None and paths[path] >= whole_from
            counts[check_entry(path, entry, is_whole)] += 1
            os.unlink(path)
    return counts


def needed_size(capture):
    """Of the file, up to the last byte of a stream."""
    last = [data for data in capture.streams().values() if data][-1]
    used = len(last) % make_capture.PAYLOAD + make_capture.EXTENT_HEAD.size
    return len(capture.bytes()) - make_capture.EXTENT_SIZE + used


def cuts(data):
    """Every byte of what is used; of the zeros between, some."""
    parts = range(make_capture.HEADER_SIZE, len(data), make_capture.EXTENT_SIZE)
    used = set(range(make_capture.HEADER_SIZE))
    for start in parts:
        used.update(range(start, start + len(data[start:start + make_capture.EXTENT_SIZE].rstrip(b"\0")) + 40))
    used.update(range(0, len(data) + 1, 97))
    return sorted(used)


def used_bytes(data):
    return [at for at, byte in enumerate(data) if byte or any(data[max(at - 8, 0):at + 8])]


def flip(data, places, rng):
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        changed[rng.choice(places)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def repair(data):
    """The same with right checksums."""
    data = bytearray(data)
    for at in (make_capture.STATE_AT, 2 * make_capture.STATE_AT):
        size = struct.calcsize("<" + "".join(make_capture.STATE.values()))
        if any(data[at:at + size]):
            struct.pack_into("<Q", data, at + size, make_capture.checksum(data[at:at + size]))
    return bytes(data)


def check_alone(path, data):
    """The sites add up to the totals, or there is a warning."""
    pathlib.Path(path).write_bytes(data)
    entries, whole = report([path])
    if entries[path] and not whole["warnings"]:
        for name in ("live_bytes", "live_blocks", "peak_bytes", "total_bytes", "total_blocks", "temporary_blocks"):
            total = sum(site[name] for site in whole["sites"])
            if total != whole["totals"][name]:
                fail(path, f"{name}: {total} over the sites, {whole['totals'][name]} in total, and no warning")


def main():
    rng = random.Random(5)
    capture = make_capture.build(TEXT.splitlines())
    data = capture.bytes()
    places = used_bytes(data)
    with tempfile.TemporaryDirectory() as folder:
        entry = report_of = check_files(folder, [("whole", lambda: data)])
        if entry["right"] != 1:
            fail(folder, f"the undamaged file: {report_of}")
        cut = check_files(folder, ((f"{size:09}", lambda size=size: data[:size]) for size in cuts(data)),
                          f"{needed_size(capture):09}")
        flipped = check_files(folder, ((f"{n:09}", lambda: flip(data, places, rng)) for n in range(FLIPPED)))
        for _ in range(ALONE):
            check_alone(f"{folder}/alone", repair(flip(data, places, rng)))
    print(f"cut: {cut}\nbits changed: {flipped}")
    is_good = cut["refused"] and flipped["refused"] and flipped["warned"] and flipped["right"]
    print("1 passed, 0 failed, 0 skipped" if is_good else "0 passed, 1 failed, 0 skipped")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
