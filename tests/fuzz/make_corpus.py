#!/usr/bin/env python3
"""Makes the corpus tests/fuzz/capture: captures in the compact form that fuzz_capture.c reads.

  make_corpus.py [FOLDER]    what is there under the same names is replaced
"""
import pathlib
import re
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
import make_capture  # noqa: E402  (a neighbour)

PROCESS = "process pid=4242 parent=4200 start=1700000000 time=1.25 ended=exit status=0 python=3.11.7 cwd=/srv\n"
SITES = ("native live=500/3 peak=700 total=1000/10 temp=2\n"
         "site live=100/2 peak=300 total=500/9 temp=1 /lib/python3.11/json/decoder.py:353:raw_decode /srv/app.py:3:f@2\n"
         "site live=7/1 peak=7 total=7/1 label=a%0a owner=native /srv/app.py:4:f@2 ...\n")
CAPTURES = {
    "small": PROCESS + "argv python app.py\n" + SITES,
    "snapshots": PROCESS + SITES + "snapshot growth time=0.5 name=early held=3:50/1\nsnapshot exit time=1.2\n"
                                   "snapshot fork held=0:1/1,4:2/2\n",
    "marks": PROCESS + SITES + "mark point one time=0.1 memory=5\nmark label_begin a time=0.2 thread=7\n"
                               "mark label_end a time=0.3 thread=7\nsnapshot exit\n",
    "other": PROCESS + SITES + "other live=9/9 peak=9 total=9/9\nstate lost_sites 3\nmeta sites sample\n",
    "running": PROCESS.replace("ended=exit", "ended=running") + SITES + "stale bad\n",
    "first": PROCESS.replace("time=1.25", "time=1.25 sequence=1") + SITES,
    "extents": PROCESS + "site f.py:1:g\n" * 253 + "site live=5/1 peak=5 total=5/1 f.py:2:g\n",
}


def compact(data):
    """(offset, size, bytes) of every part between runs of 16 zeros."""
    parts = [(match.start(), match[0]) for match in re.finditer(rb"(?:(?!\0{16}).)+", data, re.S)]
    return b"".join(struct.pack("<II", offset, len(part)) + part for offset, part in parts)


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else HERE / "capture")
    folder.mkdir(exist_ok=True)
    for name, text in CAPTURES.items():
        (folder / name).write_bytes(compact(make_capture.build(text.splitlines()).bytes()))


if __name__ == "__main__":
    main()
