"""Runs a script between calls of begin() and end(), so that two runs can be compared row by row.

    python driver.py SCRIPT [RECORD]

With RECORD the run is the oracle: sys.setprofile, in plain Python, writes there one line per event: event, file, line,
function, thread, with the two names in hexadecimal. Without it the run is the one to be measured.
Everything the script can see is the same in both. Runs on CPython 3.6 and later.
"""
import atexit  # before the script does, since libpmt.so has imported it (test_attach.py, unnoticed)
import gc
import sys
import threading


def begin():
    pass


def end():
    pass


def to_hex(name):
    return "x" + name.encode("utf-8", "surrogatepass").hex()  # never empty


def recorder(events):
    """Return a profile function that appends one tuple per event to `events`."""
    def record(frame, event, arg):
        code = frame.f_code
        function = arg.__name__ if event.startswith("c_") else code.co_name
        events.append((event, code.co_filename, frame.f_lineno or 0, function, threading.get_ident()))
    return record


def main(script, record_path=None):
    events = []
    with open(script, "rb") as source:
        code = compile(source.read(), script, "exec")
    namespace = {"__name__": "__main__", "__file__": script, "__builtins__": __builtins__}
    gc.disable()  # a collection runs finalizers at moments that depend on what the oracle itself allocates
    if record_path:
        threading.setprofile(recorder(events))
        sys.setprofile(recorder(events))
    begin()
    exec(code, namespace)
    end()
    if record_path:
        sys.setprofile(None)
        with open(record_path, "w", encoding="ascii") as out:
            for event, file, line, function, thread in events:
                out.write("%s %s %d %s %d\n" % (event, to_hex(file), line, to_hex(function), thread))


main(*sys.argv[1:])
