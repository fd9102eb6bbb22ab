#!/usr/bin/env python3
"""Writes an event log as EVENT-LOG.md has it, independently of pmt, for the cases: rows come one a line on stdin, as
words KIND EVENT STEP CLOCK WHAT FILE LINE FUNCTION RSS CHANGE [TID], or MSG EVENT STEP CLOCK TEXT. %20 is a blank."""
import sys
from urllib.parse import unquote_to_bytes

HEADER = b"      %-12s %-6s  %-12s %-8s %-79s #%4s %-32s %12s %12s\n" % (
    b"Event", b"dEvent", b"Clock", b"What", b"File", b"line", b"Function", b"RSS", b"dRSS")


def row(words):
    if words[0] == b"MSG":
        return b"MSG:  %-12d +%-6d %-12.6f # %s\n" % (int(words[1]), int(words[2]), float(words[3]),
                                                     b" ".join(words[4:]))
    kind, event, step, clock, what, file, line, function, rss, change = words[:10]
    thread = b"  thread=%d" % int(words[10]) if len(words) > 10 else b""
    return b"%s: %-12d +%-6d %-12.6f %-8s %-79s #%4d %-32s %12d %12d%s\n" % (
        kind, int(event), int(step), float(clock), what, unquote_to_bytes(file), int(line),
        unquote_to_bytes(function), int(rss), int(change), thread)


def main():
    out = sys.stdout.buffer
    out.write(HEADER)
    for line in sys.stdin.buffer:
        if line.strip():
            out.write(row(line.split()))


if __name__ == "__main__":
    main()
