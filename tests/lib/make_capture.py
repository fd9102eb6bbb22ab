#!/usr/bin/env python3
"""Writes captures (.pmt) by the letter of preload/format.h, independently of pmt: for tests of what reads them.

As a module: class Capture. As a program it reads one record a line and writes the capture to stdout:

  process pid=4242 parent=4200 start=1700000000.5 time=1.25 ended=exit status=0 python=3.11.7 cwd=/srv/app sequence=2
  argv python app.py               words as in a shell; %20 and the like are bytes, here and in every name
  meta KEY TEXT                    any other line of META
  native live=BYTES/BLOCKS ...     site 0; `python` is site 1, `other` is site 2. Figures as for `site`
  site live=25/3 peak=30 total=99/9 temp=4 owner=python label=NAME  b.py:7:inner@5 a.py:11:outer ...
                                   innermost frame first, FILE:LINE:FUNCTION@FIRST_LINE; "..." as the last: cut off.
                                   sequence=N: of the state that it was written for; peak_sequence is 1
  snapshot KIND time=1 rss=4096 name=TEXT held=SITE:BYTES/BLOCKS,...      held=all: what the sites above hold
  mark KIND NAME time=1 memory=5 thread=0
  header FIELD VALUE; state FIELD VALUE      in place of what would be right; the checksum still is
  poke STREAM OFFSET HEX           bytes of a stream that are other than they should be
  length STREAM BYTES              in the state
  drop STREAM INDEX; twice STREAM INDEX      an extent that is not there, or there two times
  stale TEXT                       the state of the tick before: its live figures are 0, and its checksum is wrong with
                                   "bad", and the slot is empty with "empty"
"""
import os
import shlex
import struct
import sys
from urllib.parse import unquote_to_bytes

MAGIC, ENDIAN, VERSION = b"PMTCAPT\n", 0x01020304, 1
HEADER_SIZE, STATE_AT, EXTENT_SIZE = 4096, 1024, 16384
EXTENT_HEAD = struct.Struct("<IIII48x")
PAYLOAD = EXTENT_SIZE - EXTENT_HEAD.size
EXTENT_MAGIC = 0x58544D50
NONE = 0xFFFFFFFF
STREAMS = ("meta", "strings", "functions", "nodes", "sites_a", "sites_b", "snapshots", "marks")
HEADER = {"magic": "8s", "endian": "I", "version": "I", "header_size": "I", "extent_size": "I", "features": "Q",
          "page_size": "I", "pid": "I", "parent_pid": "I", "unused": "I", "start_unix_ns": "q"}
OWNER = ("live_bytes", "live_blocks", "total_bytes", "total_blocks", "temporary_blocks")
LOST = ("sites", "nodes", "functions", "strings", "marks", "snapshots")
STATE = dict({"sequence": "Q", "time_ns": "q", "cpu_ns": "q", "ended": "i", "exit_status": "i", "sites_stream": "I",
              "exit_snapshot": "I"},
             **{f"length_{name}": "Q" for name in STREAMS},
             **{f"{owner}_{name}": "q" for owner in ("native", "python") for name in OWNER},
             **dict.fromkeys(("peak_bytes", "peak_time_ns", "peak_error_bytes", "peak_sequence", "inherited_bytes",
                              "inherited_blocks", "mapped_bytes", "mapped_regions", "break_bytes", "rss_bytes", "rss_peak_bytes"), "q"),
             **{f"lost_{name}": "Q" for name in LOST})
FUNCTION, NODE = struct.Struct("<IIiI"), struct.Struct("<IIiI")
SITE, HELD = struct.Struct("<IIIIqqqQQQ"), struct.Struct("<IIqq")
SNAPSHOT, MARK = struct.Struct("<IIqqqqqqQ"), struct.Struct("<IIqqq")
ENDED = ("running", "exit", "exec")
SNAPSHOTS = ("exit", "growth", "fork", "asked")
MARKS = ("point", "label_begin", "label_end")
OWNERS = ("native", "python")
SECOND = 10 ** 9


def checksum(data):
    """FNV-1a, 64 bits."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return value


def pack(layout, values):
    return struct.pack("<" + "".join(layout.values()), *(values[name] for name in layout))


def escape(text):
    return text.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")


class Capture:
    """What a capture says, and its bytes. Figures of a site: live_bytes, live_blocks, peak_bytes, total_bytes,
    total_blocks, temporary_blocks, as in the record."""

    def __init__(self, pid=4242, parent=4200, start=1700000000.0, features=3):
        self.header = {"magic": MAGIC, "endian": ENDIAN, "version": VERSION, "header_size": HEADER_SIZE,
                       "extent_size": EXTENT_SIZE, "features": features, "page_size": 4096, "pid": pid,
                       "parent_pid": parent, "unused": 0, "start_unix_ns": round(start * SECOND)}
        self.meta, self.strings, self.string_ids = [], bytearray(), {}
        self.functions, self.nodes = {}, {(0, NONE, 0): 0, (0, NONE, -1): 1}
        self.sites = [self.new_site(0, None, owner) for owner in (0, 1, 0)]
        self.snapshots, self.marks = [], []
        self.state = {"sequence": 2, "time_ns": SECOND, "cpu_ns": SECOND // 2, "exit_status": -1, "rss_bytes": 50 << 20,
                      "rss_peak_bytes": 60 << 20, "peak_sequence": 1}
        self.stale = None
        self.pokes, self.lengths, self.dropped, self.doubled = [], {}, set(), set()

    @staticmethod
    def new_site(node, label, owner):
        return {"node": node, "label": NONE if label is None else label, "owner": owner, "sequence": 1,
                "live_bytes": 0, "live_blocks": 0, "peak_bytes": 0, "total_bytes": 0, "total_blocks": 0, "temporary_blocks": 0}

    # --- entering; all return the ID

    def string(self, text):
        if text is None:
            return NONE
        text = os.fsencode(text)
        if text not in self.string_ids:
            self.string_ids[text] = len(self.strings)
            self.strings += struct.pack("<I", len(text)) + text
        return self.string_ids[text]

    def function(self, file, name, first_line=1):
        return self.functions.setdefault((self.string(file), self.string(name), first_line, 0), len(self.functions))

    def node(self, parent, function, line):
        return self.nodes.setdefault((parent, function, line), len(self.nodes))

    def stack(self, frames, is_cut=False):
        """The node of frames (file, line, function, first line), innermost first."""
        node = 1 if is_cut else 0
        for file, line, name, first_line in reversed(list(frames)):
            node = self.node(node, self.function(file, name, first_line), line)
        return node

    def site(self, node, owner=1, label=None, **figures):
        self.sites.append(dict(self.new_site(node, self.string(label), owner), **figures))
        return len(self.sites) - 1

    def snapshot(self, kind, held, name=None, time=1.0, rss=50 << 20):
        """`held`: {site: (bytes, blocks)}"""
        live = [[sum(amount[what] for site, amount in held.items() if self.sites[site]["owner"] == owner)
                 for owner in (0, 1)] for what in (0, 1)]
        record = SNAPSHOT.pack(SNAPSHOTS.index(kind), self.string(name), round(time * SECOND), rss, *live[0], *live[1],
                               len(held))
        self.snapshots.append(record + b"".join(HELD.pack(site, 0, *amount) for site, amount in sorted(held.items())))
        if kind == "exit":
            self.state["exit_snapshot"] = len(self.snapshots)
        return len(self.snapshots) - 1

    def held(self):
        """What the sites hold now."""
        return {number: (site["live_bytes"], site["live_blocks"]) for number, site in enumerate(self.sites)
                if site["live_bytes"] or site["live_blocks"]}

    def mark(self, kind, name, time=1.0, memory=0, thread=0):
        self.marks.append(MARK.pack(MARKS.index(kind), self.string(name), round(time * SECOND), memory, thread))

    def is_untouched(self, site):
        """Since the peak."""
        return (site["sequence"] - self.state["peak_sequence"]) >> 31 & 1

    # --- bytes

    def streams(self):
        """{name: bytes}; the sites are in the stream that the state names."""
        nodes = b"".join(NODE.pack(parent, function, max(line, 0), 0) for parent, function, line in self.nodes)
        sites = b"".join(SITE.pack(*site.values()) for site in self.sites)
        streams = {"meta": b"".join(b"%s=%s\n" % (key, escape(value)) for key, value in self.meta),
                   "strings": bytes(self.strings), "functions": b"".join(FUNCTION.pack(*f) for f in self.functions),
                   "nodes": nodes, "sites_a": b"", "sites_b": b"", "snapshots": b"".join(self.snapshots),
                   "marks": b"".join(self.marks)}
        streams[STREAMS[self.sites_stream()]] = sites
        return streams

    def sites_stream(self):
        return self.state.get("sites_stream", 4 + self.state["sequence"] % 2)

    def state_bytes(self, streams, **changes):
        values = dict.fromkeys(STATE, 0)
        for number, owner in enumerate(OWNERS):
            for name in OWNER:
                values[f"{owner}_{name}"] = sum(site[name] for site in self.sites if site["owner"] == number)
        values["peak_bytes"] = sum(site["live_bytes" if self.is_untouched(site) else "peak_bytes"] for site in self.sites)
        values.update({f"length_{name}": len(data) for name, data in streams.items()})
        values.update({f"length_{name}": length for name, length in self.lengths.items()})
        values.update(self.state, sites_stream=self.sites_stream())
        values.update(changes)
        data = pack(STATE, values)
        return data + struct.pack("<Q", checksum(data))

    def stale_state(self, streams):
        """The other slot: the tick before this one."""
        data = self.state_bytes(streams, sequence=self.state["sequence"] - 1, sites_stream=9 - self.sites_stream(),
                                exit_snapshot=0, **{f"length_{name}": 0 for name in STREAMS},
                                **{f"{owner}_{name}": 0 for owner in OWNERS for name in OWNER})
        if self.stale == "bad":
            data = data[:-1] + bytes([data[-1] ^ 1])
        return b"" if self.stale == "empty" or self.state["sequence"] < 2 else data

    def head_bytes(self, streams):
        """The header with both states: state N is in slot N % 2."""
        data = bytearray(HEADER_SIZE)
        head = pack(HEADER, self.header)
        data[:len(head)] = head
        slot = self.state["sequence"] % 2
        for number, state in ((slot, self.state_bytes(streams)), (1 - slot, self.stale_state(streams))):
            data[STATE_AT * (1 + number):STATE_AT * (1 + number) + len(state)] = state
        return bytes(data)

    def bytes(self):
        streams = self.streams()
        changed = {name: bytearray(data) for name, data in streams.items()}
        for name, offset, data in self.pokes:
            changed[name][offset:offset + len(data)] = data
        extents = []
        for number, name in enumerate(STREAMS):
            for index in range(-(-len(changed[name]) // PAYLOAD)):
                payload = bytes(changed[name][index * PAYLOAD:(index + 1) * PAYLOAD])
                extent = EXTENT_HEAD.pack(EXTENT_MAGIC, number, index, 0) + payload.ljust(PAYLOAD, b"\0")
                extents += [extent] * ((name, index) not in self.dropped) + [extent] * ((name, index) in self.doubled)
        return self.head_bytes(streams) + b"".join(extents)

    def write(self, path):
        with open(path, "wb") as file:
            file.write(self.bytes())


# --- the language of the program

FIGURES = {"live": ("live_bytes", "live_blocks"), "peak": ("peak_bytes",), "total": ("total_bytes", "total_blocks"),
           "temp": ("temporary_blocks",), "sequence": ("sequence",)}


def options(words):
    """({name: value}, the rest) of words NAME=VALUE"""
    found = dict(word.split("=", 1) for word in words if "=" in word)
    return found, [word for word in words if "=" not in word]


def amounts(text):
    return [int(part) for part in text.split("/")]


def name_of(text):
    return unquote_to_bytes(text) if text is not None else None


def frame_of(word):
    """FILE:LINE:FUNCTION@FIRST_LINE"""
    file, line, name = word.split(":", 2)
    name, _, first = name.rpartition("@") if "@" in name else (name, "", "1")
    return name_of(file) or None, int(line), name_of(name) or None, int(first)


def figures_of(given):
    return {field: value for name, fields in FIGURES.items() if name in given
            for field, value in zip(fields, amounts(given[name]))}


class Builder:
    """A method for each word that may start a line."""

    def __init__(self):
        self.capture = Capture()

    def process(self, words):
        given, _ = options(words)
        header, state, meta = self.capture.header, self.capture.state, self.capture.meta
        for name, (place, key, make) in {
                "pid": (header, "pid", int), "parent": (header, "parent_pid", int),
                "start": (header, "start_unix_ns", lambda text: round(float(text) * SECOND)),
                "time": (state, "time_ns", lambda text: round(float(text) * SECOND)),
                "cpu": (state, "cpu_ns", lambda text: round(float(text) * SECOND)),
                "ended": (state, "ended", ENDED.index), "status": (state, "exit_status", int),
                "sequence": (state, "sequence", int)}.items():
            if name in given:
                place[key] = make(given.pop(name))
        meta += [(name.encode(), name_of(value)) for name, value in given.items()]

    def argv(self, words):
        self.capture.meta += [(b"argv", name_of(word)) for word in words]

    def meta(self, words):
        self.capture.meta.append((name_of(words[0]), name_of(" ".join(words[1:]))))

    def native(self, words):
        self.capture.sites[0].update(figures_of(options(words)[0]))

    def python(self, words):
        self.capture.sites[1].update(figures_of(options(words)[0]))

    def other(self, words):
        self.capture.sites[2].update(figures_of(options(words)[0]))

    def site(self, words):
        given = dict(word.split("=", 1) for word in words if word.split("=")[0] in (*FIGURES, "owner", "label"))
        frames = [word for word in words if word.split("=")[0] not in (*FIGURES, "owner", "label")]
        is_cut = frames[-1:] == ["..."]
        node = self.capture.stack([frame_of(word) for word in (frames[:-1] if is_cut else frames)], is_cut)
        self.capture.site(node, OWNERS.index(given.get("owner", "python")), name_of(given.get("label")),
                          **figures_of(given))

    def snapshot(self, words):
        given, rest = options(words)
        held = self.capture.held()
        if given.get("held", "all") != "all":
            held = {int(word.split(":")[0]): tuple(amounts(word.split(":")[1])) for word in given["held"].split(",")}
        self.capture.snapshot(rest[0], held, name_of(given.get("name")), float(given.get("time", 1)),
                              int(given.get("rss", 50 << 20)))

    def mark(self, words):
        given, rest = options(words)
        self.capture.mark(rest[0], name_of(rest[1]), float(given.get("time", 1)), int(given.get("memory", 0)),
                          int(given.get("thread", 0)))

    def header(self, words):
        self.capture.header[words[0]] = name_of(words[1]) if words[0] == "magic" else int(words[1], 0)

    def state(self, words):
        self.capture.state[words[0]] = int(words[1], 0)

    def poke(self, words):
        self.capture.pokes.append((words[0], int(words[1], 0), bytes.fromhex(words[2])))

    def length(self, words):
        self.capture.lengths[words[0]] = int(words[1], 0)

    def drop(self, words):
        self.capture.dropped.add((words[0], int(words[1])))

    def twice(self, words):
        self.capture.doubled.add((words[0], int(words[1])))

    def stale(self, words):
        self.capture.stale = words[0]


def build(lines):
    builder = Builder()
    for line in lines:
        words = shlex.split(line, comments=True)
        if words:
            getattr(builder, words[0])(words[1:])
    return builder.capture


if __name__ == "__main__":
    sys.stdout.buffer.write(build(sys.stdin).bytes())
