"""Checks for programs that run inside the measured interpreter, from 3.6 on. A program ends with done(): what it prints
then is how its test knows that it came to its end, and how much it checked."""
import sys

passed = 0


def check(condition, what):
    global passed
    if not condition:
        raise AssertionError(what)
    passed += 1


def equal(got, expected, what=""):
    check(got == expected and type(got) is type(expected), "%s: got %.500r, expected %.500r" % (what, got, expected))


def raises(kind, function, *arguments, message=None):
    """Calls function(*arguments), which must raise `kind` itself, not a subclass of it; with this message if given."""
    try:
        result = function(*arguments)
    except BaseException as error:
        check(type(error) is kind, "raised %r, expected %s" % (error, kind.__name__))
        check(message is None or str(error) == message, "message %r, expected %r" % (str(error), message))
        return error
    raise AssertionError("returned %.200r, expected %s" % (result, kind.__name__))


def done():
    sys.stdout.write("ok %d\n" % passed)
