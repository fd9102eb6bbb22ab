"""driver.py, with sys.settrace for the oracle: what it tells is what --events lines logs beside the C rows.

    python line_driver.py SCRIPT [RECORD]

Runs on CPython 3.6 and later.
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
    """Return a trace function that appends one tuple per event to `events`."""
    def record(frame, event, arg):
        code = frame.f_code
        events.append((event, code.co_filename, frame.f_lineno or 0, code.co_name, threading.get_ident()))
        return record
    return record


def main(script, record_path=None):
    events = []
    with open(script, "rb") as source:
        code = compile(source.read(), script, "exec")
    namespace = {"__name__": "__main__", "__file__": script, "__builtins__": __builtins__}
    gc.disable()  # a collection runs finalizers at moments that depend on what the oracle itself allocates
    if record_path:
        threading.settrace(recorder(events))
        sys.settrace(recorder(events))
    # one line: this frame is not traced by the oracle, and would have a row for each
    begin(), exec(code, namespace), end()
    if record_path:
        sys.settrace(None)
        with open(record_path, "w", encoding="ascii") as out:
            for event, file, line, function, thread in events:
                out.write("%s %s %d %s %d\n" % (event, to_hex(file), line, to_hex(function), thread))


main(*sys.argv[1:])
