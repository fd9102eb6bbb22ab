"""Runs a test module of CPython's own suite and records every outcome.

    python unittest_record.py RECORD MODULE [TEST-ID...]

Writes to RECORD one line "OUTCOME TEST-ID" for each test, or only for the tests named. Resources that the suite asks
for by -u (network, large files) are off, as they are by default in `python -m test`. For CPython 3.6 and later.
"""
import sys
import unittest
from test import support


class Recorder(unittest.TextTestResult):
    """A test's outcome is the worst of what is said about it and its subtests."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.outcomes = {}

    def note(self, outcome, test):
        if self.outcomes.get(test.id()) not in ("error", "fail"):
            self.outcomes[test.id()] = outcome

    def addSuccess(self, test):
        super().addSuccess(test)
        self.note("ok", test)

    def addError(self, test, err):
        super().addError(test, err)
        self.note("error", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.note("fail", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.note("skip", test)

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.note("expected", test)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.note("unexpected", test)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.note("fail", test)


def every_test(suite):
    for part in suite:
        if isinstance(part, unittest.TestSuite):
            yield from every_test(part)
        else:
            yield part


def main(record, module, *wanted):
    support.use_resources = []
    suite = unittest.defaultTestLoader.loadTestsFromName(module)
    if wanted:
        suite = unittest.TestSuite(test for test in every_test(suite) if test.id() in wanted)
    result = unittest.TextTestRunner(verbosity=2, resultclass=Recorder).run(suite)
    with open(record, "w", encoding="utf-8", errors="backslashreplace") as out:
        out.writelines("%s %s\n" % (outcome, name) for name, outcome in result.outcomes.items())


if __name__ == "__main__":
    # the suite's own modules look at sys.argv
    arguments, sys.argv[1:] = sys.argv[1:], []
    main(*arguments)
