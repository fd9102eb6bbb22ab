"""What `pmt doctor -- python` says of the engines, and what the library then does. On every CPython."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import pmttest
from pmttest import BUILD, PYTHONS, each, equal, main, run

PMT = os.path.join(BUILD, "pmt")


def engine_used(python, events):
    result = run([python.path, "-c", "pass"], events=events, verbose=2)
    (line,) = [line for line in result.pmt_lines if line.startswith("pmt: events by ")]
    return line[len("pmt: events by "):]


@each(PYTHONS)
def engines(python):
    said = json.loads(subprocess.check_output([PMT, "doctor", "--json", "--", python.path]))["command"]["engines"]
    equal(said, {events: engine_used(python, events) for events in ("python", "calls", "lines")}, "engines")


if __name__ == "__main__":
    pmttest.describe_pythons()
    sys.exit(main())
