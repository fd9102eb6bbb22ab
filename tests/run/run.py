#!/usr/bin/env python3
"""Golden tests of the command line.

A case is NAME.sh, run by sh in an empty directory, with what it must print: NAME.out (stdout, then a last line
"exit N") and NAME.err (stderr; no file: nothing). A line that starts with "~" is a glob: * ? [...], so that what
depends on machine and day can vary, and nothing else can. A case that cannot run here exits with 77 and says why.

Cases see PMT_BUILD (pmt, pmt-exec, libpmt.so), TEST_SRC (the folder tests/), and PATH with PMT_BUILD in front.

  run.py [--rewrite] [-k TEXT]    --rewrite: what is printed now becomes what is expected, but for lines that match
"""
import argparse
import fnmatch
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SKIP = 77
SECONDS = 60


def environment(scratch):
    build = pathlib.Path(os.environ.get("PMT_BUILD", HERE.parent.parent / "build")).resolve()
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("PMT_", "LD_")) and name not in ("CDPATH", "ENV")}
    env.update(PMT_BUILD=str(build), TEST_SRC=str(HERE.parent), LC_ALL="C.UTF-8", HOME=str(scratch),
               PATH=f"{build}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", TMPDIR=str(scratch))
    return env


def run_case(script):
    """(stdout with its exit line, stderr, status) of one case; paths that differ from machine to machine are named."""
    with tempfile.TemporaryDirectory() as scratch:
        env = environment(scratch)
        process = subprocess.Popen(["sh", str(script)], cwd=scratch, env=env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        try:
            out, err = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            err += f"hangs: killed after {SECONDS} s\n".encode()
        names = ((env["PMT_BUILD"], "@BUILD@"), (env["TEST_SRC"], "@SRC@"), (os.path.realpath(scratch), "@HERE@"))
    texts = [data.decode("utf-8", "backslashreplace") for data in (out, err)]
    for path, name in names:
        texts = [text.replace(path, name) for text in texts]
    end = "" if texts[0].endswith("\n") or not texts[0] else "\n"
    return f"{texts[0]}{end}exit {process.returncode}\n", texts[1], process.returncode


def is_match(wanted, line):
    return fnmatch.fnmatchcase(line, wanted[1:]) if wanted.startswith("~") else wanted == line


def differences(wanted, got):
    """The lines that differ, as text; [] if none does."""
    found = []
    for number in range(max(len(wanted), len(got))):
        expected = wanted[number] if number < len(wanted) else None
        line = got[number] if number < len(got) else None
        if expected is None or line is None or not is_match(expected, line):
            found += [f"    line {number + 1} wanted: {expected!r}", f"    line {number + 1} got:    {line!r}"]
    return found


def read_lines(path):
    return path.read_text("utf-8").splitlines() if path.exists() else []


def rewrite(path, got):
    """Keeps the globs that still match their line."""
    wanted = read_lines(path)
    lines = [old if old.startswith("~") and is_match(old, new) else new
             for old, new in zip(wanted + [""] * len(got), got)]
    if lines:
        path.write_text("".join(line + "\n" for line in lines), "utf-8")
    elif path.exists():
        path.unlink()


def check_case(script, is_rewriting):
    """(PASS, FAIL or SKIP; details)"""
    out, err, status = run_case(script)
    if status == SKIP:
        return "SKIP", [f"    {err.strip() or 'no reason given'}"]
    got = {script.with_suffix(".out"): out.splitlines(), script.with_suffix(".err"): err.splitlines()}
    if is_rewriting:
        for path, lines in got.items():
            rewrite(path, lines)
    details = []
    for path, lines in got.items():
        found = differences(read_lines(path), lines)
        details += [f"  {path.name}"] + found if found else []
    return ("FAIL" if details else "PASS"), details


def main():
    parser = argparse.ArgumentParser(description="golden tests of the command line")
    parser.add_argument("--rewrite", action="store_true", help="make what is printed now what is expected")
    parser.add_argument("-k", metavar="TEXT", default="", help="only cases with TEXT in their name")
    arguments = parser.parse_args()
    counts = {"PASS": 0, "FAIL": 0, "SKIP": 0}
    for script in sorted(HERE.glob("*.sh")):
        if arguments.k not in script.name:
            continue
        outcome, details = check_case(script, arguments.rewrite)
        counts[outcome] += 1
        print(outcome, script.stem)
        for line in details:
            print(line)
    print(f"{counts['PASS']} passed, {counts['FAIL']} failed, {counts['SKIP']} skipped")
    return 1 if counts["FAIL"] or not counts["PASS"] else 0


if __name__ == "__main__":
    sys.exit(main())
