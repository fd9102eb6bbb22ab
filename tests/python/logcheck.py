"""What EVENT-LOG.md promises, said a second time and independently of the library: each row printed again from its
fields, and the rows a threshold must leave of a log that holds every event.
"""
import collections
import functools
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import pmttest
from pmttest import check, equal

PAGE = os.sysconf("SC_PAGE_SIZE")
C_ROWS = ("C_CALL", "C_RETURN", "C_EXCEPT")


# --- the format -------------------------------------------------------------------------------------------------------

@functools.lru_cache(maxsize=None)
def name_bytes(name):
    """The bytes a name stands for: UTF-8, escaped surrogates as the byte they hide, other surrogates passed."""
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return b"".join(char.encode("utf-8", "surrogateescape" if "\udc80" <= char <= "\udcff" else "surrogatepass")
                        for char in name)


@functools.lru_cache(maxsize=None)
def escape(name):
    """A name as the log writes it: control characters, `#`, backslash and what is not UTF-8 as \\xNN."""
    text = name_bytes(name).decode("utf-8", "surrogateescape")
    return b"".join(b"\\x%02x" % byte if byte < 0x20 or char in "#\\" or "\udc80" <= char <= "\udcff" else bytes([byte])
                    for char in text for byte in char.encode("utf-8", "surrogateescape")) or b"-"


def render(row):
    """The line of a row, by the printf formats of EVENT-LOG.md; widths count bytes."""
    line = b"%s: %-12d +%-6d %-12.6f %-8s %-79s #%4d %-32s %12d %12d" % (
        row.kind.encode(), row.n, row.d_event, row.clock, row.what.encode(), escape(row.file), row.line,
        escape(row.function), row.rss, row.d_rss)
    return line + (b"  thread=%d" % row.tid if row.tid else b"")


def check_whole(path, threshold=1):
    """Checks a whole log: all of pmttest.check_log, every row byte for byte, the clock, the sums. Returns its rows."""
    log = pmttest.check_log(path, threshold)
    check(log.rows, "%s has no rows" % path)
    last = log.rows[0]
    for row in log.rows:
        if row.text.encode() != render(row):
            equal(row.text.encode(), render(row), "%s: the form of event %d" % (path, row.n))
        if row.clock < last.clock or row.rss % PAGE:
            check(False, "%s: the clock goes back or RSS is not whole pages" % path, last.text, row.text)
        last = row
    if threshold == 0:
        equal(sum(row.d_rss for row in log.rows), last.rss, "%s: the sum of all dRSS" % path)
    return log.rows


# --- the rules --------------------------------------------------------------------------------------------------------

def derive(events, threshold):
    """The rows, as `comparable` gives them, that a log at `threshold` pages must have for these events."""
    rows, last_logged, last_rss, last_next_rss = [], 0, 0, 0
    before = None
    for n, event in enumerate(events):
        moved = event.rss - (last_rss if threshold <= 1 else last_next_rss)
        if n == 0 or abs(moved) >= threshold * PAGE:
            if n > 0 and n - last_logged > 1:
                rows.append(comparable(before, kind="PREV", d_event=n - 1 - last_logged))
            rows.append(comparable(event, kind="NEXT", d_event=n - last_logged))
            last_logged, last_next_rss = n, event.rss
        last_rss, before = event.rss, event
    return rows


def comparable(row, **changes):
    """A row without what differs from run to run: the clock, and with it the text."""
    return row._replace(clock=None, text=None, **changes)


def check_same(got, expected, what):
    """Compares two sequences and shows where they part, with the elements around."""
    for index, (mine, theirs) in enumerate(zip(got, expected)):
        if mine != theirs:
            around = ["  %7d  %s" % (at, pmttest.short(got[at], 300)) for at in range(max(0, index - 3), index)]
            check(False, "%s differ at %d of %d" % (what, index, len(expected)), *around,
                  "got       %s" % pmttest.short(mine, 300), "expected  %s" % pmttest.short(theirs, 300))
    check(len(got) == len(expected), "%s: %d of %d" % (what, len(got), len(expected)),
          *("beyond: %s" % pmttest.short(more, 300) for more in (got[len(expected):] or expected[len(got):])[:3]))


# --- regions ----------------------------------------------------------------------------------------------------------

# What an event is, without where it stood: the part that must equal sys.setprofile's view. Names are bytes.
Event = collections.namedtuple("Event", "what file line function")


def event_of(row):
    return Event(row.what, name_bytes(row.file), row.line, name_bytes(row.function))


def between(events, begin, end):
    """The events after begin() returned and before end() is called."""
    names = [(event.what, event.function) for event in events]
    check(("RETURN", begin) in names and ("CALL", end) in names, "no %s() or no %s() among the events" % (begin, end))
    return events[names.index(("RETURN", begin)) + 1:names.index(("CALL", end))]


def stretches(threads):
    """Each stretch of events between thread_begin() and thread_end(), shortest first. A thread's ID may be used again
    by a later thread, so that one list may hold several."""
    found = []
    for events in threads:
        while any(event.function == b"thread_begin" for event in events):
            found.append(between(events, b"thread_begin", b"thread_end"))
            end = [(event.what, event.function) for event in events].index(("RETURN", b"thread_end"))
            events = events[end + 1:]
    return sorted(found, key=len)


# --- the oracle's record ----------------------------------------------------------------------------------------------

ORACLE_WHAT = {"call": "CALL", "return": "RETURN", "c_call": "C_CALL", "c_return": "C_RETURN", "c_exception": "C_EXCEPT",
               "line": "LINE", "exception": "EXCEPT"}


@functools.lru_cache(maxsize=None)
def read_name(text):
    """The bytes of a recorded name. The log has one mark, "-", for the empty name and for the name "-"; readers take it
    for the empty one."""
    name = bytes.fromhex(text[1:]).decode("utf-8", "surrogatepass")
    return b"" if name == "-" else name_bytes(name)


def read_oracle(record):
    """The events that the oracle (driver.py, neighbour.py) has written, in one list for each thread, main thread first."""
    threads = collections.defaultdict(list)
    with open(record, encoding="ascii") as lines:
        for line in lines:
            what, file, number, function, thread = line.split()
            threads[thread].append(Event(ORACLE_WHAT[what], read_name(file), int(number), read_name(function)))
    return list(threads.values())
