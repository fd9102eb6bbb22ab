"""Reads a capture by the letter of preload/FORMAT.md, independently of tools/read.c, and as strictly as possible: for
tests. read(path) returns a Capture; check_sums(capture) checks that it adds up.
"""
import collections
import os
import struct
from types import SimpleNamespace

MAGIC, ENDIAN, VERSION = b"PMTCAPT\n", 0x01020304, 1
HEADER_SIZE, STATE_AT, EXTENT_SIZE, HEAD_SIZE = 4096, 1024, 16384, 64
EXTENT_MAGIC = 0x58544D50
FEATURE_SITES, FEATURE_PYTHON = 1, 2
META, STRINGS, FUNCTIONS, NODES, SITES_A, SITES_B, SNAPSHOTS, MARKS, STREAMS = range(9)
RUNNING, EXIT, EXEC = range(3)
ENDED = {RUNNING: "running", EXIT: "exit", EXEC: "exec"}
SNAPSHOT_KINDS = {0: "exit", 1: "growth", 2: "fork", 3: "asked"}
MARK_KINDS = {0: "point", 1: "begin", 2: "end"}
NONE = 0xFFFFFFFF
ROOT, CUT = 0, 1
OWNERS = {0: "native", 1: "python"}

HEADER = struct.Struct("<8sIIIIQIIIIq")
HEADER_FIELDS = "magic endian version header_size extent_size features page_size pid parent_pid unused start_unix_ns"
STATE = struct.Struct("<QqqiiII8Q10q3qQ2q3q2q6QQ")
TOTALS = "live_bytes live_blocks total_bytes total_blocks temporary_blocks"
STATE_FIELDS = (
    "sequence time_ns cpu_ns ended exit_status sites_stream exit_snapshot".split()
    + ["length_%d" % stream for stream in range(STREAMS)]
    + ["%s_%s" % (owner, field) for owner in ("native", "python") for field in TOTALS.split()]
    + "peak_bytes peak_time_ns peak_error_bytes peak_sequence inherited_bytes inherited_blocks mapped_bytes".split()
    + "mapped_regions break_bytes rss_bytes rss_peak_bytes lost_sites lost_nodes lost_functions lost_strings".split()
    + "lost_marks lost_snapshots checksum".split())
FUNCTION, NODE, SITE = struct.Struct("<IIiI"), struct.Struct("<IIiI"), struct.Struct("<IIII3q3Q")
SNAPSHOT, HELD, MARK = struct.Struct("<IIqq2q2qQ"), struct.Struct("<IIqq"), struct.Struct("<IIqqq")

Function = collections.namedtuple("Function", "file name first_line")
# stack: of Frames, innermost first; is_cut: outer frames are missing. label: text or None. peak_bytes: by the rule.
Frame = collections.namedtuple("Frame", "file line function")
Site = collections.namedtuple("Site", "id stack is_cut label owner live_bytes live_blocks peak_bytes total_bytes "
                                      "total_blocks temporary_blocks")
# held: (bytes, blocks) by site ID. live_bytes, live_blocks: native and Python.
Snapshot = collections.namedtuple("Snapshot", "kind name time_ns rss_bytes live_bytes live_blocks held")
Mark = collections.namedtuple("Mark", "kind name time_ns memory thread")
# meta: for each key the list of its values. header, state: all fields as they are. totals: of both owners together.
# ended: a word. exit_snapshot: the Snapshot that the state names, or None.
Capture = collections.namedtuple("Capture", "path header state meta totals ended functions sites snapshots marks "
                                            "exit_snapshot")


class Bad(AssertionError):
    """The file is not a capture by the letter of FORMAT.md."""


class Unfinished(Bad):
    """No state is valid: the process was killed while it made the file."""


def need(condition, message, *values):
    if not condition:
        raise Bad(message % values if values else message)


def checksum(data):
    """FNV-1a, 64 bits."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def parse_header(data):
    if data.strip(b"\0") == b"":
        raise Unfinished("no header")
    need(len(data) >= HEADER_SIZE, "a file of %d bytes has no header", len(data))
    header = SimpleNamespace(**dict(zip(HEADER_FIELDS.split(), HEADER.unpack_from(data))))
    need(header.magic == MAGIC, "magic %r", header.magic)
    need(header.endian == ENDIAN, "endianness %#x", header.endian)
    need(header.version == VERSION, "version %d", header.version)
    need((header.header_size, header.extent_size) == (HEADER_SIZE, EXTENT_SIZE), "sizes %d and %d",
         header.header_size, header.extent_size)
    need(header.features & ~3 == 0, "features %#x", header.features)
    return header


def parse_states(data):
    """The valid states, newest first."""
    found = []
    for slot in (0, 1):
        raw = data[STATE_AT * (1 + slot):][:STATE.size]
        state = SimpleNamespace(**dict(zip(STATE_FIELDS, STATE.unpack(raw))))
        if checksum(raw[:-8]) != state.checksum:
            continue
        need(state.sequence % 2 == slot, "state %d is in slot %d", state.sequence, slot)
        found.append(state)
    if not found:
        raise Unfinished("no valid state")
    return sorted(found, key=lambda state: -state.sequence)


def gather_streams(data, lengths):
    """The bytes of each stream, as many as its length says; extents of a stream are numbered without a gap."""
    extents = {}
    for at in range(HEADER_SIZE, len(data) - HEAD_SIZE + 1, EXTENT_SIZE):
        magic, stream, index, _ = struct.unpack_from("<IIII", data, at)
        if magic == 0:
            continue
        need(magic == EXTENT_MAGIC and stream < STREAMS, "a head %#x, stream %d at %d", magic, stream, at)
        need((stream, index) not in extents, "extent %d of stream %d is there twice", index, stream)
        extents[stream, index] = at
    streams, payload = [], EXTENT_SIZE - HEAD_SIZE
    for stream, length in enumerate(lengths):
        parts = []
        for index in range(-(-length // payload)):
            need((stream, index) in extents, "extent %d of stream %d is missing", index, stream)
            at = extents[stream, index] + HEAD_SIZE
            parts.append(data[at:at + payload])
        whole = b"".join(parts)[:length]
        need(len(whole) == length, "stream %d has %d of %d bytes", stream, len(whole), length)
        streams.append(whole)
    return streams


def unescape(text):
    parts = text.split("\\\\")
    return "\\".join(part.replace("\\n", "\n") for part in parts)


def parse_meta(data):
    meta = collections.defaultdict(list)
    text = data.decode("utf-8", "surrogateescape")
    need(text.endswith("\n"), "the last line of meta is cut: %r", text[-80:])
    for line in text[:-1].split("\n"):
        key, equals, value = line.partition("=")
        need(equals and key, "a line of meta: %r", line)
        meta[key].append(unescape(value))
    return dict(meta)


class Strings:
    """Names by their offset."""

    def __init__(self, data):
        self.data, self.known = data, {}

    def get(self, offset):
        if offset == NONE:
            return ""
        if offset not in self.known:
            need(offset + 4 <= len(self.data), "a string at %d of %d", offset, len(self.data))
            (size,) = struct.unpack_from("<I", self.data, offset)
            need(offset + 4 + size <= len(self.data), "a string of %d bytes at %d of %d", size, offset, len(self.data))
            self.known[offset] = self.data[offset + 4:offset + 4 + size].decode("utf-8", "surrogateescape")
        return self.known[offset]


def records(layout, data):
    need(len(data) % layout.size == 0, "%d bytes are no whole records of %d", len(data), layout.size)
    return list(layout.iter_unpack(data))


def parse_functions(data, strings):
    functions = []
    for file, name, first_line, kind in records(FUNCTION, data):
        need(kind == 0, "a function of kind %d", kind)
        functions.append(Function(strings.get(file), strings.get(name), first_line))
    return functions


def parse_stacks(data, functions):
    """For each node its stack, innermost first, and whether it is cut."""
    stacks = []
    for index, (parent, function, line, _) in enumerate(records(NODE, data)):
        if index in (ROOT, CUT):
            need(function == NONE, "node %d has function %d", index, function)
            stacks.append(((), index == CUT))
            continue
        need(parent < index, "node %d below node %d", index, parent)
        need(function < len(functions), "node %d has function %d of %d", index, function, len(functions))
        outer, is_cut = stacks[parent]
        stacks.append(((Frame(functions[function].file, line, functions[function].name),) + outer, is_cut))
    return stacks


def is_before(sequence, other):
    """Of two numbers of 32 bits that may have wrapped around."""
    return (sequence - other) & 0x80000000 != 0


def parse_sites(data, stacks, strings, state):
    sites = []
    for index, record in enumerate(records(SITE, data)):
        node, label, owner, sequence, live, live_blocks, peak, total, total_blocks, temporary = record
        need(sequence != 0, "site %d was never written", index)
        need(not is_before(state.sequence & NONE, sequence), "site %d is of state %d", index, sequence)
        need(node < len(stacks), "site %d has node %d of %d", index, node, len(stacks))
        need(owner in OWNERS, "site %d has owner %d", index, owner)
        need(node == ROOT or index > 1, "site %d has node %d", index, node)
        if is_before(sequence, state.peak_sequence & NONE):
            peak = live
        stack, is_cut = stacks[node]
        sites.append(Site(index, stack, is_cut, None if label == NONE else strings.get(label), OWNERS[owner], live,
                          live_blocks, peak, total, total_blocks, temporary))
    return sites


def parse_snapshots(data, strings, site_count):
    found, at = [], 0
    while at < len(data):
        need(at + SNAPSHOT.size <= len(data), "a snapshot at %d of %d", at, len(data))
        kind, name, time_ns, rss, native, python, native_blocks, python_blocks, count = SNAPSHOT.unpack_from(data, at)
        at += SNAPSHOT.size
        need(kind in SNAPSHOT_KINDS, "a snapshot of kind %d", kind)
        need(at + count * HELD.size <= len(data), "a snapshot of %d sites at %d of %d", count, at, len(data))
        held = {}
        for site, _, live, blocks in HELD.iter_unpack(data[at:at + count * HELD.size]):
            need(site not in held and site < site_count, "a snapshot holds site %d of %d", site, site_count)
            held[site] = (live, blocks)
        at += count * HELD.size
        found.append(Snapshot(SNAPSHOT_KINDS[kind], None if name == NONE else strings.get(name), time_ns, rss,
                              (native, python), (native_blocks, python_blocks), held))
    return found


def parse_marks(data, strings):
    found = []
    for kind, name, time_ns, memory, thread in records(MARK, data):
        need(kind in MARK_KINDS, "a mark of kind %d", kind)
        found.append(Mark(MARK_KINDS[kind], strings.get(name), time_ns, memory, thread))
    return found


def sum_totals(state):
    return SimpleNamespace(peak_bytes=state.peak_bytes, **{
        field: getattr(state, "native_" + field) + getattr(state, "python_" + field) for field in TOTALS.split()})


def parse(data, path=""):
    """Capture of the bytes of a file."""
    header, state = parse_header(data), parse_states(data)[0]
    need(state.ended in ENDED and state.sites_stream in (SITES_A, SITES_B), "ended %d, sites in stream %d",
         state.ended, state.sites_stream)
    lengths = [getattr(state, "length_%d" % stream) for stream in range(STREAMS)]
    need(lengths[SITES_A + SITES_B - state.sites_stream] == 0, "the other stream of sites has a length")
    streams = gather_streams(data, lengths)
    strings = Strings(streams[STRINGS])
    functions = parse_functions(streams[FUNCTIONS], strings)
    sites = parse_sites(streams[state.sites_stream], parse_stacks(streams[NODES], functions), strings, state)
    need(bool(header.features & FEATURE_SITES) or not sites, "sites, which the features deny")
    snapshots = parse_snapshots(streams[SNAPSHOTS], strings, len(sites))
    need(state.exit_snapshot <= len(snapshots), "exit snapshot %d of %d", state.exit_snapshot, len(snapshots))
    at_exit = snapshots[state.exit_snapshot - 1] if state.exit_snapshot else None
    need(at_exit is None or at_exit.kind == "exit", "the exit snapshot is of another kind")
    return Capture(path, header, state, parse_meta(streams[META]), sum_totals(state), ENDED[state.ended], functions,
                   sites, snapshots, parse_marks(streams[MARKS], strings), at_exit)


def read(path):
    """Capture of a file; Bad if it is none, Unfinished if it has no state yet. One that is being written is read again
    when the writer was faster."""
    with open(path, "rb") as file:
        for _ in range(100):
            data = file.read()
            file.seek(0)
            if file.read(HEADER_SIZE) == data[:HEADER_SIZE]:
                break
            file.seek(0)
    try:
        return parse(data, path)
    except Bad as error:
        raise type(error)("%s: %s" % (os.path.basename(path), error)) from None


def check_states(path):
    """Checks no more than the header and the states."""
    with open(path, "rb") as file:
        data = file.read(HEADER_SIZE)
    parse_header(data)
    parse_states(data)


def check_sums(capture):
    """All sites together are the totals; their peaks the peak, within the error that is stated; a snapshot's sites are
    its totals. Nothing holds for a capture without sites."""
    if not capture.header.features & FEATURE_SITES:
        return
    for field in TOTALS.split():
        found = sum(getattr(site, field) for site in capture.sites)
        need(found == getattr(capture.totals, field), "%s: the sum of %s is %d, the total is %d", capture.path, field,
             found, getattr(capture.totals, field))
    peak = sum(site.peak_bytes for site in capture.sites)
    need(abs(peak - capture.state.peak_bytes) <= capture.state.peak_error_bytes,
         "%s: the sum of peaks is %d, the peak %d +- %d", capture.path, peak, capture.state.peak_bytes,
         capture.state.peak_error_bytes)
    for number, snapshot in enumerate(capture.snapshots):
        need(sum(live for live, _ in snapshot.held.values()) == sum(snapshot.live_bytes)
             and sum(blocks for _, blocks in snapshot.held.values()) == sum(snapshot.live_blocks),
             "%s: snapshot %d does not add up", capture.path, number)
