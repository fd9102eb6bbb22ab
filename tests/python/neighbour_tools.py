"""What the cases of neighbour.py share: what is watched, what watches, and where it is said what was seen."""
import bdb
import cProfile
import ctypes
import functools
import gc
import os
import profile
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = {}
IS_ORACLE = len(sys.argv) > 2
TOOL = ctypes.PyDLL(os.environ["NEIGHBOUR"])  # lib_neighbour.so
TOOL.neighbour_set.argtypes = [ctypes.c_int, ctypes.py_object]
TOOL.neighbour_nothing.argtypes = TOOL.neighbour_set.argtypes
TOOL.neighbour_seen.restype = ctypes.c_char_p

# What stands for the real functions in the oracle: C functions that a case calls for nothing else.
RENAMED = {"callable": "setprofile", "hash": "settrace", "copy": "enable", "__reversed__": "disable"}
setprofile, settrace = (callable, hash) if IS_ORACLE else (sys.setprofile, sys.settrace)
set_by_tool = TOOL.neighbour_nothing if IS_ORACLE else TOOL.neighbour_set
ORACLE = {"profile": None, "trace": None}  # its functions


def case(function):
    CASES[function.__name__] = function
    return function


def begin():
    pass


def end():
    pass


def thread_begin():
    pass


def thread_end():
    pass


# --- what is done while somebody looks on -----------------------------------------------------------------------------

def leaf(number):
    return len("x" * number)


def numbers(stop):
    for number in range(stop):
        yield str(number)


def fails(text):
    return int(text)


def work(depth=2):
    if depth:
        return work(depth - 1) + leaf(depth)
    try:
        fails("no number")
    except ValueError as error:
        str(error)
    total = sum(map(leaf, range(3)))
    return total + len(sorted(numbers(3), key=lambda text: -int(text)))


# --- profilers and tracers --------------------------------------------------------------------------------------------

class Seen:
    """A profile or trace function that keeps what it is told; raises at event number `fail_at`."""

    def __init__(self, name, fail_at=-1, is_tracer=False, inside=None):
        self.name, self.fail_at, self.is_tracer, self.inside, self.events = name, fail_at, is_tracer, inside, []

    def __call__(self, frame, event, argument):
        function = getattr(argument, "__name__", "?") if event.startswith("c_") else frame.f_code.co_name
        self.events.append("%s:%s:%d" % (event, function, frame.f_lineno or 0))
        if self.inside:
            self.inside(frame, event, function)
        if len(self.events) - 1 == self.fail_at:
            raise RuntimeError("%s fails" % self.name)
        return self if self.is_tracer else None


def asked(*things):
    """What the program can ask about its functions."""
    return [getattr(sys.getprofile(), "name", sys.getprofile()), getattr(sys.gettrace(), "name", sys.gettrace()),
            [sys.getrefcount(thing) for thing in things]]


OUTPUT, LATER = [], []


def say(*what):
    OUTPUT.append(what)


def later(function):
    """Says what the function returns when the case is over: it would go another way in the oracle."""
    LATER.append(function)


# --- the oracle --------------------------------------------------------------------------------------------------------

def inert_sys():
    """The module sys as `import sys` gives it, but for the setting functions."""
    fake = type(sys)("sys")
    fake.__dict__.update(sys.__dict__)
    fake.setprofile, fake.settrace = callable, hash
    return fake


def to_hex(name):
    return "x" + name.encode("utf-8", "surrogatepass").hex()


def observe(events, whats):
    def note(frame, event, argument):
        if event in whats:
            code = frame.f_code
            function = argument.__name__ if event.startswith("c_") else code.co_name
            events.append((event, code.co_filename, frame.f_lineno or 0, RENAMED.get(function, function),
                           threading.get_ident()))
        return note
    return note


def start_oracle(events, with_lines):
    ORACLE["profile"] = observe(events, ("call", "return", "c_call", "c_return", "c_exception"))
    threading.setprofile(ORACLE["profile"])
    profile.sys = bdb.sys = inert_sys()
    ORACLE["trace"] = lambda frame, event, argument: None
    if with_lines:
        ORACLE["trace"] = observe(events, ("line", "exception"))
        threading.settrace(ORACLE["trace"])
        sys.settrace(ORACLE["trace"])
        sys._getframe(1).f_trace = ORACLE["trace"]
    sys.setprofile(ORACLE["profile"])
